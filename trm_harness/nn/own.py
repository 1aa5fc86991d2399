"""A network of your own: write one class, and it answers, trains, is estimated, saved and loaded like those shipped.

:class:`OwnNetwork` is all that trainers and the evaluator ask of a network. A subclass brings two methods,
``initial_state`` and ``forward``; everything else has a default. A plugin's targets are then two lines::

    def build(request): return own.build(MyNetwork, request)
    def trainable(request): return own.trainable(MyNetwork, request)

The class is made as ``MyNetwork(vocab_size=..., seq_len=..., **settings)``: sizes from the task, settings from the
spec's ``config``, which ``--set``, recipes and weights files may change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trm_harness import machine
from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput, PluginError
from trm_harness.fingerprint import file_sha256
from trm_harness.nn.checkpoint import load_weights, save_weights
from trm_harness.nn.network import seeded
from trm_harness.nn.noise import gaussian
from trm_harness.nn.supervision import ROWS, Rows, State, StepOutput
from trm_harness.nn.transfer import on_device, predicted
from trm_harness.types import Batch, Cost, ModelFacts, Parameters, Prediction, plain

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LARGEST, MOST_LAYERS = 100_000_000, 1000
"""Most that a whole number in a weights file's configuration may be, and one whose name ends in ``layers``."""


class OwnNetwork(nn.Module):
    """Base of a network of one's own: what trainers ask of a network, with a default for all but two methods.

    A subclass takes ``vocab_size`` and ``seq_len`` and its settings as keyword arguments, and defines
    :meth:`initial_state` and :meth:`forward`. Parameters are float32; under ``bfloat16`` the call runs in autocast.
    """

    supervision_steps: ClassVar[int] = 16
    """Steps of its published protocol, where the settings have no ``supervision_steps``."""
    halts_on_continue = False
    """Halt when the halting logit beats the continue logit (HRM) instead of zero (TRM)."""
    bootstraps = False
    """Train the continue logit on a bootstrapped target (HRM): costs a second forward pass."""
    auxiliary_classes: int = 0
    """Classes of an auxiliary head, whose logits ``forward`` gives as ``StepOutput.auxiliary``."""
    cycles: tuple[int, int] = (1, 1)
    """Rounds and latent updates in one step. A recipe's stage may lower them for a while, if ``forward`` reads them."""
    table: Any = None
    """Puzzle table, a module with ``weight`` ``[rows, dim]``; networks of this base have none."""
    latent = -1
    """Which tensor of the state takes noise (``--noise``)."""
    dtype: torch.dtype = torch.float32
    """Number format of the activations."""
    effective_depth = 0
    """Layers that one supervision step passes through, for the record; 0 where nobody counts them."""
    config: OwnConfig
    """Sizes and settings that it was made with."""

    def initial_state(self, batch: int, length: int) -> State:
        """The state before the first step, for ``batch`` rows of ``length`` cells.

        Any tuple of tensors, the batch first; the step's answer may be among them or not.
        """
        raise NotImplementedError

    def forward(self, state: State, rows: Rows, puzzle: Tensor | None) -> StepOutput:
        """One supervision step: the new state, logits ``[batch, length, vocab]`` and halting logits.

        ``rows.tokens`` int64 ``[batch, length]`` is the puzzle, ``rows.positions`` each cell's place on the canvas.
        Halting logits are ``[batch]``, positive for "finished", or ``[batch, 2]`` with a continue logit. ``puzzle`` is
        ``None``. Never read ``rows.labels``. The state is detached for you.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return next(self.parameters()).device

    @property
    def stacks(self) -> tuple[nn.Module, ...]:
        """Its parts that are worth compiling: none unless you name some."""
        return ()

    def network_parameters(self) -> int:
        """Trainable values."""
        return sum(value.numel() for value in self.parameters())

    def flops_per_step(self, length: int) -> float:
        """Multiply-adds x 2 of one supervision step of one example: counted while it runs, matrix products only."""
        return self._measured(length)[0]

    def training_flops(self, length: int) -> float:
        """Those of one training step: backward costs twice what forward does."""
        return 3 * self.flops_per_step(length)

    def bytes_per_row(self, length: int) -> float:
        """What autograd keeps of one example for the backward pass, measured."""
        return self._measured(length)[1]

    def __call__(self, state: State, rows: Rows, puzzle: Tensor | None = None) -> StepOutput:
        """:meth:`forward` in the number format, its output checked. ``PluginError`` says what has another shape."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            out = super().__call__(state, rows, puzzle)
        batch, length = rows.tokens.shape
        halt = out.halt_logits.float()
        halt = torch.stack([halt, torch.zeros_like(halt)], -1) if halt.ndim == 1 else halt
        shapes = {"logits": (out.logits.shape[:2], (batch, length)), "halt_logits": (halt.shape, (batch, 2))}
        if self.auxiliary_classes and out.auxiliary is not None:
            shapes["auxiliary"] = (out.auxiliary.shape, (batch, length, self.auxiliary_classes))
        shapes |= {f"state[{index}]": (part.shape[:1], (batch,)) for index, part in enumerate(out.state)}
        for name, (found, wanted) in shapes.items():
            if tuple(found) != wanted:
                raise PluginError(f"{type(self).__name__}.forward: {name} begins {tuple(found)}, it must be {wanted}")
        return StepOutput(tuple(part.detach() for part in out.state), out.logits.float(), halt, out.auxiliary)

    def _measured(self, length: int) -> tuple[float, float]:
        """FLOPs of a forward pass and bytes kept for the backward one, of one row of ``length`` cells."""
        known = self.__dict__.setdefault("_known_costs", {})
        key = (length, self.cycles, self.dtype)
        if key not in known:
            try:
                known[key] = self._measure(length)
            except (RuntimeError, IndexError):
                # Made for one length: in proportion to that.
                full = self.config.values["seq_len"]
                if length == full:
                    raise
                flops, kept = self._measured(full)
                known[key] = (flops * length / full, kept * length / full)
        return known[key]

    def _measure(self, length: int) -> tuple[float, float]:
        cells = torch.zeros(1, length, dtype=torch.int64, device=self.device)
        places = torch.arange(length, device=self.device)[None]
        rows = Rows(cells, cells, places, torch.zeros(1, 1, dtype=torch.int64, device=self.device))
        own = {value.data_ptr() for value in self.parameters()}
        kept: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            if value.data_ptr() not in own:
                kept[value.data_ptr()] = value.numel() * value.element_size()
            return value

        counter = FlopCounterMode(display=False)
        # Dropout must not move the random numbers of whoever asks.
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value)
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), counter, hooks:
            self(self.initial_state(1, length), rows)
        return float(counter.get_total_flops()), float(sum(kept.values()))


