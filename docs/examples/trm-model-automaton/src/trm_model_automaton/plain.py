"""The same automaton in numpy: it answers where there is no torch, from the files that torch wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from trm_harness import BadInput, Batch, Cost, ModelFacts, ModelRequest, Parameters, Prediction
from trm_harness.zoo import safetensors_metadata

Array = NDArray[np.float32]


@dataclass
class State:
    """The puzzle as read and what was thought of it, ``[batch, cells, hidden]``."""

    given: Array
    latent: Array


class PlainAutomaton:
    """Keeps trm_harness.contracts.Model."""

    def __init__(self, request: ModelRequest) -> None:
        """Arrays of ``request.weights``, or random ones by its seed. ``BadInput`` for weights of another task."""
        self.spec, self.encoding, task = request.spec, {}, request.task
        settings = dict(request.spec.config)
        if request.weights is not None:
            settings = json.loads(safetensors_metadata(request.weights).get("config", "{}"))
        sizes = {"vocab_size": task.vocab_size, "seq_len": task.seq_len}
        settings = sizes | settings
        if any(settings[name] != size for name, size in sizes.items()) or isqrt(task.seq_len) ** 2 != task.seq_len:
            raise BadInput(f"{self.spec.id}: these weights are not for boards such as those of {task.id}")
        self.side, self.steps = isqrt(task.seq_len), int(settings["supervision_steps"])
        shapes = shapes_of(task.vocab_size, task.seq_len, int(settings["hidden_size"]))
        self._arrays = load_file(request.weights) if request.weights else untrained(shapes, request.seed)
        wrong = [name for name, shape in shapes.items() if getattr(self._arrays.get(name), "shape", None) != shape]
        if wrong:
            raise BadInput(f"{self.spec.id}: the weights file has no {wrong[0]} of the shape {shapes[wrong[0]]}")
        self._facts = ModelFacts(
            Parameters(sum(array.size for array in self._arrays.values())),
            effective_depth=2,
            weights_sha256=request.weights_sha256,
            weights_source=request.weights.name if request.weights else "untrained",
            config=settings,
        )

    def facts(self) -> ModelFacts:
        """Size, depth and weights."""
        return self._facts

    def begin(self, batch: Batch) -> State:
        """The puzzle as read, and nothing thought yet."""
        given = self._arrays["symbol.weight"][batch.tokens] + self._arrays["place.weight"][batch.positions]
        return State(given, np.zeros_like(given))

    def step(self, state: State) -> tuple[State, Prediction]:
        """One update of every cell."""
        latent = state.latent
        heard = self._linear("hear", np.concatenate([state.given, *self._means(latent)], -1))
        heard = heard * _sigmoid(heard)
        forget, keep = np.split(_sigmoid(self._linear("gates", np.concatenate([heard, latent], -1))), 2, -1)
        new = np.tanh(self._linear("new", np.concatenate([heard, forget * latent], -1)))
        latent = keep * latent + (1 - keep) * new
        tokens = self._linear("answer", latent).argmax(-1).astype(np.int32)
        halt = self._linear("halt", latent.mean(1, keepdims=True))[:, 0, 0]
        return State(state.given, latent), Prediction(tokens, halt.astype(np.float32))

    def select(self, state: State, rows: Sequence[int]) -> State:
        """Keep the named rows."""
        kept = list(rows)
        return State(state.given[kept], state.latent[kept])

    def cost(self, length: int) -> Cost:
        """Multiply-adds x 2 of one step, and the bytes of an example."""
        values = sum(self._arrays[f"{name}.weight"].size for name in ("hear", "gates", "new", "answer"))
        return Cost(2.0 * length * values, 4.0 * length * 12 * self._arrays["hear.bias"].size)

    def _means(self, latent: Array) -> tuple[Array, ...]:
        board = latent.reshape(len(latent), self.side, self.side, -1)
        means = (board.mean(axes, keepdims=True) for axes in (2, 1, (1, 2)))
        return tuple(np.broadcast_to(mean, board.shape).reshape(latent.shape) for mean in means)

    def _linear(self, name: str, x: Array) -> Array:
        # einsum sums in one order whatever the batch: an answer must not depend on its neighbours.
        return np.einsum("bci,oi->bco", x, self._arrays[f"{name}.weight"]) + self._arrays[f"{name}.bias"]


def shapes_of(symbols: int, cells: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Every array of a weights file, as torch names it."""
    linear = {
        "hear": (hidden, 4 * hidden), "gates": (2 * hidden, 2 * hidden), "new": (hidden, 2 * hidden),
        "answer": (symbols, hidden), "halt": (1, hidden),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"symbol.weight": (symbols, hidden), "place.weight": (cells, hidden)}
    shapes |= {f"{name}.weight": shape for name, shape in linear.items()}
    return shapes | {f"{name}.bias": shape[:1] for name, shape in linear.items()}


def untrained(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Any]:
    """Random weights: they show that everything runs."""
    random = np.random.default_rng(seed)
    return {name: random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def _sigmoid(x: Array) -> Array:
    return (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)
