"""What an evaluation will take, before it writes anything: answers, work, memory, and time by a short trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from trm_harness import machine
from trm_harness.contracts import LearnsTasks, Metered, Model, Quotes, Task
from trm_harness.inference import InferencePlan, Selection
from trm_harness.inference.plan import to_batch
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.inference.steps import predict

TRIAL_SECONDS = 2.0
"""A trial ends after so long; at least one batch is answered."""
TRIAL_ROWS = 16
TRIAL_TASKS = 8
"""Most tasks of which a few steps of learning are timed."""
LEARNING_SECONDS = 10.0
"""No further task is tried after so long."""
QUOTED = 2000
"""Answers whose use is estimated one by one; what is beyond them is taken in proportion."""


@dataclass(frozen=True)
class Forecast:
    """``answers`` are puzzles times views times restarts, ``steps`` are those of each.

    ``flops`` and ``bytes`` are what the model states of the first batch's length: work in all, memory of a batch.
    ``seconds`` are by a trial of ``trial`` answers; ``None`` for a service, which is not asked before it has to be.
    ``learning`` of them are those in which a model learns ``groups`` tasks first, each once, work that ``flops`` leave
    out.

    ``usage`` holds what all answers of a service will use, by the names of
    :class:`~trm_harness.contracts.Quotes`, estimated from the questions of ``quoted`` of them.
    """

    puzzles: int
    answers: int
    steps: int
    batch: int
    flops: float
    bytes: float
    trial: int
    seconds: float | None
    groups: int = 0
    learning: float = 0.0
    quoted: int = 0
    usage: Mapping[str, float] = field(default_factory=dict)


def forecast(task: Task, model: Model, plan: InferencePlan, selection: Selection, device: str) -> Forecast:
    """The forecast of a run. Takes seconds; ``BadInput`` as an evaluation gives it."""
    plan.check(task)
    plan.check_model(model)
    stored = StoredPlan.make(task, model, plan, selection, machine.free_memory(device), device, {})
    work = stored.work(task, selection)
    _, batch = next(work.batches(model, stored.steps))
    length = batch[0].encoded.length
    cost = model.cost(length)
    quoted, usage = _quoted(model, stored, work) if isinstance(model, Quotes) else (0, {})
    learning, answering = 0.0, model
    if isinstance(model, LearnsTasks):
        answering = model.model
        learning = _learning_seconds(model, selection) * selection.groups
    trial, seconds = (0, None) if isinstance(answering, Metered) else _tried(task, answering, stored, work, plan)
    return Forecast(
        puzzles=len(selection),
        answers=work.total,
        steps=stored.steps,
        batch=len(batch),
        flops=cost.flops_per_step * stored.steps * work.total,
        bytes=4.0 * model.facts().parameters.network + cost.bytes_per_example * len(batch),
        trial=trial,
        seconds=None if seconds is None else seconds * work.total + learning,
        groups=selection.groups,
        learning=learning,
        quoted=quoted,
        usage=usage,
    )


def _learning_seconds(model: LearnsTasks, selection: Selection) -> float:
    """Seconds of learning a task: the mean over a few that lie evenly in the selection. At least one is tried."""
    places = [len(selection) * part // TRIAL_TASKS for part in range(TRIAL_TASKS)]
    tasks = list({puzzle.group: puzzle for puzzle in map(selection.__getitem__, places)}.values())
    began, found = time.monotonic(), [model.learning_seconds(tasks[0])]
    if time.monotonic() - began < TRIAL_SECONDS:
        # It warmed up, and does not count.
        found = []
    while len(found) < len(tasks) and (not found or time.monotonic() - began < LEARNING_SECONDS):
        found.append(model.learning_seconds(tasks[len(found)]))
    return sum(found) / len(found)


def _quoted(model: Quotes, stored: StoredPlan, work: Any) -> tuple[int, dict[str, float]]:
    """Answers that were looked at, and what all of them will use."""
    sums: Counter[str] = Counter()
    seen = 0
    for _, batch in work.batches(model, stored.steps):
        sums.update(model.quote(to_batch(batch)))
        seen += len(batch)
        if seen >= QUOTED:
            break
    return seen, {name: value * work.total / seen for name, value in sums.items()}


def _tried(task: Task, model: Model, stored: StoredPlan, work: Any, plan: InferencePlan) -> tuple[int, float]:
    """Answers of a trial, and seconds an answer. The first batch warms up and does not count if another follows."""
    options, spent, answered = plan.options(stored.steps), 0.0, 0
    began = time.monotonic()
    for _, batch in islice(work.batches(model, stored.steps), 8):
        some = batch[:TRIAL_ROWS]
        start = time.perf_counter()
        predict(task, model, some, options)
        took = time.perf_counter() - start
        if answered == 0 and took < TRIAL_SECONDS:
            start = time.perf_counter()
            predict(task, model, some, options)
            took = time.perf_counter() - start
        spent, answered = spent + took, answered + len(some)
        if time.monotonic() - began > TRIAL_SECONDS:
            break
    return answered, spent / answered
