"""Training steps a second, compiled and not, and how long a step waits for its batch."""

from __future__ import annotations

import dataclasses
from typing import Any

from trm_harness.bench.clock import Timing, by_turns, ratio
from trm_harness.bench.machine import describe, matmul_peak, waiting
from trm_harness.nn.model import DTYPES
from trm_harness.train.learner import Learner
from trm_harness.train.loop import compile_stacks, plain_kernels
from trm_harness.train.session import Job, build


def bench(job: Job, repeats: int, compiled: bool) -> dict[str, Any]:
    """Times of a step and of its batch, JSON-ready. ``BadInput`` for whatever does not go together."""
    recipe = dataclasses.replace(job.recipe, validate_every=0)
    parts = build(dataclasses.replace(job, recipe=recipe))
    learner, count = Learner(parts.model, parts.source, recipe), iter(range(1, 1_000_000))
    bucket = max(parts.source.buckets, key=parts.source.buckets.__getitem__)
    drawn = dataclasses.replace(learner.draws[1], bucket=bucket, rows=parts.source.draw(bucket, 1, recipe.batch_size))
    device = str(parts.model.network.device)

    def plain() -> None:
        with plain_kernels():
            learner.advance(drawn)

    work = {"step": plain, "batch": lambda: parts.source.draw(bucket, next(count), recipe.batch_size)}
    if compiled:
        compile_stacks(parts.model.network, lambda message: None)
        work["compiled step"] = lambda: learner.advance(drawn)
    timings = by_turns(work, repeats, waiting(device))
    peak = matmul_peak(device, DTYPES[recipe.dtype])
    flops = recipe.batch_size * parts.model.network.training_flops(drawn.rows.tokens.shape[1])
    steps = {name: timing for name, timing in timings.items() if name != "batch"}
    return {
        "bench": "train",
        "task": job.task,
        "model": job.model,
        "dtype": recipe.dtype,
        "batch": recipe.batch_size,
        "matmul_peak_flops": peak,
        "rows": {name: _row(timing, steps["step"], recipe.batch_size, flops, peak) for name, timing in steps.items()},
        "measured_beside": "step",
        "input": timings["batch"].as_dict() | {"stall_share": _stall(timings["batch"], steps)},
        "machine": describe(device),
    }


def _row(timing: Timing, first: Timing, batch: int, flops: float, peak: float) -> dict[str, Any]:
    return timing.as_dict() | {
        "examples_per_s": batch / timing.median,
        "speed": 1 / ratio(first, timing),
        "mfu": flops / timing.median / peak,
    }


def _stall(batch: Timing, steps: dict[str, Timing]) -> float:
    """Share of its time that the fastest step would wait for a batch that nobody draws ahead."""
    step = min(timing.median for timing in steps.values())
    return batch.median / (batch.median + step)
