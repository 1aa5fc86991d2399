"""Models without weights that any score should be read beside: guessing, copying, and solving outright."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import ModelSpec

PLUGIN_API = 1

BASELINES = (
    ModelSpec(
        id="random",
        version=1,
        target="trm_model_baselines.models:random_fill",
        title="Random fill",
        description=(
            "Sudoku: keeps the clues and fills blanks with random digits. Elsewhere: a grid of the input's shape, "
            "every cell a random symbol of the input."
        ),
        family="trivial",
    ),
    ModelSpec(
        id="copy-input",
        version=1,
        target="trm_model_baselines.models:copy_input",
        title="Copy of the input",
        description="Answers with the question itself: the score of doing nothing, and the floor of cell accuracy.",
        family="trivial",
    ),
    ModelSpec(
        id="oracle-sudoku",
        version=1,
        target="trm_model_baselines.models:oracle_sudoku",
        title="Sudoku solver",
        description="Exact search from the clues alone: scores 1.0 wherever the solution is unique.",
        family="solver",
        tasks=("sudoku-*",),
    ),
    ModelSpec(
        id="oracle-maze",
        version=1,
        target="trm_model_baselines.models:oracle_maze",
        title="Maze solver",
        description=(
            "Breadth-first search from the maze alone; of several shortest paths the one that the labels' rule takes "
            "(first down, then left, right, up): exact is 1.0 on generated mazes and on Maze-Hard."
        ),
        family="solver",
        tasks=("maze-*",),
    ),
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare the baselines."""
    for spec in BASELINES:
        register(spec)
