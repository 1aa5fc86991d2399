"""The Tiny Recursive Model: one small network refines a latent ``z`` and an answer ``y`` in turn (arXiv 2510.04871).

Equality with the reference (forward at every supervision step, losses, gradients, optimizer steps) is what
``tests/plugins/test_trm_parity.py`` proves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from trm_harness.errors import BadInput
from trm_harness.nn.frame import POSITIONS, Frame, FrameConfig, PuzzleTable, initial_state
from trm_harness.nn.layers import Rope, Stack, swiglu_width
from trm_harness.nn.supervision import Rows, State, StepOutput

MIXERS = ("attention", "mlp")
IDENTITIES = ("none", "table", "factored")


@dataclass(frozen=True)
class TRMConfig:
    """Architecture. Reference names in brackets.

    ``layers`` [L_layers], ``h_cycles`` [H_cycles] outer rounds of which the last has gradients, ``l_cycles``
    [L_cycles] latent updates a round, ``supervision_steps`` [halt_max_steps], ``mixer`` ``attention`` or ``mlp``
    [mlp_t], ``positions`` [pos_encodings], ``prefix`` [puzzle_emb_len], ``puzzle_dim`` [puzzle_emb_ndim],
    ``identities``: how a puzzle's identity becomes table rows (``none``, one row each = ``table``, or ``factored``
    into task, dihedral map and colours), ``table_rows`` rows of the table.
    """

    vocab_size: int
    seq_len: int
    hidden_size: int = 512
    heads: int = 8
    layers: int = 2
    expansion: float = 4.0
    h_cycles: int = 3
    l_cycles: int = 6
    supervision_steps: int = 16
    mixer: str = "attention"
    positions: str = "rope"
    prefix: int = 16
    puzzle_dim: int = 512
    identities: str = "table"
    table_rows: int = 1
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("mixer", self.mixer, MIXERS),
            ("positions", self.positions, POSITIONS),
            ("identities", self.identities, IDENTITIES),
        ):
            if value not in allowed:
                raise BadInput(f"TRM config: {name} {value!r} is unknown: use one of {', '.join(allowed)}")
        self._check_sizes()

    def _check_sizes(self) -> None:
        counts = (
            "vocab_size",
            "seq_len",
            "hidden_size",
            "heads",
            "layers",
            "h_cycles",
            "l_cycles",
            "supervision_steps",
        )
        for name in counts:
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise BadInput(f"TRM config: {name} is {getattr(self, name)!r}: it must be a whole number above 0")
        if self.positions == "rope" and self.mixer == "attention" and (self.hidden_size // self.heads) % 2:
            raise BadInput(
                f"TRM config: rotary positions need an even head size, "
                f"not {self.hidden_size // self.heads}: change hidden_size or heads"
            )
        if self.puzzle_dim and self.rows_per_puzzle * self.puzzle_dim > self.prefix * self.hidden_size:
            raise BadInput(
                f"TRM config: {self.rows_per_puzzle} puzzle rows of {self.puzzle_dim} values do not fit a prefix of "
                f"{self.prefix} x {self.hidden_size}: raise prefix or lower puzzle_dim"
            )

    @property
    def rows_per_puzzle(self) -> int:
        """Table rows one puzzle looks up: task, dihedral map and ten colours when factored."""
        return 12 if self.identities == "factored" else 1

    @property
    def sequence(self) -> int:
        """Full sequence length, prefix included."""
        return self.prefix + self.seq_len

    @property
    def effective_depth(self) -> int:
        """Layers passed in one evaluation: layers x updates x rounds x supervision steps (the paper's count)."""
        return self.layers * (self.l_cycles + 1) * self.h_cycles * self.supervision_steps

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TRMConfig:
        """Build from plain data; ``BadInput`` names an unknown key."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise BadInput(f"TRM config: unknown key {unknown[0]!r}: known are {', '.join(sorted(known))}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return asdict(self)


class TRM(nn.Module):
    """The network. State is ``(y, z)``, each ``[batch, prefix + length, hidden]`` in the compute dtype.

    ``cycles`` are the rounds and latent updates in use: the configuration's, unless a recipe thinks less early on.
    """

    halts_on_continue = False
    bootstraps = False

    def __init__(self, config: TRMConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config, self.dtype = config, dtype
        self.cycles = (config.h_cycles, config.l_cycles)
        self.frame = Frame(
            FrameConfig(
                vocab_size=config.vocab_size,
                seq_len=config.seq_len,
                hidden_size=config.hidden_size,
                heads=config.heads,
                positions=config.positions,
                prefix=config.prefix,
                puzzle_dim=config.puzzle_dim,
                rope_theta=config.rope_theta,
            )
        )
        self.core = Stack(
            config.layers,
            config.hidden_size,
            config.heads,
            config.expansion,
            config.rms_norm_eps,
            sequence=config.sequence if config.mixer == "mlp" else 0,
        )
        self.table = PuzzleTable(config.table_rows, config.puzzle_dim) if config.puzzle_dim else None
        self.register_buffer("y_init", initial_state(config.hidden_size))
        self.register_buffer("z_init", initial_state(config.hidden_size))

    def initial_state(self, batch: int, length: int) -> State:
        """``(y, z)`` before the first step."""
        shape = (batch, self.config.prefix + length, self.config.hidden_size)
        return tuple(start.to(self.dtype).expand(shape) for start in (self.y_init, self.z_init))

    def inputs(self, rows: Rows, puzzle: Tensor | None) -> tuple[Tensor, Rope | None]:
        """Input embedding and rotary tables of ``rows``: constant over the supervision steps, so cache them."""
        return (
            self.frame.embed(rows.tokens, rows.positions, puzzle, self.dtype),
            self.frame.rope(self._shared_positions(rows.positions)),
        )

    @staticmethod
    def _shared_positions(positions: Tensor) -> Tensor:
        # One table serves the batch when every row lies on the same canvas, which batching by length makes the rule.
        return positions[:1] if bool((positions == positions[:1]).all()) else positions

    def refine(self, state: State, x: Tensor, rope: Rope | None) -> State:
        """One round: ``l_cycles`` updates of the latent given input and answer, then one of the answer."""
        y, z = state
        for _ in range(self.cycles[1]):
            z = self.core(z, y + x, rope)
        return self.core(y, z, rope), z

    def step(self, state: State, x: Tensor, rope: Rope | None) -> StepOutput:
        """One supervision step: all rounds but the last without gradients."""
        with torch.no_grad():
            for _ in range(self.cycles[0] - 1):
                state = self.refine(state, x, rope)
        y, z = self.refine(state, x, rope)
        logits, halt_logits = self.frame.read(y)
        return StepOutput((y.detach(), z.detach()), logits, halt_logits)

    def forward(self, state: State, rows: Rows, puzzle: Tensor | None) -> StepOutput:
        """One supervision step from raw rows (training)."""
        return self.step(state, *self.inputs(rows, puzzle))

    def network_parameters(self) -> int:
        """Trainable values, without the puzzle table and the two starting states (as the reference counts)."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_step(self, length: int) -> float:
        """Multiply-adds x 2 of one supervision step of one example of ``length`` cells (matrix products only)."""
        c, tokens = self.config, self.config.prefix + length
        block = 2 * tokens * 3 * c.hidden_size * swiglu_width(c.hidden_size, c.expansion)
        if c.mixer == "mlp":
            block += 2 * c.hidden_size * 3 * tokens * swiglu_width(tokens, c.expansion)
        else:
            inner = c.heads * (c.hidden_size // c.heads)
            block += 2 * tokens * 4 * c.hidden_size * inner + 4 * tokens * tokens * inner
        passes = c.layers * (c.l_cycles + 1) * c.h_cycles
        return float(passes * block + 2 * tokens * c.hidden_size * c.vocab_size)