@dataclass(frozen=True)
class OwnConfig:
    """Sizes and settings as they stand in a weights file: whole numbers, numbers, words and truth values by name."""

    values: Mapping[str, Any]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """``BadInput`` for a value that no setting has: weights bring their configuration, which may be anybody's."""
        values = plain(values)
        for name, value in values.items():
            most = MOST_LAYERS if name.endswith("layers") else LARGEST
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (isinstance(value, bool | str) or (number and math.isfinite(value) and abs(value) <= most)):
                raise BadInput(f"{name} is {value!r}: a setting is a word, a truth value or a number up to {most}")
        return cls(dict(values))

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dict(self.values)

    def grown(self, wider: OwnConfig, name: str, own: Tensor, fresh: Tensor) -> None:
        """None: how a class's tensors grow is not known."""


@dataclass(frozen=True)
class OwnArchitecture:
    """The class behind a weights file of the model ``name``; keeps what :mod:`trm_harness.nn.checkpoint` asks for."""

    name: str
    kind: type[OwnNetwork]
    config: ClassVar[type[OwnConfig]] = OwnConfig

    def network(self, config: OwnConfig, dtype: torch.dtype) -> OwnNetwork:
        """A fresh network. ``TypeError`` for a setting that the class does not take."""
        network = self.kind(**config.values)
        network.config, network.dtype = config, dtype
        return network


@dataclass
class OwnState:
    """State of a batch between steps."""

    latents: State
    rows: Rows


