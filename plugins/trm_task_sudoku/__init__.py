"""Sudoku tasks. This manifest only declares them; boards, generators and numpy wait behind the targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import TaskSpec

PLUGIN_API = 1

SPLITS = ("train", "validation", "test")
RELATIONS = ("rows", "columns", "boxes")
HARD_SIZE = 76
"""Puzzles in the hard split of 9x9; :mod:`trm_task_sudoku.data.hard` says how they are made."""

GENERATED: dict[int, dict[str, Any]] = {
    4: {"givens": (4, 8), "disjoint_by": "puzzle", "train_size": 1486, "validation_size": 250, "test_size": 500},
    6: {"givens": (8, 14), "disjoint_by": "puzzle", "train_size": 10_000, "validation_size": 500, "test_size": 500},
    9: {"givens": (24, 36), "disjoint_by": "solution", "train_size": 10_000, "validation_size": 500, "test_size": 500},
}
"""Options by board size.

``givens`` is the range that the number of clues is drawn from, evenly; digging stops early where no further clue can
go, so low numbers come out less often than even. ``disjoint_by`` says what two splits never share under the
symmetries of Sudoku: the ``puzzle`` (clues with their digits) or, stronger, the whole ``solution``. 4x4 boards have
only 2 essentially different solutions and 6x6 boards 49, too few to divide; 9x9 boards have 5.5 thousand million.
4x4 has 2,236 essentially different puzzles of 4 to 8 clues in all, and the three splits share them out; the larger
boards' training splits have no end, and ``train_size`` is only how many ``puzzles("train")`` lists.
"""

BOARDS: dict[str, dict[str, Any]] = {
    **{f"sudoku-{size}x{size}": {"size": size, **options} for size, options in GENERATED.items()},
    "sudoku-9x9-easy": {"size": 9, **GENERATED[9], "givens": (34, 38)},
}
"""Options of every generated task by its name: a board of each size, and 9x9 with clues to spare, where a network that
trains in minutes on a CPU has something to show."""

EXTREME = {
    "size": 9,
    "repository": "sapientinc/sudoku-extreme",
    "revision": "58942f96baeb572ca3127e2a9e9c70f330783d6b",
    "files": {
        "train.csv": "64b46674db0148e0d73a16346dadeb2b1c00824d3fca3f85b2ae7037f6b4b38e",
        "test.csv": "a2fd52aea23d331d5b4ee723c856236e838a9fb9a70e66f4e0e0cf26c338c6a8",
    },
    "subsample": 1000,
    "seed": 42,
    "validation_size": 1000,
}
"""Options of Sudoku-Extreme.

``files`` are the sha256 of the bytes at ``revision``: the hub's own page of that commit states the first, its page of
``imone/sudoku-hard-v2``, the same upload, the second, and public projects pin all three values. A file without one is
checked by what the hub states. ``subsample`` and ``seed`` say which puzzles ``train`` holds.
"""


def _generated(name: str, options: dict[str, Any]) -> TaskSpec:
    size, (low, high), hard = options["size"], options["givens"], name == "sudoku-9x9"
    tail = (
        f" The hard split holds {HARD_SIZE} minimal puzzles whose ratings (guesses of a solver, as Sudoku-Extreme is "
        "rated) follow the tail of its test set: median 66, nine tenths up to 96."
        if hard
        else ""
    )
    return TaskSpec(
        id=name,
        version=1,
        target="trm_task_sudoku.task:generated",
        title=f"Sudoku {size}x{size}, generated" + (", easy" if name.endswith("-easy") else ""),
        description=(
            f"{size}x{size} Sudokus with one solution and {low} to {high} clues; train, validation and test share "
            f"no {options['disjoint_by']} under the symmetries of Sudoku. Exact match of the whole grid.{tail}"
        ),
        vocab_size=size + 2,
        seq_len=size * size,
        splits=(*SPLITS, "hard") if hard else SPLITS,
        family="sudoku",
        relations=RELATIONS,
        symbols=(2, size),
        options=options,
    )


def _extreme() -> TaskSpec:
    return TaskSpec(
        id="sudoku-extreme",
        version=1,
        target="trm_task_sudoku.extreme:extreme",
        title="Sudoku-Extreme 9x9",
        description=(
            "The 422,786 test puzzles of sapientinc/sudoku-extreme, easy to very hard; trained on 1,000 of the 3.8 "
            "million training puzzles, drawn by a stated seed. Exact match of the whole grid."
        ),
        vocab_size=11,
        seq_len=81,
        splits=SPLITS,
        family="sudoku",
        relations=RELATIONS,
        symbols=(2, 9),
        options=EXTREME,
    )


@hookimpl
def register_tasks(register: Callable[[TaskSpec], None]) -> None:
    """Declare the generated boards and Sudoku-Extreme."""
    for name, options in BOARDS.items():
        register(_generated(name, options))
    register(_extreme())
