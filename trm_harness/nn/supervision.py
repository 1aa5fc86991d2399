"""Deep supervision with a carry: rows keep their state between optimizer steps until they halt, then are replaced.

One :func:`supervise` call is one supervision step: replace halted rows, run the network, decide who halts. It is the
same for every network of the family, which only has to provide the methods of :class:`RecursiveNetwork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAVES = -1
"""As a row's minimum of steps: it halts now, whatever it wants."""

State = tuple[Tensor, ...]
"""Recurrent state: any tensors, the batch first. The family has one ``[batch, prefix + length, hidden]`` per latent."""


ROWS = ("tokens", "labels", "positions", "ids")
"""Tensors of :class:`Rows`."""


@dataclass
class Rows:
    """Training rows. ``tokens``, ``labels``, ``positions`` int64 ``[batch, length]``; ``ids`` int64 ``[batch, k]``.

    ``labels`` are ``[batch, 2 * length]`` where auxiliary labels follow those of the answer.

    ``canvas`` is what the host knows of ``positions`` without waiting for a device: those of one row where all are
    alike (:func:`canvas_of`), ``b""`` where they may differ, ``None`` where nobody looked.
    """

    tokens: Tensor
    labels: Tensor
    positions: Tensor
    ids: Tensor
    canvas: bytes | None = None

    def replaced(self, mask: Tensor, fresh: Rows) -> Rows:
        """Rows where bool ``mask [batch]`` is set come from ``fresh``."""
        pick = mask.unsqueeze(-1)
        picked = (torch.where(pick, getattr(fresh, name), getattr(self, name)) for name in ROWS)
        return Rows(*picked, _common(self.canvas, fresh.canvas))

    def rows_at(self, where: slice) -> Rows:
        """The rows of a slice, as views."""
        return Rows(*(getattr(self, name)[where] for name in ROWS), self.canvas)

    @property
    def shared_positions(self) -> Tensor:
        """``[1, length]`` where every row lies on the same places, which batching by length makes the rule; else all.

        A device is waited for only where nobody looked before.
        """
        if self.canvas is None and len(self.positions) > 1:
            self.canvas = canvas_of(self.positions.cpu().numpy())
        return self.positions[:1] if self.canvas else self.positions


def canvas_of(positions: NDArray[np.integer]) -> bytes:
    """The one row that all ``positions [batch, length]`` are, as bytes; ``b""`` where they differ."""
    return positions[0].astype(np.int64).tobytes() if (positions == positions[:1]).all() else b""


def _common(*canvases: bytes | None) -> bytes | None:
    """The canvas of rows taken from several."""
    if None in canvases:
        return None
    return canvases[0] if len(set(canvases)) == 1 else b""


@dataclass
class Carry:
    """Everything that lives from one supervision step to the next.

    ``right`` bool ``[batch]``: the row's last answer was right, as far as whoever trains has said so.
    """

    state: State
    rows: Rows
    steps: Tensor
    halted: Tensor
    right: Tensor | None = None

    def __post_init__(self) -> None:
        if self.right is None:
            self.right = torch.zeros_like(self.halted)

    def rows_at(self, where: slice) -> Carry:
        """The carry of a slice of its rows, as views."""
        state = tuple(latent[where] for latent in self.state)
        return Carry(state, self.rows.rows_at(where), self.steps[where], self.halted[where], self.right[where])


def join_carries(parts: Sequence[Carry]) -> Carry:
    """One carry of the rows of all ``parts``, in order."""
    if len(parts) == 1:
        return parts[0]
    state = tuple(torch.cat(latents) for latents in zip(*(part.state for part in parts), strict=True))
    joined = (torch.cat([getattr(part.rows, name) for part in parts]) for name in ROWS)
    rows = Rows(*joined, _common(*(part.rows.canvas for part in parts)))
    return Carry(state, rows, *(torch.cat([getattr(p, name) for p in parts]) for name in ("steps", "halted", "right")))


@dataclass
class StepOutput:
    """Output of a network's step: new state (detached), cell logits, halting logits ``[batch, 2]``.

    ``auxiliary`` are the logits ``[batch, length, classes]`` of an auxiliary head in training, ``None`` without one.
    """

    state: State
    logits: Tensor
    halt_logits: Tensor
    auxiliary: Tensor | None = None


class RecursiveNetwork(Protocol):
    """What :func:`supervise` and trainers ask of a network.

    :class:`trm_harness.nn.own.OwnNetwork` has a default for all but ``initial_state`` and ``forward``.
    """

    halts_on_continue: bool
    """Halt when the halting logit beats the continue logit (HRM) instead of zero (TRM)."""
    bootstraps: bool
    """Train the continue logit on a bootstrapped target (HRM)."""
    auxiliary_classes: int
    """Classes of an auxiliary head, 0 without one."""
    cycles: tuple[int, int]
    """Rounds and latent updates in use; a recipe may lower them for a while."""
    table: Any
    """Puzzle table, a module with ``weight`` float32 ``[rows, dim]``, or ``None``."""
    device: torch.device
    """Where it lies."""
    stacks: tuple[torch.nn.Module, ...]
    """Its parts that are worth compiling."""

    def initial_state(self, batch: int, length: int) -> State:
        """Starting state for ``batch`` rows of ``length`` cells."""
        ...

    def forward(self, state: State, rows: Rows, puzzle: Tensor | None) -> StepOutput:
        """One supervision step. ``puzzle`` float ``[batch, k, dim]`` are the looked-up table rows."""
        ...

    def network_parameters(self) -> int:
        """Trainable values, without the puzzle table."""
        ...

    def training_flops(self, length: int) -> float:
        """Multiply-adds x 2 of one training step of one example of ``length`` cells."""
        ...

    def bytes_per_row(self, length: int) -> float:
        """What autograd keeps of one example for the backward pass."""
        ...


