"""Shortest paths in grid mazes, each set of cells one big integer.

Cell (row, column) is bit ``row * (width + 1) + column``: the spare column is never open, so a step down, left, right
or up is a shift of the whole set and no row runs into the next. A breadth-first search then costs a dozen integer
operations for each distance, whatever the number of cells at that distance (about 0.1 ms for a 30x30 maze).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import or_

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.types import Grid

WALL, OPEN, START, GOAL, PATH = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Board:
    """A rectangle of cells whose sets are integers."""

    height: int
    width: int

    @property
    def stride(self) -> int:
        """Bits from a cell to the one below it."""
        return self.width + 1

    def bits(self, cells: NDArray[np.bool_]) -> int:
        """The set of true ``cells`` (``bool [height, width]``)."""
        wide = np.zeros((self.height, self.stride), np.bool_)
        wide[:, : self.width] = cells
        return int.from_bytes(np.packbits(wide, bitorder="little").tobytes(), "little")

    def cells(self, bits: int) -> NDArray[np.bool_]:
        """The set as ``bool [height, width]``."""
        count = self.height * self.stride
        packed = np.frombuffer(bits.to_bytes((count + 7) // 8, "little"), np.uint8)
        flat = np.unpackbits(packed, count=count, bitorder="little")
        return flat.reshape(self.height, self.stride)[:, : self.width].astype(np.bool_)

    def pick(self, bits: int, random: np.random.Generator) -> int:
        """One cell of a set that is not empty, each as likely as the other."""
        row, column = random.choice(np.argwhere(self.cells(bits))).tolist()
        return 1 << (row * self.stride + column)

    def steps(self, cell: int) -> tuple[int, int, int, int]:
        """The cells below, left, right and above of a cell or set, in the order of preference of :func:`solve`."""
        return cell << self.stride, cell >> 1, cell << 1, cell >> self.stride

    def layers(self, free: int, source: int, stop: int = 0) -> list[int]:
        """Cells at 0, 1, 2, ... steps from the set ``source`` through ``free`` cells, up to the layer that meets
        ``stop``, or until no new cell is left.
        """
        found, frontier = [source], source
        left, down = free & ~source, self.stride
        while not frontier & stop:
            frontier = (frontier << down | frontier >> down | frontier << 1 | frontier >> 1) & left
            if not frontier:
                break
            found.append(frontier)
            left &= ~frontier
        return found


@dataclass(frozen=True)
class Maze:
    """A question taken apart: its free cells (both ends among them), its start and its goal."""

    board: Board
    free: int
    start: int
    goal: int

    @staticmethod
    def of(question: Grid) -> Maze:
        """The maze in ``question`` (``uint8 [height, width]``); ``BadInput`` unless it has one start and one goal."""
        ends = [question == symbol for symbol in (START, GOAL)]
        if question.ndim != 2 or [int(end.sum()) for end in ends] != [1, 1]:
            raise BadInput("a maze is a 2-D grid with one start (3) and one goal (4): correct the question")
        board = Board(*question.shape)
        start, goal = (board.bits(end) for end in ends)
        return Maze(board, board.bits(question != WALL), start, goal)

    def from_goal(self) -> list[int]:
        """Cells at 0, 1, 2, ... steps from the goal, up to those as far as the start; empty if no path leads there."""
        layers = self.board.layers(self.free, self.goal, self.start)
        return layers if layers[-1] & self.start else []

    def path(self) -> int | None:
        """Cells strictly between start and goal on the path that :func:`solve` takes."""
        layers = self.from_goal()
        if not layers:
            return None
        here, between = self.start, 0
        for layer in reversed(layers[1:-1]):
            here = next(cell for cell in self.board.steps(here) if cell & layer)
            between |= here
        return between


def solve(question: Grid) -> Grid | None:
    """``question`` with one shortest path marked, ``None`` if start and goal are not connected.

    Where several are shortest, the walk from the start takes at every cell the first of *down, left, right, up* that
    comes nearer to the goal. That is the path which breadth-first search from the start gives when it tries
    neighbours in this order, and it is the label of all 2,000 mazes of Maze-Hard.
    """
    maze = Maze.of(question)
    between = maze.path()
    return None if between is None else np.where(maze.board.cells(between), np.uint8(PATH), question)


def distance(question: Grid) -> int | None:
    """Steps from start to goal (one more than the cells between), ``None`` if they are not connected."""
    layers = Maze.of(question).from_goal()
    return len(layers) - 1 if layers else None


def directions(question: Grid) -> NDArray[np.int8]:
    """Where every cell's shortest way to the goal goes on, ``int8 [height, width]``: 0 down, 1 left, 2 right, 3 up, by
    the preference of :func:`solve`; -1 for walls, the goal and cells from which no way leads there.
    """
    maze = Maze.of(question)
    ways = [0, 0, 0, 0]
    for nearer, here in pairwise(maze.board.layers(maze.free, maze.goal)):
        left = here
        # Above the nearer layer are the cells that go down to it, right of it those that go left, and so on.
        for way, found in enumerate(reversed(maze.board.steps(nearer))):
            ways[way] |= found & left
            left &= ~found
    told = np.full(question.shape, -1, np.int8)
    for way, cells in enumerate(ways):
        told[maze.board.cells(cells)] = way
    return told


def is_path(question: Grid, answer: Grid) -> bool:
    """Whether ``answer`` is ``question`` with free cells marked as one path from start to goal, of whatever length.

    The marked cells and both ends hang together, an end touches one of them and every other touches two, so there
    are no gaps, branches or stray marks, and the path never runs beside itself (it could be cut short there).
    """
    if answer.shape != question.shape or not may_be_paths(question[None], answer[None])[0]:
        return False
    maze = Maze.of(question)
    walked = maze.board.bits(answer == PATH) | maze.start | maze.goal
    return reduce(or_, maze.board.layers(walked, maze.start)) == walked


def may_be_paths(questions: NDArray[np.uint8], answers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``answers`` show what of a path every cell shows by itself, ``bool [n]``; grids ``[n, height, width]``.

    Only open cells are marked, nothing else is changed, an end touches one cell of the path and a marked cell two.
    Whether all of them hang together is left to :func:`is_path`.
    """
    marked = answers == PATH
    kept = np.where(marked, questions == OPEN, answers == questions).all(axis=(1, 2))
    on = np.pad(marked | (questions == START) | (questions == GOAL), ((0, 0), (1, 1), (1, 1)))
    cells = on.astype(np.uint8)
    touching = cells[:, 2:, 1:-1] + cells[:, :-2, 1:-1] + cells[:, 1:-1, 2:] + cells[:, 1:-1, :-2]
    return kept & ((touching == np.where(marked, 2, 1)) | ~on[:, 1:-1, 1:-1]).all(axis=(1, 2))
