"""A run's scores computed anew from its answers, wherever the run was made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trm_harness.contracts import Task
from trm_harness.evaluate import rescore
from trm_harness.files.hub import cache_only
from trm_harness.leaderboard.archive import RESCORED, CheckEntry, journal_sha256, sha256
from trm_harness.loading import published_task, task_of
from trm_harness.record import RECORD_FILE, RunRecord, environment, read
from trm_harness.registry import default

Data = Mapping[str, Path]
"""Task -> folder with its data, for tasks whose data does not ship."""


FINDINGS = ("headline", "scores", "selections", "measures", "depth_curve", "difficulty", "trajectory_curve", "halting")
"""Fields of a record that follow from the journal."""


def filed_task(folder: Path, data: Data, made: dict[str, Task] | None = None) -> Task:
    """The task of a run wherever it was made: its own data by ``data``, else what ships or was pulled.

    ``made`` holds the tasks of other runs by id and gets this one: reading and hashing a split once serves all.
    """
    name, made = read(folder).task.id, {} if made is None else made
    if name not in made:
        made[name] = task_of(name, data[name]) if name in data else published_task(name, default())
    return made[name]


def rescored(folder: Path, data: Data, made: dict[str, Task] | None = None) -> tuple[RunRecord, Task]:
    """The record as its answers give it, and the task. Nothing is downloaded. ``HarnessError`` where it cannot be.

    ``made`` is as in :func:`filed_task`.
    """
    with cache_only():
        task = filed_task(folder, data, made)
        return rescore(folder, task), task


def differing(told: RunRecord, found: RunRecord) -> list[str]:
    """Names of fields whose content does not follow from the answers. Means may differ in the last digits."""
    return [name for name in FINDINGS if not _close(_json(getattr(told, name)), _json(getattr(found, name)))]


def scored_check(folder: Path, record: RunRecord) -> CheckEntry:
    """What ``verification.json`` says of scores that were recomputed."""
    return CheckEntry(
        kind=RESCORED,
        date=today(),
        record_sha256=sha256((folder / RECORD_FILE).read_bytes()),
        journal_sha256=journal_sha256(folder),
        puzzles=record.selection.puzzles,
        of=record.selection.puzzles,
        weights_sha256=record.model.weights_sha256,
        harness=version(),
    )


def version() -> str:
    """The harness' version and, from a checkout, its commit."""
    commit, _ = environment.source_tree()
    number = environment.versions(["trm-harness"]).get("trm-harness", "")
    return " ".join(filter(None, [number, commit[:12]]))


def today() -> str:
    """The day in UTC."""
    return datetime.now(UTC).date().isoformat()


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _close(a: Any, b: Any) -> bool:
    """Equal but for the rounding of floating point sums, which another version of numpy may order otherwise."""
    if isinstance(a, float) and isinstance(b, int | float):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    return a == b