def empty_carry(network: Any, rows: Rows) -> Carry:
    """A carry in which every row counts as halted, so that the first step takes fresh rows and states."""
    batch, length = rows.tokens.shape
    steps = torch.zeros(batch, dtype=torch.int32, device=rows.tokens.device)
    return Carry(network.initial_state(batch, length), rows, steps, torch.ones_like(steps, dtype=torch.bool))


def admit(network: Any, carry: Carry, fresh: Rows) -> Carry:
    """Replace halted rows by fresh ones with a starting state; their step count restarts at 0."""
    start = network.initial_state(*fresh.tokens.shape)
    state = tuple(_where(carry.halted, new, old) for new, old in zip(start, carry.state, strict=True))
    steps = torch.where(carry.halted, 0, carry.steps)
    rows = carry.rows.replaced(carry.halted, fresh)
    return Carry(state, rows, steps, carry.halted, carry.right & ~carry.halted)


def _where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Rows of ``new`` where ``mask [batch]`` is set, else of ``old``."""
    return torch.where(mask.view(-1, *[1] * (new.ndim - 1)), new, old)


def halting(
    network: Any, halt_logits: Tensor, steps: Tensor, max_steps: int, training: bool, min_steps: Tensor | None = None
) -> Tensor:
    """Who halts after this step, bool ``[batch]``: everybody at ``max_steps``; earlier only in training.

    ``min_steps`` int ``[batch]`` holds rows back (exploration: some rows must think longer than they want to), or
    with :data:`LEAVES` sends them away.
    """
    done = steps >= max_steps
    if not training or max_steps <= 1:
        return done
    stop, proceed = halt_logits.unbind(-1)
    done = done | (stop > proceed if network.halts_on_continue else stop > 0)
    return done if min_steps is None else done & (steps >= min_steps) | (min_steps == LEAVES)


def exploration(batch: int, probability: float, max_steps: int, generator: torch.Generator) -> Tensor:
    """``min_steps`` for :func:`halting`: with ``probability`` a row gets a minimum drawn from 2..max_steps, else 0.

    With a single step there is nothing to hold back: zeros, and nothing is drawn.
    """
    if max_steps < 2:
        return torch.zeros(batch, dtype=torch.int64)
    explores = torch.rand(batch, generator=generator) < probability
    minimum = torch.randint(2, max_steps + 1, (batch,), generator=generator)
    return torch.where(explores, minimum, 0)


def held_deep(minimum: Tensor, share: float, max_steps: int, generator: torch.Generator) -> Tensor:
    """``minimum`` of :func:`exploration` with the first ``share`` of the rows kept from halting by themselves.

    They stay up to ``max_steps`` and leave before with a chance of one in ``max_steps`` each step, so that they are
    out of phase and every depth is trained. Else rows that are right at once would leave no row to train deep steps on.
    """
    count = round(share * len(minimum))
    if not count or max_steps < 2:
        return minimum
    leaves = torch.rand(count, generator=generator) < 1 / max_steps
    deep = torch.where(leaves, LEAVES, max_steps)
    return torch.cat((deep, minimum[count:]))


def supervise(
    network: Any,
    carry: Carry,
    fresh: Rows,
    puzzle: Any,
    max_steps: int,
    training: bool = True,
    min_steps: Tensor | None = None,
) -> tuple[Carry, StepOutput, Tensor | None]:
    """One supervision step: the new carry, the network's output, and HRM's bootstrapped target (else ``None``).

    The new carry's ``right`` is still that of the answers before. ``puzzle`` is a function ``ids -> rows`` (a leaf
    tensor in training, so that its gradient can be read) or ``None`` for networks without a table.
    """
    carry = admit(network, carry, fresh)
    looked_up = None if puzzle is None else puzzle(carry.rows.ids)
    output = network(carry.state, carry.rows, looked_up)
    steps = carry.steps + 1
    halted = halting(network, output.halt_logits, steps, max_steps, training, min_steps)
    target = None
    if training and network.bootstraps:
        target = _bootstrap(network, output.state, carry.rows, looked_up, steps >= max_steps)
    return Carry(output.state, carry.rows, steps, halted, carry.right), output, target


@torch.no_grad()
def _bootstrap(network: Any, state: State, rows: Rows, puzzle: Tensor | None, last: Tensor) -> Tensor:
    stop, proceed = network(state, rows, puzzle).halt_logits.unbind(-1)
    return torch.sigmoid(torch.where(last, stop, torch.maximum(stop, proceed)))
