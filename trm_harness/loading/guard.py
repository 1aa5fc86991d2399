"""The guard before an evaluation: puzzles that the weights were trained on, found by content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trm_harness.contracts import Pulls, Task
from trm_harness.errors import BadInput, HarnessError
from trm_harness.files.hub import cache_only
from trm_harness.loading.choices import Launch, published_task
from trm_harness.loading.contamination import NOTHING_TRAINED, UNKNOWN, Asked, check, named_task, of_one_size
from trm_harness.record import ContaminationEntry, TrainingEntry, training_of
from trm_harness.registry import default
from trm_harness.types import Puzzle

NAMED = 3
"""Ids in the line that refuses."""


def guard(
    task: Task, split: str, puzzles: Iterable[Puzzle], launch: Launch, declared: Mapping[str, Any], allowed: bool
) -> ContaminationEntry:
    """What the record says of contamination. ``BadInput`` for a contaminated evaluation that is not ``allowed``.

    ``puzzles`` are those of ``split`` that are evaluated. ``declared`` is the weights' card, or what their file says of
    their training; empty if nothing is known. Nothing is downloaded for it.
    """
    if launch.untrained or default().models.spec(launch.model).family in ("solver", "trivial"):
        return NOTHING_TRAINED
    if not declared:
        return UNKNOWN
    training = training_of(declared)
    asked = Asked(task, split, tuple(puzzles))
    with cache_only():
        found = check(asked, training, tuple(_relatives(task, training, own_data=bool(launch.data))), allowed)
    if found.status == "contaminated" and not allowed:
        raise BadInput(_refusal(found, declared["name"], f"{task.spec.id} {split}"))
    return found


def _relatives(task: Task, training: TrainingEntry, own_data: bool) -> Iterator[Task]:
    """Registered tasks with their published data that could share a puzzle with ``task``: of its family and size.

    Those that the declaration names are among them whatever their size, and ``task`` itself, unless it was given data
    of the user's own.
    """
    registry, named = default(), {named_task(use) for use in training.data}
    for spec in registry.tasks:
        if not of_one_size(spec, task.spec) and spec.id not in named:
            continue
        try:
            relative = task if spec.id == task.spec.id and not own_data else published_task(spec.id, registry)
        except HarnessError:
            continue
        # Large files from a hub are read only where the declaration says that they were trained on.
        if not isinstance(relative, Pulls) or spec.id in named | {task.spec.id}:
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
