"""What the networks of the family share: a checked configuration, the frame, the puzzle table, one supervision step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, get_type_hints

import torch
from torch import Tensor, nn

from trm_harness.errors import BadInput
from trm_harness.nn.frame import POSITIONS, Frame, FrameConfig, PuzzleTable, initial_state
from trm_harness.nn.layers import Rope, Stack, swiglu_width
from trm_harness.nn.supervision import Rows, State, StepOutput
from trm_harness.specs import TaskSpec
from trm_harness.types import plain

LARGEST = {False: 100_000_000, True: 1000}
"""Most that a size may be, and most layers (``True``): above any network of the family, below what would hang."""
MIXERS = ("attention", "mlp")
IDENTITIES = ("none", "table", "factored")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initial weights made inside depend on ``seed`` alone and leave the caller's random stream where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class NetworkConfig:
    """The part of a configuration that every architecture has. Reference names in brackets.

    ``hidden_size``, ``heads`` [num_heads], ``expansion`` of SwiGLU, ``supervision_steps`` [halt_max_steps], ``mixer``
    ``attention`` or ``mlp`` [mlp_t], ``positions`` [pos_encodings], ``prefix`` [puzzle_emb_len], ``puzzle_dim``
    [puzzle_emb_ndim], ``identities``: how a puzzle's identity becomes table rows (``none``, one row each = ``table``,
    or ``factored`` into task, dihedral map and colours), ``table_rows`` rows of the table.

    A subclass adds its own fields and names in ``counts`` those that must be whole numbers above 0, in ``choices``
    those with few values, and in ``variant`` those that a registered name promises.
    """

    title: ClassVar[str] = "network"
    counts: ClassVar[tuple[str, ...]] = ("vocab_size", "seq_len", "hidden_size", "heads", "supervision_steps")
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "mixer": MIXERS,
        "positions": POSITIONS,
        "identities": IDENTITIES,
    }
    variant: ClassVar[tuple[str, ...]] = ("mixer", "positions")
    movable: ClassVar[bool] = False
    """Whether weights made for one board serve another: no tensor's shape depends on the board."""

    vocab_size: int
    seq_len: int
    hidden_size: int = 512
    heads: int = 8
    expansion: float = 4.0
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
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))
        for name, allowed in self.choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise self._bad(f"{name} {value!r} is unknown: use one of {', '.join(map(str, allowed))}")
        for name in self.counts:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise self._bad(f"{name} is {value!r}: it must be a whole number above 0")
        self._check_numbers()
        self._check_sizes()

    def _check_numbers(self) -> None:
        """Weights bring their configuration along, so it may be anybody's: no size here may run away."""
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if kind is int and (type(value) is not int or not 0 <= value <= LARGEST[name.endswith("layers")]):
                raise self._bad(
                    f"{name} is {value!r}: it must be a whole number up to {LARGEST[name.endswith('layers')]}"
                )
            if kind is float and not (isinstance(value, int | float) and 0 <= value <= LARGEST[False]):
                raise self._bad(f"{name} is {value!r}: it must be a number from 0 to {LARGEST[False]}")

    def _check_sizes(self) -> None:
        head = self.hidden_size // self.heads
        if self.positions == "rope" and self.mixer == "attention" and head % 2:
            raise self._bad(f"rotary positions need an even head size, not {head}: change hidden_size or heads")
        if self.puzzle_dim and self.rows_per_puzzle * self.puzzle_dim > self.prefix * self.hidden_size:
            raise self._bad(
                f"{self.rows_per_puzzle} puzzle rows of {self.puzzle_dim} values do not fit a prefix of "
                f"{self.prefix} x {self.hidden_size}: raise prefix or lower puzzle_dim"
            )

    @classmethod
    def _bad(cls, message: str) -> BadInput:
        return BadInput(f"{cls.title} config: {message}")

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
        """Layers passed in one supervision step."""
        raise NotImplementedError

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Build from plain data; ``BadInput`` names an unknown key."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise cls._bad(f"unknown key {unknown[0]!r}: known are {', '.join(sorted(known))}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return asdict(self)

    @classmethod
    def task_values(cls, values: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
        """What of a configuration a task decides. ``values`` are the other settings."""
        return {"vocab_size": task.vocab_size, "seq_len": task.seq_len}

    def moved(self, task: TaskSpec) -> NetworkConfig:
        """This configuration on the board of ``task``; only for those that are ``movable``."""
        values = self.as_dict()
        return self.from_mapping(values | self.task_values(values, task))

    def grown(self, wider: NetworkConfig, name: str, own: Tensor, fresh: Tensor) -> Tensor | None:
        """Tensor ``name`` of a network of the sizes ``wider`` that computes what this one does, from this one's and an
        untrained one's; ``None`` where there is none.
        """
        return None

    @property
    def fixed_length(self) -> bool:
        """Whether a batch must have all ``seq_len`` cells."""
        return self.mixer == "mlp"

    def places(self, length: int) -> int:
        """Places of the state for ``length`` cells, prefix included."""
        return self.prefix + length

    def row_values(self, tokens: int) -> int:
        """Values that autograd keeps of one block for one example on ``tokens`` places: inputs and activations."""
        each = tokens * (3 * self.hidden_size + 3 * swiglu_width(self.hidden_size, self.expansion))
        if self.mixer == "mlp":
            return each + self.hidden_size * (2 * tokens + 3 * swiglu_width(tokens, self.expansion))
        return each + tokens * 5 * self.hidden_size

    def frame(self) -> Frame:
        """A fresh frame of these sizes."""
        return Frame(FrameConfig(**{f.name: getattr(self, f.name) for f in fields(FrameConfig)}))

    def stack(self, layers: int) -> Stack:
        """A fresh stack of ``layers`` blocks of these sizes."""
        sequence = self.sequence if self.mixer == "mlp" else 0
        return Stack(layers, self.hidden_size, self.heads, self.expansion, self.rms_norm_eps, sequence)

    def block_flops(self, tokens: int) -> int:
        """Multiply-adds x 2 of one block on ``tokens`` positions, prefix included (matrix products only)."""
        channels = 2 * tokens * 3 * self.hidden_size * swiglu_width(self.hidden_size, self.expansion)
        if self.mixer == "mlp":
            return channels + 2 * self.hidden_size * 3 * tokens * swiglu_width(tokens, self.expansion)
        inner = self.heads * (self.hidden_size // self.heads)
        return channels + 2 * tokens * 4 * self.hidden_size * inner + 4 * tokens * tokens * inner


class Network(nn.Module):
    """Base of the networks: frame, stacks of blocks, puzzle table, starting states. Subclasses bring ``refine``.

    The state is a tuple of tensors ``[batch, prefix + length, hidden]`` in the compute dtype, the answer state first.
    ``cycles`` are the rounds and latent updates in use: the configuration's, unless a recipe thinks less early on
    (networks without recursion ignore them). Parameters are float32 whatever ``dtype`` activations have.
    """

    halts_on_continue = False
    bootstraps = False
    auxiliary_classes = 0
    """Those of an auxiliary head, see :meth:`auxiliary`."""
    cycles: tuple[int, int] = (1, 1)

    def __init__(
        self, config: NetworkConfig, dtype: torch.dtype, stacks: Mapping[str, int], starts: Sequence[str]
    ) -> None:
        """``stacks``: name and layers of each network; ``starts``: names of the fixed starting vectors, in order."""
        super().__init__()
        self.config, self.dtype = config, dtype
        self.frame = config.frame()
        for name, layers in stacks.items():
            self.add_module(name, config.stack(layers))
        self.table = PuzzleTable(config.table_rows, config.puzzle_dim) if config.puzzle_dim else None
        self._starts = tuple(starts)
        for name in starts:
            self.register_buffer(name, initial_state(config.hidden_size))

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.frame.answer_head.weight.device

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The networks proper, which do nearly all of the work: what is worth compiling."""
        return tuple(child for child in self.children() if isinstance(child, Stack))

    def initial_state(self, batch: int, length: int) -> State:
        """The state before the first step."""
        shape = (batch, self.config.places(length), self.config.hidden_size)
        return tuple(getattr(self, name).to(self.dtype).expand(shape) for name in self._starts)

    def inputs(self, rows: Rows, puzzle: Tensor | None) -> tuple[Tensor, Rope | None]:
        """Input embedding and rotary tables of ``rows``: constant over the supervision steps, so cache them."""
        return (
            self.frame.embed(rows.tokens, rows.positions, puzzle, self.dtype),
            self.frame.rope(rows.shared_positions),
        )

    def refine(self, state: State, x: Tensor, rope: Rope | None, last: bool) -> State:
        """One round. ``last`` is the round of a supervision step that has gradients."""
        raise NotImplementedError

    def step(self, state: State, x: Tensor, rope: Rope | None) -> StepOutput:
        """One supervision step: all rounds but the last without gradients."""
        with torch.no_grad():
            for _ in range(self.cycles[0] - 1):
                state = self.refine(state, x, rope, last=False)
        state = self.refine(state, x, rope, last=True)
        logits, halt_logits = self.frame.read(state[0])
        return StepOutput(tuple(latent.detach() for latent in state), logits, halt_logits, self.auxiliary(state[0]))

    def auxiliary(self, answer: Tensor) -> Tensor | None:
        """Logits of an auxiliary head for the answer state, where training needs them; here there is no such head."""
        return None

    def forward(self, state: State, rows: Rows, puzzle: Tensor | None) -> StepOutput:
        """One supervision step from raw rows (training)."""
        return self.step(state, *self.inputs(rows, puzzle))

    def network_parameters(self) -> int:
        """Trainable values, without the puzzle table and the starting states (as the reference counts)."""
        return sum(p.numel() for p in self.parameters())

    def layer_passes(self) -> tuple[int, int]:
        """Layers that a token passes through in one supervision step of training: without and with gradients."""
        raise NotImplementedError

    def training_flops(self, length: int) -> float:
        """Multiply-adds x 2 of one training step of one example: backward costs twice what forward does."""
        config, tokens = self.config, self.config.places(length)
        without, carrying = self.layer_passes()
        head = 2 * tokens * config.hidden_size * config.vocab_size
        return float((without + 3 * carrying) * config.block_flops(tokens) + 3 * head)

    def bytes_per_row(self, length: int) -> float:
        """What autograd keeps of one example: inputs of every product and activation of the layers with gradients."""
        tokens = self.config.places(length)
        width = 2 if self.dtype == torch.bfloat16 else 4
        logits = tokens * self.config.vocab_size * 8 * 4
        return float(self.layer_passes()[1] * self.config.row_values(tokens) * width + logits)

    def flops_per_step(self, length: int) -> float:
        """Multiply-adds x 2 of one supervision step of one example of ``length`` cells (matrix products only)."""
        config, tokens = self.config, self.config.places(length)
        head = 2 * tokens * config.hidden_size * config.vocab_size
        return float(config.effective_depth * config.block_flops(tokens) + head)


@dataclass(frozen=True)
class Architecture:
    """What a plugin brings to :mod:`trm_harness.nn.model`.

    ``name`` stands in the metadata of its weights; ``reference`` maps the reference's names of the stacks
    (``L_level``) to ours (``core``).
    """

    name: str
    config: type[NetworkConfig]
    network: type[Network]
    reference: Mapping[str, str]
