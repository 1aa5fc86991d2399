"""What a run will take, before it starts: steps, floating point operations, memory, and time by a short trial."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from trm_harness.machine import synchronize
from trm_harness.train.learner import Learner
from trm_harness.train.recipe import Recipe, Stage
from trm_harness.train.session import Parts

TRIAL_FLOPS = 4e10
"""Work of the trial step: about half a second on one core, nothing on a GPU."""
_STEPS = 2


@dataclass(frozen=True)
class Estimate:
    """``seconds`` are for this device without compiling, by a trial of ``trial_rows`` rows; ``bytes`` per process."""

    steps: int
    examples: int
    flops: float
    seconds: float
    trial_rows: int
    parameters: int
    table: int
    bytes_fixed: float
    bytes_activations: float


def estimate(parts: Parts, recipe: Recipe, processes: int = 1) -> Estimate:
    """Estimate a run of ``recipe`` over ``processes`` devices like this one. Takes a second or so."""
    network, flops, longest = parts.model.network, 0.0, 0
    own = network.cycles
    for stage in recipe.stages:
        _use_stage(network, stage, own)
        lengths = _lengths(parts, stage)
        longest = max(longest, *lengths)
        each = sum(share * network.training_flops(length) for length, share in lengths.items())
        flops += stage.steps * recipe.batch_size * each
    rows, rate = _trial(parts, recipe)
    micro = recipe.batch_size // (processes * recipe.accumulate)
    table = 0 if network.table is None else network.table.weight.numel()
    values = network.network_parameters()
    activations = micro * network.bytes_per_row(longest)
    network.cycles = own
    return Estimate(
        steps=recipe.total_steps,
        examples=recipe.total_steps * recipe.batch_size,
        flops=flops,
        seconds=flops / rate / processes,
        trial_rows=rows,
        parameters=values,
        table=table,
        # Weights, gradients, two moments and the average in float32.
        bytes_fixed=4.0 * (5 * values + table),
        bytes_activations=activations,
    )


def _lengths(parts: Parts, stage: Stage) -> dict[int, float]:
    """Tokens of each bucket and its share of the draws in a stage."""
    buckets = parts.source.mixed(stage.shares) if stage.shares else parts.source.buckets
    drawn = {name: parts.source.draw(name, 1, 1).tokens.shape[1] for name in buckets}
    shares: dict[int, float] = {}
    for name, length in drawn.items():
        shares[length] = shares.get(length, 0.0) + buckets[name]
    return shares


def _use_stage(network: Any, stage: Any, own: tuple[int, int]) -> None:
    h, l = own  # noqa: E741
    network.cycles = (stage.h_cycles or h, stage.l_cycles or l)


def _trial(parts: Parts, recipe: Recipe) -> tuple[int, float]:
    """Rows of a trial step, and its floating point operations a second; the learner is thrown away."""
    shortest = min(parts.source.buckets, key=lambda name: parts.source.draw(name, 1, 1).tokens.shape[1])
    length = parts.source.draw(shortest, 1, 1).tokens.shape[1]
    network = parts.model.network
    each, own = network.training_flops(length), network.cycles
    rows = int(max(1, min(recipe.batch_size, TRIAL_FLOPS / each)))
    last = dataclasses.replace(recipe.stages[-1], shares={})
    small = dataclasses.replace(recipe, batch_size=rows, accumulate=1, compile=False, stages=(last,), parts=())
    learner = Learner(parts.model, _OneBucket(parts.source, shortest), small)
    learner.advance()
    began = time.perf_counter()
    for _ in range(_STEPS):
        learner.advance()
    synchronize(str(network.device))
    network.cycles = own
    return rows, each * rows * _STEPS / max(1e-9, time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class _OneBucket:
    """A source narrowed to one bucket, so that the trial has one length."""

    source: Any
    bucket: str

    @property
    def buckets(self) -> dict[str, float]:
        return {self.bucket: 1.0}

    def draw(self, bucket: str, index: int, size: int) -> Any:
        return self.source.draw(bucket, index, size)