class OwnModel:
    """An :class:`OwnNetwork` behind the contracts: keeps ``Model``, ``Trainable`` and ``Perturbable``."""

    def __init__(
        self, architecture: OwnArchitecture, request: ModelRequest, network: OwnNetwork, encoding: Mapping[str, Any]
    ) -> None:
        self.architecture, self.spec, self.network, self.encoding = architecture, request.spec, network, dict(encoding)
        self.steps = int(network.config.values.get("supervision_steps", network.supervision_steps))
        self._weights = ("", "untrained")
        if request.weights is not None:
            self._weights = (request.weights_sha256 or file_sha256(request.weights), request.weights.name)

    def facts(self) -> ModelFacts:
        """Size, depth and weights."""
        parameters = Parameters(self.network.network_parameters())
        return ModelFacts(parameters, self.network.effective_depth, *self._weights, self.network.config.as_dict())

    def identity_rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """Zeros: there is no table."""
        return np.zeros((len(identities), 1), dtype=np.int64)

    def save(self, path: Path, card: str, dtype: str = "float32", training: Mapping[str, Any] | None = None) -> None:
        """Write the current weights with their configuration and the declaration of what they were trained on."""
        save_weights(path, self.architecture, self.network, (), card, DTYPES[dtype], self.encoding, training)

    @torch.inference_mode()
    def begin(self, batch: Batch) -> OwnState:
        """The starting state. ``BadInput`` for a puzzle with more symbols than the weights know."""
        known = int(self.network.config.values["vocab_size"])
        if (most := int(batch.tokens.max()) + 1) > known:
            raise BadInput(f"{self.spec.id}: a puzzle needs {most} symbols, the weights know {known}")
        arrays = (batch.tokens, batch.tokens, batch.positions, self.identity_rows(batch.identities))
        rows = Rows(*(on_device(array, self.network.device) for array in arrays))
        return OwnState(self.network.initial_state(*batch.tokens.shape), rows)

    @torch.inference_mode()
    def step(self, state: OwnState) -> tuple[OwnState, Prediction]:
        """One supervision step."""
        out = self.network(state.latents, state.rows)
        return OwnState(out.state, state.rows), predicted(out)

    @torch.inference_mode()
    def perturb(self, state: OwnState, scale: float, seeds: NDArray[np.uint64], step: int) -> OwnState:
        """The state with noise on the network's ``latent``."""
        latents = list(state.latents)
        latent = latents[self.network.latent]
        noise = gaussian(seeds, step, latent.shape[1:], self.network.device)
        latents[self.network.latent] = latent.float().add(noise, alpha=scale).to(latent.dtype)
        return OwnState(tuple(latents), state.rows)

    @torch.inference_mode()
    def select(self, state: OwnState, rows: Sequence[int]) -> OwnState:
        """Keep the named rows."""
        index = torch.as_tensor(rows, dtype=torch.int64, device=self.network.device)
        kept = (getattr(state.rows, name)[index] for name in ROWS)
        return OwnState(tuple(latent[index] for latent in state.latents), Rows(*kept))

    def cost(self, length: int) -> Cost:
        """FLOPs of one step, and the bytes that an example may take."""
        return Cost(self.network.flops_per_step(length), self.network.bytes_per_row(length))


def build(kind: type[OwnNetwork], request: ModelRequest) -> OwnModel:
    """The model of ``request.weights``, or an untrained one, to answer: without gradients."""
    model = trainable(kind, request)
    model.network.eval().requires_grad_(False)
    if model.network.device.type == "cpu":
        machine.keep_freed_memory()
    return model


def trainable(kind: type[OwnNetwork], request: ModelRequest) -> OwnModel:
    """Like :func:`build`, for trainers. ``BadInput`` for settings the class does not take, and for foreign weights."""
    architecture, dtype = OwnArchitecture(request.spec.id, kind), DTYPES[request.dtype]
    sizes = {"vocab_size": request.task.vocab_size, "seq_len": request.task.seq_len}
    if request.weights is not None:
        network, _, encoding = load_weights(request.weights, architecture, dtype, request.changes, request.seed)
        made = {name: network.config.values.get(name) for name in sizes}
        if made != sizes:
            told = ", ".join(f"{name} {value}" for name, value in made.items())
            raise BadInput(f"{request.weights.name}: weights for {told}, but task {request.task.id} has {sizes}")
    else:
        settings = dict(request.spec.config)
        encoding = dict(settings.pop("encoding", {}))
        config = OwnConfig.from_mapping(sizes | settings)
        try:
            with seeded(request.seed):
                network = architecture.network(config, dtype)
        except TypeError as error:
            raise BadInput(f"a network cannot be made of its settings: {error}") from error
    return OwnModel(architecture, request, network.to(request.device).train(), encoding)
