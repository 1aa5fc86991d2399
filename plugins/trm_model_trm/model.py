"""TRM behind the harness's Model contract: numpy in, numpy out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput
from trm_harness.fingerprint import file_sha256
from trm_harness.nn.layers import Rope
from trm_harness.nn.supervision import Rows, State
from trm_harness.specs import ModelSpec
from trm_harness.types import Batch, Cost, ModelFacts, Parameters, Prediction
from trm_model_trm.checkpoint import load_weights, save_weights
from trm_model_trm.identities import FactoredIdentities, Identities, TableIdentities, make_identities
from trm_model_trm.network import TRM, TRMConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class TRMState:
    """State of a batch between steps: latents, and the cached input embedding and rotary tables."""

    latents: State
    x: Tensor
    rope: Rope | None


class TRMModel:
    """A loaded or untrained TRM. ``network`` and ``identity_rows`` serve trainers."""

    def __init__(
        self, spec: ModelSpec, network: TRM, identities: Identities, encoding: Mapping[str, Any], facts: ModelFacts
    ) -> None:
        self.spec, self.network, self.identities = spec, network, identities
        self.encoding, self._facts = dict(encoding), facts
        self.steps = network.config.supervision_steps

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.network.y_init.device

    def facts(self) -> ModelFacts:
        """Size, depth and weights."""
        return self._facts

    def identity_rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the puzzle table, ``int64 [size, k]``."""
        return self.identities.rows(identities)

    def save(self, path: Path, card: str, dtype: str = "float32") -> None:
        """Write the current weights; ``dtype`` is that of the stored tensors."""
        save_weights(path, self.network, self.identities.names, card, DTYPES[dtype], encoding=self.encoding)

    @torch.inference_mode()
    def begin(self, batch: Batch) -> TRMState:
        """Starting state; the input embedding is computed once for all steps."""
        tokens, positions, ids = (
            torch.from_numpy(np.ascontiguousarray(a, dtype=np.int64)).to(self.device)
            for a in (batch.tokens, batch.positions, self.identity_rows(batch.identities))
        )
        self._check(tokens, positions)
        puzzle = None if self.network.table is None else self.network.table(ids)
        x, rope = self.network.inputs(Rows(tokens, tokens, positions, ids), puzzle)
        return TRMState(self.network.initial_state(*tokens.shape), x, rope)

    @torch.inference_mode()
    def step(self, state: TRMState) -> tuple[TRMState, Prediction]:
        """One supervision step."""
        out = self.network.step(state.latents, state.x, state.rope)
        tokens = out.logits.argmax(-1).to(torch.int32).cpu().numpy()
        halt = out.halt_logits[:, 0].cpu().numpy()
        return TRMState(out.state, state.x, state.rope), Prediction(tokens, halt)

    @torch.inference_mode()
    def select(self, state: TRMState, rows: Sequence[int]) -> TRMState:
        """Keep the named rows."""
        index = torch.as_tensor(rows, device=self.device)
        rope = state.rope
        if rope is not None and rope[0].shape[0] > 1:
            rope = (rope[0][index], rope[1][index])
        return TRMState(tuple(t[index] for t in state.latents), state.x[index], rope)

    def cost(self, length: int) -> Cost:
        """FLOPs of one step, and bytes held: inputs, latents and the widest activations of one block."""
        config = self.network.config
        width = torch.finfo(self.network.dtype).bits // 8
        rows = (config.prefix + length) * width
        held = rows * (3 + 4 * 2 + 8) * config.hidden_size
        return Cost(self.network.flops_per_step(length), float(held))

    def _check(self, tokens: Tensor, positions: Tensor) -> None:
        config = self.network.config
        length = tokens.shape[1]
        if int(tokens.max()) >= config.vocab_size or int(positions.max()) >= config.seq_len:
            raise BadInput(
                f"{self.spec.id}: a puzzle needs {int(tokens.max()) + 1} symbols and {int(positions.max()) + 1} cells, "
                f"the weights know {config.vocab_size} and {config.seq_len}: use weights made for this task"
            )
        if config.mixer == "mlp" and length != config.seq_len:
            raise BadInput(f"{self.spec.id}: the MLP mixer needs {config.seq_len} cells, not {length}: use canvas=full")


def build(request: ModelRequest) -> TRMModel:
    """Target of the TRM specs: load ``request.weights``, or make an untrained network from the spec's config."""
    model = trainable(request)
    model.network.eval().requires_grad_(False)
    for parameter in model.network.parameters():
        # Cast once instead of on every use; the table and the starting states are buffers and stay in float32.
        parameter.data = parameter.data.to(model.network.dtype)
    return model


def trainable(request: ModelRequest) -> TRMModel:
    """Like :func:`build`, for trainers: gradients on, parameters in float32."""
    dtype = DTYPES[request.dtype]
    if request.weights is None:
        network, identities, encoding = _untrained(request, dtype)
        sha, source = "", "untrained"
    else:
        network, names, encoding = load_weights(request.weights, dtype)
        _check_task(network.config, request)
        identities = make_identities(network.config.identities, names)
        sha, source = file_sha256(request.weights), request.weights.name
    network = network.to(request.device).train()
    return TRMModel(request.spec, network, identities, encoding, _facts(network, sha, source))


def _untrained(request: ModelRequest, dtype: torch.dtype) -> tuple[TRM, Identities, Mapping[str, Any]]:
    values = dict(request.spec.config)
    encoding = dict(values.pop("encoding", {}))
    kind = values.pop("identities", "table" if request.identities else "none")
    identities = make_identities(kind, request.identities)
    table_rows = identities.table_rows if isinstance(identities, TableIdentities | FactoredIdentities) else 1
    config = TRMConfig.from_mapping(
        values
        | {
            "vocab_size": request.task.vocab_size,
            "seq_len": request.task.seq_len,
            "identities": kind,
            "table_rows": table_rows,
        }
    )
    with _seeded(request.seed):
        return TRM(config, dtype), identities, encoding


@contextlib.contextmanager
def _seeded(seed: int) -> Any:
    # Initial weights depend on the seed alone and leave the caller's random stream where it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _check_task(config: TRMConfig, request: ModelRequest) -> None:
    task = request.task
    if (config.vocab_size, config.seq_len) != (task.vocab_size, task.seq_len):
        raise BadInput(
            f"{request.weights.name}: weights for {config.vocab_size} symbols on {config.seq_len} cells, but task "
            f"{task.id} has {task.vocab_size} on {task.seq_len}: use weights made for it"
        )


def _facts(network: TRM, sha: str, source: str) -> ModelFacts:
    config = network.config
    table = 0 if network.table is None else network.table.weight.numel()
    touched = 0 if network.table is None else config.rows_per_puzzle * config.puzzle_dim
    return ModelFacts(
        Parameters(network.network_parameters(), table, touched), config.effective_depth, sha, source, config.as_dict()
    )
