"""Maze files: CSV with the columns of Maze-Hard, ``source,question,answer,rating``, grids in characters ``# SGo``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.gridtask import read_table, write_table
from trm_harness.solvers.maze import PATH, WALL, distance, is_path
from trm_harness.types import Grid, Puzzle

HEADER = ("source", "question", "answer", "rating")
SYMBOLS = "# SGo"
"""Character ``SYMBOLS[s - 1]`` stands for symbol (and token) ``s``; 0 is padding."""

_SYMBOL_OF = np.zeros(256, np.uint8)
_SYMBOL_OF[[ord(character) for character in SYMBOLS]] = np.arange(1, len(SYMBOLS) + 1)


def puzzle(name: str, question: Grid, answer: Grid) -> Puzzle:
    """A maze, alone in its group. Its facts: steps of a shortest path (``rating`` in the files) and share of walls."""
    facts = {"path_length": int((answer == PATH).sum()) + 1, "wall_share": round(float((question == WALL).mean()), 4)}
    return Puzzle(name, name, question, answer, facts=facts)


def read(path: Path, split: str, size: int) -> list[Puzzle]:
    """All mazes of a file; ``BadInput`` names the line whose answer is not a shortest path of its question."""
    return [
        _checked(puzzle(f"{split}-{index:06d}", question, answer), f"{path}, maze {index + 1}")
        for index, (question, answer) in enumerate(read_grids(path, size))
    ]


def read_grids(path: Path, size: int) -> list[tuple[Grid, Grid]]:
    """Questions and answers (``uint8 [size, size]``) whatever they show; ``BadInput`` for a file of another form."""
    rows = read_table(path, HEADER, "mazes")
    return [_grids(row, size, f"{path}, maze {index}") for index, row in enumerate(rows, 1)]


def write(path: Path, source: str, puzzles: Iterable[Puzzle]) -> None:
    """Write mazes (answers included) to ``path``, whole or not at all."""
    rows = ((source, text_of(item.input), text_of(item.answer), item.facts["path_length"]) for item in puzzles)
    write_table(path, HEADER, rows)


def text_of(grid: Grid) -> str:
    """Cells row by row, one character each."""
    return "".join(SYMBOLS[symbol - 1] for symbol in grid.ravel().tolist())


def _grids(row: list[str], size: int, where: str) -> tuple[Grid, Grid]:
    if len(row) != len(HEADER):
        raise BadInput(f"{where}: expected {','.join(HEADER)}, found {len(row)} columns; correct or remove that line")
    return _grid(row[1], size, where), _grid(row[2], size, where)


def _grid(text: str, size: int, where: str) -> Grid:
    cells = _SYMBOL_OF[np.frombuffer(text.encode("ascii"), np.uint8)]
    if cells.size != size * size or not cells.all():
        raise BadInput(
            f"{where}: expected {size * size} characters of {SYMBOLS!r}, found {len(text)} ({text[:30]!r}...); "
            "correct or remove that line"
        )
    return cells.reshape(size, size)


def _checked(item: Puzzle, where: str) -> Puzzle:
    try:
        steps = distance(item.input)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    if steps != item.facts["path_length"] or not is_path(item.input, item.answer):
        raise BadInput(f"{where}: the answer does not mark a shortest path; correct or remove that line")
    return item
