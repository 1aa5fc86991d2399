"""Puzzle files: CSV with the columns ``question,answer``, one character a symbol, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trm_harness import BadInput, Puzzle
from trm_harness.types import Grid
from trm_task_futoshiki import SIZE
from trm_task_futoshiki.board import CHARACTERS, GAP, SIDE, is_board, is_solution
from trm_task_futoshiki.solve import solve

HEADER = ["question", "answer"]


def read(path: Path, split: str) -> list[Puzzle]:
    """All puzzles of a file. ``BadInput`` names the line that is none."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("ascii"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"cannot read the puzzles in {path}: {error}: give a CSV file with question,answer") from error
    if rows[:1] != [HEADER] or len(rows) < 2:
        raise BadInput(f"{path}: must begin with the line question,answer and hold at least one puzzle")
    return [_parsed(row, split, index, f"{path}, line {index + 2}") for index, row in enumerate(rows[1:])]


def write(path: Path, pairs: Iterable[tuple[Grid, Grid]]) -> None:
    """Write questions and answers."""
    lines = [",".join(HEADER), *(f"{_text(question)},{_text(answer)}" for question, answer in pairs)]
    path.write_text("\n".join(lines) + "\n", "ascii")


def puzzle(split: str, index: int, question: Grid, answer: Grid) -> Puzzle:
    """A puzzle with its facts: ``rating`` is the number of dead ends of a search that proves the solution unique."""
    name = f"{split}-{index:05d}"
    digits, all_clues = int((question[::2, ::2] > 0).sum()), int(((question > 0) & (question != GAP)).sum())
    facts = {"rating": solve(question).dead_ends, "digits": digits, "signs": all_clues - digits}
    return Puzzle(name, name, question, answer, facts=facts)


def _parsed(row: list[str], split: str, index: int, where: str) -> Puzzle:
    if len(row) != 2:
        raise BadInput(f"{where}: has {len(row)} columns, not question,answer: correct or remove it")
    question, answer = _grid(row[0], SIDE, where), _grid(row[1], SIZE, where)
    if not is_board(question) or not is_solution(question, answer):
        raise BadInput(f"{where}: is no Futoshiki with its solution: correct or remove it")
    if len(solve(question).found) != 1:
        raise BadInput(f"{where}: has more than one solution: add a clue or remove it")
    return puzzle(split, index, question, answer)


def _grid(text: str, side: int, where: str) -> Grid:
    if len(text) != side * side or not set(text) <= set(CHARACTERS):
        raise BadInput(f"{where}: {text[:60]!r} is not {side * side} of the characters {CHARACTERS!r}: correct it")
    return np.array([CHARACTERS.index(character) for character in text], np.uint8).reshape(side, side)


def _text(grid: Grid) -> str:
    return "".join(CHARACTERS[cell] for cell in grid.ravel().tolist())
