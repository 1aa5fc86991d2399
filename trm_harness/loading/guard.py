"""The guard before an evaluation: puzzles that the weights were trained on, found by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trm_harness.contamination import NOTHING_TRAINED, UNKNOWN, Asked, check
from trm_harness.contracts import Task
from trm_harness.errors import BadInput, HarnessError
from trm_harness.evaluate import InferencePlan, select
from trm_harness.hub import cache_only
from trm_harness.launch.choices import Launch, task_of
from trm_harness.record import ContaminationEntry, TrainingEntry, training_of
from trm_harness.registry import default

NAMED = 3
"""Ids in the line that refuses."""


def guard(
    task: Task, plan: InferencePlan, launch: Launch, declared: Mapping[str, Any], allowed: bool
) -> ContaminationEntry:
    """What the record says of contamination. ``BadInput`` for a contaminated evaluation that is not ``allowed``.

    ``declared`` is the weights' card, or what their file says of their training; empty if nothing is known. Nothing is
    downloaded for it.
    """
    if launch.untrained or default().models.spec(launch.model).family in ("solver", "trivial"):
        return NOTHING_TRAINED
    if not declared:
        return UNKNOWN
    training = training_of(declared)
    asked = Asked(task, plan.split, tuple(select(task, plan)))
    with cache_only():
        found = check(asked, training, tuple(_relatives(task, training, own_data=bool(launch.data))), allowed)
    if found.status == "contaminated" and not allowed:
        raise BadInput(_refusal(found, declared["name"], f"{task.spec.id} {plan.split}"))
    return found


def _relatives(task: Task, training: TrainingEntry, own_data: bool) -> Iterator[Task]:
    """Registered tasks with their published data that could share a puzzle with ``task``: of its family and size.

    ``task`` itself is one of them, unless it was given data of the user's own.
    """
    registry, named = default(), {use.task for use in training.data}
    sizes = (task.spec.family, task.spec.vocab_size, task.spec.seq_len)
    for spec in registry.tasks:
        if (spec.family, spec.vocab_size, spec.seq_len) != sizes:
            continue
        try:
            relative = task if spec.id == task.spec.id and not own_data else task_of(spec.id, None, registry)
        except HarnessError:
            continue
        # Large files from a hub are read only where the declaration says that they were trained on.
        if not hasattr(relative, "pull") or spec.id in named | {task.spec.id}:
            yield relative


def _refusal(found: ContaminationEntry, weights: str, evaluated: str) -> str:
    """One line: how many, where, which, and what to do."""
    sources = ", ".join(entry.name for entry in found.checked if entry.counted and entry.puzzles)
    more = ", ..." if found.puzzles > NAMED else ""
    return (
        f"{found.puzzles:,} of {found.compared:,} puzzles of {evaluated} are in what {weights} was trained on "
        f"({sources}): {', '.join(found.ids[:NAMED])}{more}; evaluate other weights or puzzles, "
        "or run it flagged and unranked with --allow-contaminated"
    )
