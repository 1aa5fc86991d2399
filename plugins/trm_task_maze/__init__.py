"""Maze tasks. This manifest only declares them; files, generators and numpy wait behind the targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import TaskSpec

PLUGIN_API = 1

SPLITS = ("train", "validation", "test")
VOCABULARY = 6
"""Padding (0) and the characters ``# SGo`` (1-5)."""

HARD_REPOSITORY = "sapientinc/maze-30x30-hard-1k"
HARD_REVISION = "549754de3d67eebe57b6b22c7d226b9412d55b07"
HARD_FILES = {
    "train.csv": (
        "25f9e39b5aee16967da41ba63b2d1d75cf608c2360d8a1419d827f9859dbafa0",
        "ade56c5642de77c4f261a693d7a51cf5aa32ed03693055ed04f3515452704601",
    ),
    "test.csv": (
        "5120d52088fb3f8036e62e90103808a79ba58847d8601f9451f40991b0903a62",
        "97331af84bfb8aae0be478cf169881b0919bdbd379bc36f285ada302c2d46c8e",
    ),
}
"""sha256 of the files' bytes: first at ``HARD_REVISION`` on the hub, as a public project that pins it states them (a
second one pins the same commit); then of the copy that this task was written by (1,808,031 bytes each, lines end with
CR LF, ``source`` is empty), whose mazes have Maze-Hard's walls and lengths. The two could not be laid side by side
here: the record's own hash of the mazes tells whether two runs saw the same ones.
"""

GENERATED: dict[int, dict[str, Any]] = {
    8: {"walls": (0.31, 0.54), "min_path": 8, "extra": 2.0, "train_size": 50_000},
    10: {"walls": (0.32, 0.55), "min_path": 13, "extra": 3.0, "train_size": 50_000},
    14: {"walls": (0.32, 0.52), "min_path": 24, "extra": 4.0, "train_size": 20_000},
    20: {"walls": (0.32, 0.49), "min_path": 49, "extra": 4.4, "train_size": 20_000},
    30: {"walls": (0.31, 0.46), "min_path": 109, "extra": 4.8, "train_size": 10_000},
}
"""Options by side.

``min_path`` is the least number of steps from start to goal: Maze-Hard's 109 for 900 cells, and the same share of the
cells (12.1 %, rounded up) on smaller boards. ``extra`` is the mean of the steps beyond it: 4.8 as in Maze-Hard, less on
smaller boards. ``walls`` is the range from which each maze's chance of walls is drawn, such that mazes with paths of
that length have 37 % walls on average, as in Maze-Hard. Training splits have no end: ``train_size`` is only how many
``puzzles("train")`` lists.
"""


def _hard() -> TaskSpec:
    return TaskSpec(
        id="maze-hard",
        version=1,
        target="trm_task_maze.task:hard",
        title="Maze-Hard 30x30",
        description=(
            "30x30 mazes of sapientinc/maze-30x30-hard-1k: mark a shortest path of 109 steps or more. The score "
            "exact asks for the labelled one of many shortest paths, any_optimal takes all of them. The validation "
            "split is a tenth of train, left out of training where the recipe says hold_out."
        ),
        vocab_size=VOCABULARY,
        seq_len=900,
        splits=SPLITS,
        family="maze",
        options={"size": 30, "repository": HARD_REPOSITORY, "revision": HARD_REVISION, "files": HARD_FILES},
    )


def _generated(size: int, options: dict[str, Any]) -> TaskSpec:
    return TaskSpec(
        id=f"maze-{size}x{size}",
        version=1,
        target="trm_task_maze.task:generated",
        title=f"Maze {size}x{size}, generated",
        description=(
            f"{size}x{size} mazes with random walls: mark a shortest path of {options['min_path']} steps or more. "
            "The score exact asks for the labelled one, any_optimal takes every shortest path. Train, validation and "
            "test share no pattern of walls under turns and reflections."
        ),
        vocab_size=VOCABULARY,
        seq_len=size * size,
        splits=SPLITS,
        family="maze",
        options={"size": size, **options, "validation_size": 500, "test_size": 1000},
    )


@hookimpl
def register_tasks(register: Callable[[TaskSpec], None]) -> None:
    """Declare Maze-Hard and the generated mazes."""
    register(_hard())
    for size, options in GENERATED.items():
        register(_generated(size, options))
