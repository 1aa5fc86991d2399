"""Making mazes: a function of (split, seed, index) alone, the same in every process.

First the number of steps from start to goal is drawn: the least allowed and a geometric extra. Then random walls, each
cell with a chance drawn evenly from a range, until some two cells are that far apart; these become start and goal.
For 30x30 the numbers are Maze-Hard's. That set looks as if blindly drawn (chances from 30-50 %, any two cells at 109
steps or more: this gives its walls and paths too), which is slow: of 1,700 mazes with a random start one has a goal
that far. Steps drawn first follow the same law closely and leave only the walls to luck, and two searches rule out most
of those that will not do. Measured on one core of a small, busy EPYC virtual machine, training mazes a second: 5,400
for 8x8, 4,400 for 10x10, 2,900 for 14x14, 40 for 30x30; validation and test take eight times as long.
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
    """What to make: side, range of the share of walls, least and mean extra steps, and how many mazes a split lists."""

    size: int
    walls: tuple[float, float]
    min_path: int
    extra: float
    counts: Mapping[str, int]

    @staticmethod
    def of(options: Mapping[str, Any]) -> Recipe:
        """The recipe in a task spec's options."""
        low, high = options["walls"]
        counts = {split: int(options[f"{split}_size"]) for split in SPLITS}
        walls, steps = (float(low), float(high)), (int(options["min_path"]), float(options["extra"]))
        return Recipe(int(options["size"]), walls, *steps, counts)


def draw(recipe: Recipe, split: str, seed: int, index: int) -> Grid:
    """Question ``index`` of the stream ``seed`` of ``split``; both are not negative and have no upper end."""
    random = np.random.default_rng([_DRAW, seed, SPLITS.index(split), index])
    steps = path_length(recipe, random)
    while True:
        question = attempt(recipe, steps, random)
        if question is not None and split_of(question) == split:
            return question


def path_length(recipe: Recipe, random: np.random.Generator) -> int:
    """Steps from start to goal: the least and a geometric extra, less than twice the least in all.

    Longer ones are drawn anew, for a small board may have no room for them.
    """
    while True:
        extra = int(random.geometric(1 / (1 + recipe.extra))) - 1
        if extra < recipe.min_path:
            return recipe.min_path + extra


def attempt(recipe: Recipe, steps: int, random: np.random.Generator) -> Grid | None:
    """A random maze with a shortest path of so many steps; ``None``, mostly, where its walls allow none."""
    board = Board(recipe.size, recipe.size)
    free = board.bits(random.random((recipe.size, recipe.size)) >= random.uniform(*recipe.walls))
    row, column = random.integers(recipe.size, size=2).tolist()
    begin = 1 << (row * board.stride + column)
    if not begin & free:
        return None
    near = board.layers(free, begin)
    # Two cells of this region are at most twice as far apart as the farthest is from here.
    if 2 * (len(near) - 1) < steps:
        return None
    one = board.layers(free, board.pick(near[-1], random))
    if len(one) <= steps:
        return None
    other = board.layers(free, board.pick(one[-1], random))
    start = board.pick(_union(one[steps:]) | _union(other[steps:]), random)
    goal = board.pick(board.layers(free, start)[steps], random)
    return _question(board, free, start, goal)


def _union(layers: list[int]) -> int:
    return reduce(or_, layers, 0)


def _question(board: Board, free: int, start: int, goal: int) -> Grid:
    grid = np.where(board.cells(free), np.uint8(OPEN), np.uint8(WALL))
    grid[board.cells(start)], grid[board.cells(goal)] = START, GOAL
    return grid
