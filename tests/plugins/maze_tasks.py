"""The maze tasks as the registry would build them, once a process, and the published files where they are at hand."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import trm_task_maze
from tests.conftest import ROOT
from trm_harness.gridtask import write_table
from trm_harness.solvers.maze import Maze
from trm_harness.specs import TaskSpec
from trm_harness.types import Grid, Puzzle
from trm_task_maze.files import HEADER, SYMBOLS
from trm_task_maze.task import GeneratedMaze, HardMaze, generated, hard

SIZES = tuple(trm_task_maze.GENERATED)
PUBLISHED = ROOT.parent / "shared" / "data" / "maze-30x30-hard-1k"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published Maze-Hard files are not at hand")


def spec(name: str) -> TaskSpec:
    declared: list[TaskSpec] = []
    trm_task_maze.register_tasks(declared.append)
    return next(one for one in declared if one.id == name)


@cache
def task(size: int) -> GeneratedMaze:
    made = generated(spec(f"maze-{size}x{size}"))
    assert isinstance(made, GeneratedMaze)
    return made


@cache
def published() -> HardMaze:
    made = hard(spec("maze-hard"), PUBLISHED)
    assert isinstance(made, HardMaze)
    return made


def grid(*rows: str) -> Grid:
    """A grid drawn in the characters of the files."""
    return np.array([[SYMBOLS.index(character) + 1 for character in row] for row in rows], np.uint8)


def count_shortest(question: Grid) -> int:
    """Number of different shortest paths, 0 if start and goal are not connected."""
    maze = Maze.of(question)
    layers = maze.from_goal()
    ways = {maze.start: int(bool(layers))}
    for layer in reversed(layers[:-1]):
        reached: dict[int, int] = {}
        for cell, count in ways.items():
            for near in maze.board.steps(cell):
                if near & layer:
                    reached[near] = reached.get(near, 0) + count
        ways = reached
    return sum(ways.values())


def write(path: Path, source: str, puzzles: Iterable[Puzzle]) -> None:
    """Write mazes (answers included) to ``path``, whole or not at all."""
    rows = ((source, text_of(item.input), text_of(item.answer), item.facts["path_length"]) for item in puzzles)
    write_table(path, HEADER, rows)


def text_of(grid: Grid) -> str:
    """Cells row by row, one character each."""
    return "".join(SYMBOLS[symbol - 1] for symbol in grid.ravel().tolist())
