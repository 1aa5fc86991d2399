"""Training examples drawn a second - generated, shuffled, turned - and the memory that takes."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from trm_harness import machine
from trm_harness.bench.clock import by_turns
from trm_harness.bench.machine import describe
from trm_harness.contracts import HasTraining
from trm_harness.errors import BadInput
from trm_harness.registry import default


def bench(task: str, data: Path | None, batch: int, repeats: int) -> dict[str, Any]:
    """Examples a second of every bucket, and this process's memory before and after, JSON-ready.

    ``BadInput`` for a task that offers no training examples.
    """
    before = machine.peak_memory("cpu")
    registry = default()
    made = registry.task(task, data)
    if not isinstance(made, HasTraining):
        raise BadInput(f"task {task} offers no training examples: choose another task")
    source = made.training_source(0, {}, {})
    loaded = machine.peak_memory("cpu")
    numbers = count(1)
    work = {name: lambda name=name: source.draw(name, next(numbers), batch) for name in source.buckets}
    timings = by_turns(work, repeats)
    mean = sum(share * timings[name].median for name, share in source.buckets.items()) / sum(source.buckets.values())
    return {
        "bench": "data",
        "task": task,
        "batch": batch,
        "rows": {
            name: timing.as_dict() | {"examples_per_s": batch / timing.median} for name, timing in timings.items()
        },
        "examples_per_s": batch / mean,
        "memory_bytes": {
            "before": before,
            "with_the_task": loaded,
            "at_the_end": machine.peak_memory("cpu"),
            "added": machine.peak_memory("cpu") - before,
        },
        "machine": describe("cpu"),
    }
