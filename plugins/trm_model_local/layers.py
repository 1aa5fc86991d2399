"""Blocks that mix cells locally: by a convolution or messages on the canvas, or over relations between cells.

All are post-norm blocks of the family (RMSNorm without weight, SwiGLU over channels); only how cells hear each other is
another. Halting is decided by what the prefix hears of all cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_harness.nn.layers import Linear, Rope, Stack, rms_norm, truncated_lecun_
from trm_harness.relations import Relation

QUIET = 0.25
"""Standard deviation of what mixing adds to a cell at the start, the cell's own being 1.

Louder mixing drowns what a cell holds: half of it each layer, and ten layers on nothing is left to learn from.
"""


def _quiet(inputs: int, outputs: int) -> Linear:
    """A map whose results start out quiet."""
    made = Linear(inputs, outputs)
    with torch.no_grad():
        made.weight.mul_(QUIET)
    return made


class Gated(nn.Module):
    """SwiGLU with an inner width of exactly ``width``: in small blocks the family's rounding to 256 costs most."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.gate_up, self.down = Linear(inputs, 2 * width), Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs] -> [..., outputs]``."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Depthwise(nn.Module):
    """A convolution of each channel by itself, ``taps [kernel, kernel, dim]``; beyond the canvas all is zero.

    On a CPU, compiled, sums of shifted canvases are one pass over memory and a third quicker than ``conv2d``; not
    compiled, ``conv2d`` takes half their time. Both add the same products, in another order.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.taps = nn.Parameter(truncated_lecun_(torch.empty(kernel, kernel, dim), QUIET / kernel))

    def forward(self, cells: Tensor) -> Tensor:
        """``[batch, height, width, dim] -> [batch, height, width, dim]``."""
        _, height, width, dim = cells.shape
        reach, taps = self.kernel // 2, self.taps.to(cells.dtype)
        if not torch.compiler.is_compiling():
            each = taps.permute(2, 0, 1).unsqueeze(1)
            return F.conv2d(cells.permute(0, 3, 1, 2), each, padding=reach, groups=dim).permute(0, 2, 3, 1)
        wide = F.pad(cells, (0, 0, reach, reach, reach, reach))
        total = torch.zeros_like(cells)
        for row in range(self.kernel):
            for column in range(self.kernel):
                total = total + wide[:, row : row + height, column : column + width] * taps[row, column]
        return total


class LocalBlock(nn.Module):
    """One layer: ``mixer`` over the cells, then SwiGLU over channels. With ``prefix`` above 0 cells see the prefix."""

    def __init__(self, dim: int, width: int, prefix: int, eps: float, mixer: nn.Module) -> None:
        super().__init__()
        self.eps, self.mixer = eps, mixer
        self.see = Linear(prefix * dim, dim) if prefix else None
        self.mlp = Gated(dim, width, dim)

    def forward(self, prefix: Tensor, cells: Tensor, shape: Sequence[int]) -> Tensor:
        """``prefix [batch, p, dim]`` and ``cells [batch, n, dim]``, which ``shape`` lays out for the mixer."""
        mixed = cells + self.mixer(cells.unflatten(1, shape)).flatten(1, len(shape))
        if self.see is not None:
            mixed = mixed + self.see(prefix.flatten(1)).unsqueeze(1)
        cells = rms_norm(mixed, self.eps)
        return rms_norm(cells + self.mlp(cells), self.eps)


class MessageBlock(nn.Module):
    """One layer: each of the four neighbours tells a cell ``message`` values, which SwiGLU gets besides its own.

    Unlike a sum of what the neighbours hold, this lets one layer compare two of them. ``prefix`` as for
    :class:`LocalBlock`.
    """

    def __init__(self, dim: int, width: int, prefix: int, eps: float, message: int) -> None:
        super().__init__()
        self.eps = eps
        self.say = Linear(dim, 4 * message)
        self.see = Linear(prefix * dim, dim) if prefix else None
        self.mlp = Gated(dim + 4 * message, width, dim)

    def forward(self, prefix: Tensor, cells: Tensor, shape: Sequence[int]) -> Tensor:
        """``prefix [batch, p, dim]`` and ``cells [batch, n, dim]`` of a canvas of ``shape`` (height, width)."""
        heard = from_neighbours(self.say(cells).unflatten(1, shape)).flatten(1, 2)
        told = self.mlp(torch.cat((cells, heard), dim=-1))
        if self.see is not None:
            told = told + self.see(prefix.flatten(1)).unsqueeze(1)
        return rms_norm(cells + told, self.eps)


def from_neighbours(said: Tensor) -> Tensor:
    """What each cell hears, shaped as ``said [batch, height, width, 4 m]``: a quarter each of what the cells below, to
    the left, to the right and above say. Beyond the canvas nobody speaks.
    """
    below, left, right, above = F.pad(said, (0, 0, 1, 1, 1, 1)).chunk(4, dim=-1)
    heard = below[:, 2:, 1:-1], left[:, 1:-1, :-2], right[:, 1:-1, 2:], above[:, :-2, 1:-1]
    return torch.cat(heard, dim=-1)


class LocalStack(Stack):
    """Local blocks, and behind them the prefix, which hears the mean and the maximum of all cells."""

    def __init__(self, blocks: Sequence[LocalBlock | MessageBlock], prefix: int, dim: int) -> None:
        nn.Module.__init__(self)
        self.blocks, self.prefix, self.eps = nn.ModuleList(blocks), prefix, blocks[0].eps
        self.hear = Linear(2 * dim, dim)

    def lay_out(self, cells: Tensor, rope: Rope | None) -> Sequence[int]:
        """The axes that stand for the cells in a mixer."""
        raise NotImplementedError

    def forward(self, state: Tensor, injection: Tensor | None, rope: Rope | None) -> Tensor:
        """``[batch, prefix + cells, dim]`` for both inputs and the result."""
        x = state if injection is None else state + injection
        prefix, cells = x[:, : self.prefix], x[:, self.prefix :]
        shape = self.lay_out(cells, rope)
        for block in self.blocks:
            cells = block(prefix, cells, shape)
        # Not `amax`: compiled in bfloat16 its gradient compares unrounded cells with the rounded maximum, finds none
        # that is equal and divides by zero.
        heard = self.hear(torch.cat((cells.mean(1), cells.max(1).values), dim=-1)).unsqueeze(1)
        return torch.cat((rms_norm(prefix + heard, self.eps), cells), dim=1)


class CanvasStack(LocalStack):
    """Blocks on a canvas of any size: the last axes of the third argument's first tensor say which."""

    def lay_out(self, cells: Tensor, rope: Rope | None) -> Sequence[int]:
        """Height and width."""
        return rope[0].shape[1:3]


