"""Any network of the family behind the harness's Model and Trainable contracts: numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_harness import machine
from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput
from trm_harness.fingerprint import file_sha256
from trm_harness.nn.checkpoint import load_weights, save_weights
from trm_harness.nn.identities import (
    BLANK,
    FactoredIdentities,
    Identities,
    NoIdentities,
    TableIdentities,
    make_identities,
)
from trm_harness.nn.kernels import compile_stacks
from trm_harness.nn.layers import Rope, swiglu_width
from trm_harness.nn.network import Architecture, Network, NetworkConfig, seeded
from trm_harness.nn.noise import gaussian
from trm_harness.nn.supervision import Rows, State
from trm_harness.nn.transfer import on_device, predicted
from trm_harness.specs import ModelSpec
from trm_harness.types import BLANK_NAME, Batch, Cost, ModelFacts, Parameters, Prediction

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class BatchState:
    """State of a batch between steps: latents, and the cached input embedding and rotary tables."""

    latents: State
    x: Tensor
    rope: Rope | None


class TorchModel:
    """A loaded or untrained network. ``network``, ``identity_rows`` and ``save`` serve trainers.

    ``Prediction.halt`` is the halting logit alone, for networks with a continue logit too: it is trained to say
    whether the answer is right, and the reference ranks votes by it.
    """

    def __init__(
        self,
        architecture: Architecture,
        spec: ModelSpec,
        network: Network,
        identities: Identities,
        encoding: Mapping[str, Any],
        facts: ModelFacts,
    ) -> None:
        self.architecture, self.spec, self.network, self.identities = architecture, spec, network, identities
        self.encoding, self._facts = dict(encoding), facts
        self.steps = network.config.supervision_steps

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.network.device

    def facts(self) -> ModelFacts:
        """Size, depth and weights."""
        return self._facts

    def compile(self, say: Callable[[str], None]) -> bool:
        """Hand the network's blocks to ``torch.compile``; where that fails, ``say`` why and leave them as they are."""
        # Halting makes batches smaller: kernels for one size would be compiled over and over.
        return compile_stacks(self.network, say, dynamic=None)

    def identity_rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the puzzle table, ``int64 [size, k]``."""
        return self.identities.rows(identities)

    def unknown(self, identities: Sequence[str]) -> list[str]:
        """Those of ``identities`` that read the blank row; none where the network has no table of identities."""
        if isinstance(self.identities, NoIdentities):
            return []
        own = self.identity_rows(identities)[:, 0].tolist()
        return [name for name, row in zip(identities, own, strict=True) if row == BLANK and name != BLANK_NAME]

    def save(self, path: Path, card: str, dtype: str = "float32", training: Mapping[str, Any] | None = None) -> None:
        """Write the current weights; ``dtype`` is that of the stored tensors, ``training`` their declaration."""
        names = self.identities.names
        save_weights(path, self.architecture, self.network, names, card, DTYPES[dtype], self.encoding, training)

    @torch.inference_mode()
    def begin(self, batch: Batch) -> BatchState:
        """Starting state; the input embedding is computed once for all steps."""
        self._check(batch)
        # Asked on the host: a device would have to be waited for.
        shared = bool((batch.positions == batch.positions[:1]).all())
        positions = batch.positions[:1] if shared else batch.positions
        arrays = (batch.tokens, positions, self.identity_rows(batch.identities))
        tokens, positions, ids = (on_device(array, self.device) for array in arrays)
        puzzle = None if self.network.table is None else self.network.table(ids)
        x, rope = self.network.inputs(Rows(tokens, tokens, positions, ids, b""), puzzle)
        return BatchState(self.network.initial_state(*tokens.shape), x, rope)

    @torch.inference_mode()
    def step(self, state: BatchState) -> tuple[BatchState, Prediction]:
        """One supervision step."""
        out = self.network.step(state.latents, state.x, state.rope)
        return BatchState(out.state, state.x, state.rope), predicted(out)

    @torch.inference_mode()
    def perturb(self, state: BatchState, scale: float, seeds: NDArray[np.uint64], step: int) -> BatchState:
        """The state with noise on every position of its last latent: ``z`` of ``(y, z)``, else all there is.

        The published description (arXiv 2605.19943) adds noise to the latent before every supervision step; the answer
        state ``y`` is left alone here.
        """
        *others, latent = state.latents
        noise = gaussian(seeds, step, latent.shape[1:], self.device)
        noisy = latent.float().add(noise, alpha=scale).to(latent.dtype)
        return BatchState((*others, noisy), state.x, state.rope)

    @torch.inference_mode()
    def select(self, state: BatchState, rows: Sequence[int]) -> BatchState:
        """Keep the named rows."""
        index = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
        rope = state.rope
        if rope is not None and rope[0].shape[0] > 1:
            rope = (rope[0][index], rope[1][index])
        return BatchState(tuple(t[index] for t in state.latents), state.x[index], rope)

    def cost(self, length: int) -> Cost:
        """FLOPs of one step, and bytes held: input, latents and the widest activations of one block."""
        config = self.network.config
        latents = len(self.network.initial_state(1, 0))
        width = torch.finfo(self.network.dtype).bits // 8
        values = config.places(length) * (1 + latents + 4 * 2 + 8) * config.hidden_size
        widest = float(config.places(length) * 2 * swiglu_width(config.hidden_size, config.expansion) * width)
        return Cost(self.network.flops_per_step(length), float(values * width), widest_bytes=widest)

    def _check(self, batch: Batch) -> None:
        """On the host: a device would have to be waited for."""
        config = self.network.config
        length = batch.tokens.shape[1]
        symbols, cells = int(batch.tokens.max()) + 1, int(batch.positions.max()) + 1
        if symbols > config.vocab_size or cells > config.seq_len:
            if cells <= config.seq_len:
                row = int(np.unravel_index(batch.tokens.argmax(), batch.tokens.shape)[0])
                raise BadInput(
                    f"{self.spec.id}: puzzle {batch.puzzles[row].id} has a symbol that the weights do not know "
                    f"(token {symbols - 1}, they know 0 to {config.vocab_size - 1}): correct it"
                )
            raise BadInput(
                f"{self.spec.id}: a puzzle needs {symbols} symbols and {cells} cells, "
                f"the weights know {config.vocab_size} and {config.seq_len}: use weights made for this task"
            )
        if config.fixed_length and length != config.seq_len:
            raise BadInput(f"{self.spec.id}: its mixer needs {config.seq_len} cells, not {length}: use canvas=full")


def build(architecture: Architecture, request: ModelRequest) -> TorchModel:
    """Load ``request.weights``, or make an untrained network from the spec's config. No gradients."""
    model = trainable(architecture, request)
    model.network.eval().requires_grad_(False)
    for parameter in model.network.parameters():
        # Cast once instead of on every use; the table and the starting states are buffers and stay in float32.
        parameter.data = parameter.data.to(model.network.dtype)
    if model.device.type == "cpu":
        machine.keep_freed_memory()
    return model


