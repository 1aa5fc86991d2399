"""Making mazes: a function of (split, seed, index) alone, the same in every process.

A share of walls is drawn evenly from a range, every cell is a wall with that chance, and start and goal are two free
cells far enough apart. Maze-Hard looks as if made so: chances drawn from 30-50 % with any two cells at 109 steps or
more give its mean share of walls (37.2 % both), its spread (2.5 against 2.7 points) and its mean path (114.0 against
113.8 steps). Such mazes are rare, one in 1,700 30x30 mazes with a random start, so two searches rule out most of the
others first. Measured on one core of a small, busy EPYC virtual machine, training mazes a second: 4,500 for 8x8, 4,000
for 10x10, 2,900 for 14x14, 50 for 30x30.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from trm_harness.solvers.maze import GOAL, OPEN, START, WALL, Board
from trm_harness.types import Grid
from trm_task_maze import SPLITS
from trm_task_maze.splits import split_of

_DRAW = 0x3A2E
"""Keeps these draws apart from those of training."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What to make: side, range of the share of walls, least steps, and how many mazes each split lists."""

    size: int
    walls: tuple[float, float]
    min_path: int
    counts: Mapping[str, int]

    @staticmethod
    def of(options: Mapping[str, Any]) -> Recipe:
        """The recipe in a task spec's options."""
        low, high = options["walls"]
        counts = {split: int(options[f"{split}_size"]) for split in SPLITS}
        return Recipe(int(options["size"]), (float(low), float(high)), int(options["min_path"]), counts)


def draw(recipe: Recipe, split: str, seed: int, index: int) -> Grid:
    """Question ``index`` of the stream ``seed`` of ``split``; both are not negative and have no upper end."""
    random = np.random.default_rng([_DRAW, seed, SPLITS.index(split), index])
    while True:
        question = attempt(recipe, random)
        if question is not None and split_of(question) == split:
            return question


def attempt(recipe: Recipe, random: np.random.Generator) -> Grid | None:
    """One random maze, ``None`` if it is too easy, which it mostly is for long paths."""
    board, far = Board(recipe.size, recipe.size), recipe.min_path
    free = board.bits(random.random((recipe.size, recipe.size)) >= random.uniform(*recipe.walls))
    row, column = random.integers(recipe.size, size=2).tolist()
    begin = 1 << (row * board.stride + column)
    if not begin & free:
        return None
    near = board.layers(free, begin)
    # Two cells of this region are at most twice as far apart as the farthest is from here.
    if 2 * (len(near) - 1) < far:
        return None
    one = board.layers(free, board.pick(near[-1], random))
    if len(one) <= far:
        return None
    other = board.layers(free, board.pick(one[-1], random))
    starts = _union(one[far:]) | _union(other[far:])
    start = board.pick(starts, random)
    goals = _union(board.layers(free, start)[far:])
    # A wall pattern should count by its pairs of far cells, as if pairs had been drawn blindly; without this, paths
    # would crowd at the shortest length allowed.
    if random.random() * recipe.size**2 > starts.bit_count() * goals.bit_count():
        return None
    return _question(board, free, start, board.pick(goals, random))


def _union(layers: list[int]) -> int:
    return reduce(or_, layers, 0)


def _question(board: Board, free: int, start: int, goal: int) -> Grid:
    grid = np.where(board.cells(free), np.uint8(OPEN), np.uint8(WALL))
    grid[board.cells(start)], grid[board.cells(goal)] = START, GOAL
    return grid
