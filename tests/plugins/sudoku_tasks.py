"""The generated Sudoku tasks as the registry would build them, once a process."""

from __future__ import annotations

from functools import cache

import trm_task_sudoku
from trm_harness.specs import TaskSpec
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
