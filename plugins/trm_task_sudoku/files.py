"""Puzzle files: CSV with the columns of Sudoku-Extreme, ``source,question,answer,rating``, ``.`` for a blank."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.gridtask import read_table, write_table
from trm_harness.solvers.sudoku import is_solution
from trm_harness.types import Grid, Puzzle

HEADER = ("source", "question", "answer", "rating")
LONGEST_RATING = 9
"""Digits of a rating."""


def puzzle(split: str, index: int, question: Grid, answer: Grid, rating: int) -> Puzzle:
    """Puzzle ``index`` of ``split``, alone in its group; its facts are the rating and the number of clues."""
    name = f"{split}-{index:06d}"
    return Puzzle(name, name, question, answer, facts={"rating": rating, "givens": int((question > 0).sum())})


def read(path: Path, split: str, size: int) -> list[Puzzle]:
    """All puzzles of a file; ``BadInput`` names the line that is not a Sudoku of ``size`` with its solution."""
    return [_parsed(path, split, size, index, row) for index, row in enumerate(read_table(path, HEADER))]


def write(path: Path, source: str, puzzles: Iterable[Puzzle]) -> None:
    """Write puzzles (answers included) to ``path``, whole or not at all."""
    rows = ((source, text_of(item.input), text_of(item.answer), item.facts["rating"]) for item in puzzles)
    write_table(path, HEADER, rows)


def text_of(grid: Grid) -> str:
    """Cells row by row, one character each, ``.`` for a blank."""
    return "".join(map(str, grid.ravel().tolist())).replace("0", ".")


def _parsed(path: Path, split: str, size: int, index: int, row: list[str]) -> Puzzle:
    where = f"{path}, puzzle {index + 1}"
    if len(row) != len(HEADER) or not row[3].isdecimal() or len(row[3]) > LONGEST_RATING:
        raise BadInput(f"{where}: expected {','.join(HEADER)} with a whole-numbered rating, found {_start(row)!r}")
    question, answer = _grid(row[1], size, where), _grid(row[2], size, where)
    kept = (question == 0) | (question == answer)
    if not kept.all() or not is_solution(answer):
        raise BadInput(f"{where}: the answer does not solve the question; correct or remove that line")
    return puzzle(split, index, question, answer, int(row[3]))


def _grid(text: str, size: int, where: str) -> Grid:
    cells = np.frombuffer(text.replace(".", "0").encode("ascii"), np.uint8) - np.uint8(ord("0"))
    if cells.size != size * size or (cells > size).any():
        raise BadInput(
            f"{where}: {_start([text])!r} is not {size * size} cells of 1-{size} and '.'; correct or remove that line"
        )
    return cells.reshape(size, size)


def _start(row: list[str]) -> str:
    """What a message shows of a line."""
    text = ",".join(row)
    return text if len(text) <= 200 else f"{text[:200]}..."