class Relating(nn.Module):
    """Mixes cells over relations: what a group says together, a matrix for each relation, and back to those who hear.

    A group says the sum of its speakers and, by the logarithm of a sum of exponentials, nearly the largest: that one
    of nine cells holds a digit is hard to read from a sum. With several symbols a cell is a row of states, one a
    symbol. Groups then bind equal symbols, and one more matrix takes what a cell's symbols say to all of them, so no
    symbol is another than the rest.
    """

    def __init__(self, dim: int, relations: Sequence[Relation], symbols: int) -> None:
        super().__init__()
        self.sizes = [len(relation.speaks) for relation in relations]
        self.weights = nn.ModuleList(_quiet(2 * dim, dim) for _ in relations)
        self.symbols = _quiet(2 * dim, dim) if symbols > 1 else None
        self.register_buffer("speaks", _scaled([relation.speaks for relation in relations]), persistent=False)
        hears = torch.from_numpy(np.concatenate([relation.hears for relation in relations])).float()
        self.register_buffer("hears", hears.T.contiguous(), persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """``[batch, cells, symbols, dim] -> [batch, cells, symbols, dim]``."""
        loud = cells.exp()
        groups = torch.cat((self._gathered(cells), self._gathered(loud).log()), dim=-1)
        parts = zip(self.weights, groups.split(self.sizes, dim=1), strict=True)
        said = torch.cat([weight(part) for weight, part in parts], dim=1)
        heard = torch.matmul(self.hears.to(cells.dtype), said.flatten(2)).unflatten(2, cells.shape[2:])
        if self.symbols is None:
            return heard
        own = torch.cat((cells.mean(2, keepdim=True), loud.mean(2, keepdim=True).log()), dim=-1)
        return heard + self.symbols(own)

    def _gathered(self, cells: Tensor) -> Tensor:
        """``[batch, groups, symbols, dim]``: sums over those who speak."""
        return torch.matmul(self.speaks.to(cells.dtype), cells.flatten(2)).unflatten(2, cells.shape[2:])


def _scaled(groups: Sequence[np.ndarray]) -> Tensor:
    """Rows of ``bool [groups, cells]`` so that independent speakers add up to unit variance."""
    spoken = torch.from_numpy(np.concatenate(groups)).float()
    return spoken / spoken.sum(1, keepdim=True).sqrt()


class RelationStack(LocalStack):
    """Relating blocks on the board that the relations are of; a state is one of a cell and a symbol."""

    def __init__(self, blocks: Sequence[LocalBlock], prefix: int, dim: int, symbols: int) -> None:
        super().__init__(blocks, prefix, dim)
        self.symbols = symbols

    def lay_out(self, cells: Tensor, rope: Rope | None) -> Sequence[int]:
        """Cells and symbols."""
        return (cells.shape[1] // self.symbols, self.symbols)


def depthwise_flops(dim: int, kernel: int) -> int:
    """Multiply-adds x 2 a cell."""
    return 2 * kernel * kernel * dim


def relating_flops(dim: int, relations: Sequence[Relation], cells: int, symbols: int) -> int:
    """Multiply-adds x 2 of one mixing of a whole board: into the groups, a matrix for each, and back."""
    groups = sum(len(relation.speaks) for relation in relations)
    each = 2 * groups * cells * symbols * dim * 3 + 4 * groups * symbols * dim * dim
    return each + (4 * cells * dim * dim if symbols > 1 else 0)


def square_side(cells: int) -> int:
    """Side of a square canvas, 0 if there is none of so many cells."""
    side = math.isqrt(cells)
    return side if side * side == cells else 0