def trainable(architecture: Architecture, request: ModelRequest) -> TorchModel:
    """Like :func:`build`, for trainers: gradients on, parameters in float32."""
    dtype = DTYPES[request.dtype]
    if request.weights is None:
        network, identities, encoding = _untrained(architecture, request, dtype)
        sha, source = "", "untrained"
    else:
        network, names, encoding = load_weights(request.weights, architecture, dtype, request.changes, request.seed)
        network = _on_board(architecture, network, request)
        _check_variant(network.config, request)
        identities = make_identities(network.config.identities, names)
        sha, source = file_sha256(request.weights), request.weights.name
    network = network.to(request.device).train()
    return TorchModel(architecture, request.spec, network, identities, encoding, _facts(network, sha, source))


def _untrained(
    architecture: Architecture, request: ModelRequest, dtype: torch.dtype
) -> tuple[Network, Identities, Mapping[str, Any]]:
    values = dict(request.spec.config)
    encoding = dict(values.pop("encoding", {}))
    kind = values.pop("identities", "table" if request.identities else "none")
    identities = make_identities(kind, request.identities)
    table_rows = identities.table_rows if isinstance(identities, TableIdentities | FactoredIdentities) else 1
    sizes = architecture.config.task_values(values, request.task)
    config = architecture.config.from_mapping(values | sizes | {"identities": kind, "table_rows": table_rows})
    with seeded(request.seed):
        return architecture.network(config, dtype), identities, encoding


def _on_board(architecture: Architecture, network: Network, request: ModelRequest) -> Network:
    """The network on the task's board: itself, or where weights move from board to board, its like of that size."""
    config = network.config
    if not config.movable:
        _check_task(config, request)
        return network
    moved = config.moved(request.task)
    if moved == config:
        return network
    like, tensors = architecture.network(moved, network.dtype), network.state_dict()
    if any(value.shape != tensors[name].shape for name, value in like.state_dict().items()):
        _check_task(config, request)
    like.load_state_dict(tensors)
    return like


def _check_task(config: NetworkConfig, request: ModelRequest) -> None:
    task = request.task
    if (config.vocab_size, config.seq_len) != (task.vocab_size, task.seq_len):
        raise BadInput(
            f"{request.weights.name}: weights for {config.vocab_size} symbols on {config.seq_len} cells, but task "
            f"{task.id} has {task.vocab_size} on {task.seq_len}: use weights made for it"
        )


def _check_variant(config: NetworkConfig, request: ModelRequest) -> None:
    # The file's own configuration decides what is computed, so a wrong name would go unnoticed into the record.
    wanted = request.spec.config
    for name in config.variant:
        if name in wanted and wanted[name] != getattr(config, name):
            raise BadInput(
                f"{request.weights.name}: its weights have {name} {getattr(config, name)!r}, but {request.spec.id} has "
                f"{wanted[name]!r}: name the model they were trained as"
            )


def _facts(network: Network, sha: str, source: str) -> ModelFacts:
    config = network.config
    table = 0 if network.table is None else network.table.weight.numel()
    touched = 0 if network.table is None else config.rows_per_puzzle * config.puzzle_dim
    return ModelFacts(
        Parameters(network.network_parameters(), table, touched), config.effective_depth, sha, source, config.as_dict()
    )
