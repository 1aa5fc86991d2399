"""The generated Sudoku tasks as the registry would build them, once a process."""

from __future__ import annotations

from functools import cache

import numpy as np

import trm_task_sudoku
from trm_harness.specs import TaskSpec
from trm_harness.types import Grid
from trm_task_sudoku.symmetry import Symmetry
from trm_task_sudoku.task import GeneratedSudoku, generated


def spec(size: int) -> TaskSpec:
    declared: list[TaskSpec] = []
    trm_task_sudoku.register_tasks(declared.append)
    return next(one for one in declared if one.options["size"] == size)


@cache
def task(size: int) -> GeneratedSudoku:
    made = generated(spec(size))
    assert isinstance(made, GeneratedSudoku)
    return made


def reference_shuffle(board: Grid, solution: Grid, random_state: np.random.RandomState) -> tuple[Grid, Grid]:
    """One random 9x9 symmetry on ``board`` and ``solution``, draw for draw as the reference's data builder.

    The builder uses numpy's legacy global stream: ``random_state`` seeded with the same number gives its arrays.
    Draws: a permutation of 1-9, one uniform for the transpose (below 0.5), the bands, the lines of each band, the
    stacks, the lines of each stack.
    """
    digits = np.concatenate(([0], random_state.permutation(np.arange(1, 10)))).astype(np.uint8)
    transposed = bool(random_state.rand() < 0.5)
    rows = np.concatenate([3 * band + random_state.permutation(3) for band in random_state.permutation(3)])
    columns = np.concatenate([3 * stack + random_state.permutation(3) for stack in random_state.permutation(3)])
    symmetry = Symmetry(digits, rows, columns, transposed)
    return symmetry.apply(board), symmetry.apply(solution)
