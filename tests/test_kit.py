"""Every in-tree plugin keeps the laws of the kit: one test per object and law.

The largest boards and the published sizes of networks run with the slow tests.
"""

from __future__ import annotations

import csv
import tempfile
from functools import cache, partial
from pathlib import Path

from trm_harness import registry
from trm_harness.plugins.host import HOME
from trm_harness.testing import Check, parametrize_with_checks

HUB_KIN = {"sudoku-extreme": "sudoku-9x9", "maze-hard": "maze-30x30"}
"""Tasks of the hub, and the task whose puzzles stand in for theirs as files."""

LARGE = {
    "arc1",
    "arc2",
    "maze-14x14",
    "maze-20x20",
    "maze-30x30",
    "maze-hard",
    "sudoku-9x9",
    "sudoku-9x9-easy",
    "sudoku-extreme",
}


@cache
def files_of_kin(task: str) -> Path:
    """A folder of files for a hub task, from two splits of its generated kin."""
    names = registry.default().tasks
    kin = names.resolve(HUB_KIN[task])(names.spec(HUB_KIN[task]), None)
    folder = Path(tempfile.mkdtemp(prefix="kit-"))
    symbols = ".123456789" if kin.spec.family == "sudoku" else "?# SGo"
    for split, part in (("test", slice(0, 6)), ("train", slice(6, 18))):
        with (folder / f"{split}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("source", "question", "answer", "rating"))
            for puzzle in kin.puzzles("test")[part]:
                grids = ("".join(symbols[cell] for cell in grid.flat) for grid in (puzzle.input, puzzle.answer))
                writer.writerow(("made", *grids, 0))
    return folder


def slow(check: Check) -> bool:
    spec = getattr(check.subject, "spec", None)
    if check.subject.kind == "task":
        return spec.id in LARGE
    return check.subject.kind == "model" and spec.config.get("hidden_size", 0) > 128


@parametrize_with_checks(HOME, data={task: partial(files_of_kin, task) for task in HUB_KIN}, slow=slow)
def test_laws(check: Check) -> None:
    check()
