"""Maze files: CSV with the columns of Maze-Hard, ``source,question,answer,rating``, grids in characters ``# SGo``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.gridtask import Boards, table_rows, write_table
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


def read(path: Path, split: str, size: int) -> Boards:
    """All mazes of a file; ``BadInput`` names the line whose answer is not a shortest path of its question."""
    return Boards(
        _checked(puzzle(f"{split}-{index:06d}", question, answer), where)
        for index, (where, question, answer) in enumerate(grids(path, size))
    )


def grids(path: Path, size: int) -> Iterator[tuple[str, Grid, Grid]]:
    """Where each maze of a file stands, its question and its answer (``uint8 [size, size]``), whatever they show."""
    # Nothing is made of the ratings: the steps of a shortest path are counted.
    rows = table_rows(path, HEADER, "mazes", optional=("source", "rating"))
    for number, (line, (_, question, answer, _)) in enumerate(rows, 1):
        where, maze = f"{path}, line {line}", f"maze {number}"
        both = _grid(question, size, f"{where}, question of {maze}"), _grid(answer, size, f"{where}, answer of {maze}")
        yield f"{where}, {maze}", *both


def write(path: Path, source: str, puzzles: Iterable[Puzzle]) -> None:
    """Write mazes (answers included) to ``path``, whole or not at all."""
    rows = ((source, _text(item.input), _text(item.answer), item.facts["path_length"]) for item in puzzles)
    write_table(path, HEADER, rows)


def _text(grid: Grid) -> str:
    return "".join(SYMBOLS[symbol - 1] for symbol in grid.ravel().tolist())


def _grid(text: str, size: int, where: str) -> Grid:
    cells = _SYMBOL_OF[np.frombuffer(text.encode("ascii", "replace"), np.uint8)]
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
