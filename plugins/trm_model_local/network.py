"""TRM's recursion over blocks that mix cells locally: one network for canvases of any size and for related cells.

Recursion, halting and deep supervision are TRM's (arXiv 2510.04871). That a local recurrent rule learned on small
boards carries over to large ones is the lesson of deep-thinking networks (arXiv 2202.05826); mixing over the rows,
columns and boxes of a Sudoku that of recurrent relational networks (arXiv 1711.08028).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from trm_harness.nn.frame import Frame, FrameConfig
from trm_harness.nn.layers import Linear, Rope, Stack
from trm_harness.nn.network import Network, NetworkConfig
from trm_harness.nn.recursion import refine_pair
from trm_harness.nn.supervision import Rows, State
from trm_harness.relations import Relation, relations
from trm_harness.specs import TaskSpec
from trm_model_local.frame import SymbolFrame
from trm_model_local.layers import (
    CanvasStack,
    Depthwise,
    LocalBlock,
    MessageBlock,
    Relating,
    RelationStack,
    depthwise_flops,
    relating_flops,
    square_side,
)


@dataclass(frozen=True)
class LocalConfig(NetworkConfig):
    """Architecture. ``mixer`` is ``conv`` (``kernel`` cells wide), ``messages`` (``message`` values to each of the four
    neighbours) or ``relations``; ``width`` SwiGLU's inner width.

    ``layers``, ``h_cycles`` and ``l_cycles`` are TRM's. ``broadcast`` lets the cells see the prefix, which is how a
    puzzle's identity reaches them. ``relations`` are the names that the task declares, separated by blanks; tokens
    ``first_symbol .. first_symbol + symbols - 1`` are interchangeable (``symbols`` 0: cells have a state each, not
    cells and symbols). ``auxiliary`` are the classes of a second head, which learns auxiliary labels in training and is
    not asked afterwards (0: none). ``heads``, ``expansion`` and rotary positions mean nothing here.
    """

    title: ClassVar[str] = "TRM local"
    counts: ClassVar[tuple[str, ...]] = (
        *NetworkConfig.counts,
        *("layers", "h_cycles", "l_cycles", "width", "kernel", "message", "prefix"),
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **NetworkConfig.choices,
        "mixer": ("conv", "messages", "relations"),
        "positions": ("none",),
    }
    movable: ClassVar[bool] = True

    mixer: str = "conv"
    positions: str = "none"
    prefix: int = 1
    puzzle_dim: int = 0
    layers: int = 2
    h_cycles: int = 2
    l_cycles: int = 4
    width: int = 64
    kernel: int = 3
    message: int = 16
    broadcast: bool = False
    relations: str = ""
    first_symbol: int = 0
    symbols: int = 0
    auxiliary: int = 0

    def _check_sizes(self) -> None:
        super()._check_sizes()
        if not isinstance(self.broadcast, bool) or not isinstance(self.relations, str):
            raise self._bad("broadcast must be true or false and relations names in one string")
        if self.on_canvas and not square_side(self.seq_len):
            raise self._bad(f"the mixer {self.mixer} needs a square canvas, not {self.seq_len} cells")
        if self.mixer == "conv" and (self.kernel % 2 == 0 or self.kernel > 15):
            raise self._bad("a convolution needs an odd kernel up to 15")
        if self.auxiliary and self.symbols:
            raise self._bad("an auxiliary head has no room beside interchangeable symbols: set symbols = 0")
        if self.on_canvas and self.symbols:
            raise self._bad("interchangeable symbols need the mixer relations")
        if self.mixer == "relations" and not self.relations.split():
            raise self._bad("the task declares no relations: use trm-conv, or name some (rows columns ...)")
        if self.first_symbol + self.symbols > self.vocab_size:
            raise self._bad(f"symbols end at token {self.first_symbol + self.symbols}, there are {self.vocab_size}")

    @classmethod
    def task_values(cls, values: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
        """Sizes, relations and symbols of the task over ``values``, which may say ``symbols = 0`` of their own."""
        sizes = super().task_values(values, task)
        if values.get("mixer") != "relations":
            return sizes
        first, count = task.symbols if values.get("symbols", 1) else (0, 0)
        return {**sizes, "relations": " ".join(task.relations), "first_symbol": first, "symbols": count}

    def moved(self, task: TaskSpec) -> NetworkConfig:
        """This configuration on the board of ``task``. ``BadInput`` for one of other relations: they are learnt."""
        moved = super().moved(task)
        if isinstance(moved, LocalConfig) and moved.relations != self.relations:
            raise self._bad(
                f"the weights were trained on the relations {self.relations!r}, but task {task.id} declares "
                f"{moved.relations!r}: use weights made for it"
            )
        return moved

    def grown(self, wider: LocalConfig, name: str, own: Tensor, fresh: Tensor) -> Tensor | None:
        """Tensor ``name`` of a network of a larger ``width`` or ``message`` that computes what this one does: ``own``
        within ``fresh``, an untrained one's. What is new hears at random and says nothing yet (arXiv 1511.05641).
        """
        dim, kind = self.hidden_size, name.removesuffix(".weight").rpartition(".")[2]
        heard = [dim + place for place in _spread(4, self.message, wider.message)] if self.mixer == "messages" else []
        held = {
            "say": (_spread(4, self.message, wider.message), range(dim)),
            "gate_up": (_spread(2, self.width, wider.width), [*range(dim), *heard]),
            "down": (range(dim), range(self.width)),
        }
        smaller = wider.width < self.width or wider.message < self.message
        if kind not in held or smaller or wider.hidden_size != dim:
            return None
        rows, columns = (torch.tensor(list(places)) for places in held[kind])
        silent = torch.ones(fresh.shape[1], dtype=torch.bool).index_fill(0, columns, False)
        grown = fresh.masked_fill(silent, 0)
        grown[rows[:, None], columns] = own
        return grown

    @property
    def on_canvas(self) -> bool:
        """Whether cells mix with those beside them on a square canvas of any side."""
        return self.mixer != "relations"

    @property
    def fixed_length(self) -> bool:
        """Relations are those of one board."""
        return self.mixer == "relations"

    @property
    def effective_depth(self) -> int:
        """Layers passed in one supervision step, as TRM counts."""
        return self.layers * (self.l_cycles + 1) * self.h_cycles

    def places(self, length: int) -> int:
        """States of ``length`` cells, prefix included."""
        return self.prefix + length * max(1, self.symbols)

    def related(self) -> tuple[Relation, ...]:
        """The relations on this board."""
        return relations(self.relations.split(), self.seq_len)

    def frame(self) -> Frame:
        """A fresh frame of these sizes."""
        config = FrameConfig(**{f.name: getattr(self, f.name) for f in fields(FrameConfig)})
        return SymbolFrame(config, self.first_symbol, self.symbols) if self.symbols else Frame(config)

    def stack(self, layers: int) -> Stack:
        """A fresh stack of ``layers`` blocks of these sizes."""
        seen = self.prefix if self.broadcast else 0
        blocks = [self._block(seen) for _ in range(layers)]
        if self.on_canvas:
            return CanvasStack(blocks, self.prefix, self.hidden_size)
        return RelationStack(blocks, self.prefix, self.hidden_size, max(1, self.symbols))

    def _block(self, seen: int) -> LocalBlock | MessageBlock:
        sizes = (self.hidden_size, self.width, seen, self.rms_norm_eps)
        if self.mixer == "messages":
            return MessageBlock(*sizes, self.message)
        if self.mixer == "conv":
            return LocalBlock(*sizes, Depthwise(self.hidden_size, self.kernel))
        return LocalBlock(*sizes, Relating(self.hidden_size, self.related(), max(1, self.symbols)))

    def block_flops(self, tokens: int) -> int:
        """Multiply-adds x 2 of one block on ``tokens`` states, prefix included."""
        channels = 2 * tokens * 3 * self.hidden_size * self.width
        if self.mixer == "messages":
            return channels + 2 * tokens * 4 * self.message * (self.hidden_size + 2 * self.width)
        if self.mixer == "conv":
            return channels + tokens * depthwise_flops(self.hidden_size, self.kernel)
        return channels + relating_flops(self.hidden_size, self.related(), self.seq_len, max(1, self.symbols))

    def row_values(self, tokens: int) -> int:
        """Values that autograd keeps of one block for one example."""
        messages = 8 * self.message if self.mixer == "messages" else 0
        return tokens * (6 * self.hidden_size + 3 * self.width + messages)


def _spread(groups: int, size: int, larger: int) -> list[int]:
    """Places of ``groups`` times ``size`` values where each group has grown to ``larger``."""
    return [group * larger + place for group in range(groups) for place in range(size)]


class Local(Network):
    """The network. State is ``(y, z)``. The geometry of a canvas travels where rotary tables do."""

    def __init__(self, config: LocalConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config, dtype, {"core": config.layers}, ("y_init", "z_init"))
        self.cycles = (config.h_cycles, config.l_cycles)
        self.auxiliary_classes = config.auxiliary
        self.auxiliary_head = Linear(config.hidden_size, config.auxiliary, bias=True) if config.auxiliary else None

    def inputs(self, rows: Rows, puzzle: Tensor | None) -> tuple[Tensor, Rope | None]:
        """Input embedding, and an empty tensor ``[1, height, width, 0]`` that says how the cells lie."""
        x = self.frame.embed(rows.tokens, rows.positions, puzzle, self.dtype)
        if not self.config.on_canvas:
            return x, None
        side = square_side(rows.tokens.shape[1])
        if not side:
            raise self.config._bad(f"{rows.tokens.shape[1]} cells are no square canvas")
        return x, (x.new_empty(1, side, side, 0), x.new_empty(1))

    def auxiliary(self, answer: Tensor) -> Tensor | None:
        """Logits ``[batch, cells, classes]`` in training."""
        if self.auxiliary_head is None or not torch.is_grad_enabled():
            return None
        return self.auxiliary_head(answer[:, self.config.prefix :])

    def layer_passes(self) -> tuple[int, int]:
        """Every round but the last is free of gradients."""
        rounds, updates = self.cycles
        each = self.config.layers * (updates + 1)
        return (rounds - 1) * each, each

    def refine(self, state: State, x: Tensor, rope: Rope | None, last: bool) -> State:
        """One round: latent updates given input and answer, then one update of the answer."""
        return refine_pair(self.core, self.core, state, x, rope, self.cycles[1], one_step=False)
