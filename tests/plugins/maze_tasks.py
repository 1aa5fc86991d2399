"""The maze tasks as the registry would build them, once a process, and the published files where they are at hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import trm_task_maze
from tests.conftest import ROOT
from trm_harness.specs import TaskSpec
from trm_harness.types import Grid
from trm_task_maze.files import SYMBOLS
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
