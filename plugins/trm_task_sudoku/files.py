"""Puzzle files: read in every form of :mod:`trm_task_sudoku.forms`, written as ``source,question,answer,rating``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trm_harness.gridtask import Boards, write_table
from trm_harness.types import Grid, Puzzle
from trm_task_sudoku.forms import HEADER
from trm_task_sudoku.table import Listed, Table


def puzzle(split: str, index: int, question: Grid, answer: Grid, rating: float) -> Puzzle:
    """Puzzle ``index`` of ``split``, alone in its group; its facts are the rating and the number of clues."""
    name = f"{split}-{index:06d}"
    return Puzzle(name, name, question, answer, facts={"rating": rating, "givens": int((question > 0).sum())})


def read(path: Path, split: str, size: int) -> Boards:
    """All puzzles of a file; ``BadInput`` names the line that is not a Sudoku of ``size`` with its solution."""
    boards = Table(path, size).read()
    return Boards(Listed(split, boards, range(len(boards.ratings)), digits=6))


def write(path: Path, source: str, puzzles: Iterable[Puzzle]) -> None:
    """Write puzzles (answers included) to ``path``, whole or not at all."""
    rows = ((source, text_of(item.input), text_of(item.answer), item.facts["rating"]) for item in puzzles)
    write_table(path, HEADER, rows)


def text_of(grid: Grid) -> str:
    """Cells row by row, one character each, ``.`` for a blank."""
    return "".join(map(str, grid.ravel().tolist())).replace("0", ".")
