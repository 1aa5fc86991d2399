"""A Sudoku solver on one big integer, for every board whose boxes tile it (4x4, 6x6, 9x9, ...).

The state is the set of candidates "digit d may stand in cell c": bit ``d * n * n + c`` of one Python ``int`` (729
bits for 9x9). Sudoku is an exact cover of four families of constraints over them (one digit a cell, each digit once
a row, column and box), and every family is a base mask with ``n`` shifts, so counting "none, one or more candidates
left" takes ``n`` shifts for all constraints of a family at once. Constraints with one candidate left are placed
until nothing moves; then the search branches on the cell with the fewest candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from math import isqrt

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.types import Grid


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved grid, the dead ends that the search met on its way (0: singles alone solve it), and its uniqueness.

    ``unique`` is ``None`` where nobody asked: the search stopped at the first solution.
    """

    grid: Grid
    dead_ends: int
    unique: bool | None = None


@dataclass
class Search:
    """Running account of one search; ``random`` shuffles the candidates of every branch."""

    random: np.random.Generator | None = None
    dead_ends: int = 0


def box_shape(size: int) -> tuple[int, int]:
    """Height and width of a box on a ``size x size`` board: 4 -> 2x2, 6 -> 2x3, 9 -> 3x3; ``BadInput`` for primes."""
    height = next((h for h in range(isqrt(max(size, 0)), 1, -1) if size % h == 0), None)
    if height is None:
        raise BadInput(f"a {size}x{size} board cannot be cut into boxes: use a size such as 4, 6 or 9")
    return height, size // height


def solve(grid: Grid) -> Solution | None:
    """The first solution of ``grid`` (``uint8 [n, n]``, 0 = blank), or ``None``; ``BadInput`` for a malformed grid."""
    search = Search()
    found = next(solutions(grid, search), None)
    return None if found is None else Solution(found, search.dead_ends)


def prove(grid: Grid) -> Solution | None:
    """As :func:`solve`, but searches on until a second solution or none is left: ``unique`` is known.

    Where the solution is unique the whole tree has been searched, so ``dead_ends`` does not depend on luck with the
    order of guesses and serves as a difficulty rating.
    """
    search = Search()
    found = list(islice(solutions(grid, search), 2))
    return Solution(found[0], search.dead_ends, len(found) == 1) if found else None


def is_unique(grid: Grid) -> bool:
    """Whether ``grid`` has exactly one solution."""
    return len(list(islice(solutions(grid), 2))) == 1


def is_solution(grid: Grid) -> bool:
    """Whether a full ``[n, n]`` grid keeps every rule; wrong digits and blanks are simply not a solution."""
    size = grid.shape[0]
    height, width = box_shape(size)
    boxes = grid.reshape(size // height, height, size // width, width).swapaxes(1, 2).reshape(size, size)
    digits = np.arange(1, size + 1)
    return all(bool((np.sort(houses, axis=1) == digits).all()) for houses in (grid, grid.T, boxes))


def solutions(grid: Grid, search: Search | None = None) -> Iterator[Grid]:
    """All solutions of ``grid``, each ``uint8 [n, n]``; ``search`` counts dead ends and may shuffle the branches."""
    board = Board.of(_checked(grid).shape[0])
    state = board.place(grid)
    for solved in board.search(state, search or Search()):
        yield board.grid(solved)


def _checked(grid: Grid) -> Grid:
    if grid.ndim != 2 or grid.shape[0] != grid.shape[1]:
        raise BadInput(f"a Sudoku is a square grid, this one has the shape {grid.shape}")
    if grid.size and int(grid.max()) > grid.shape[0]:
        raise BadInput(f"digit {int(grid.max())} does not exist on a {grid.shape[0]}x{grid.shape[0]} board")
    return grid


@dataclass(frozen=True, eq=False)
class Family:
    """One family of constraints: its members are the bits ``base << shift`` for every shift."""

    base: int
    shifts: tuple[int, ...]

    def forced(self, state: int) -> int | None:
        """Candidates of ``state`` that are the last of their constraint; ``None`` if a constraint has none left."""
        once = twice = 0
        base = self.base
        for shift in self.shifts:
            members = (state >> shift) & base
            twice |= once & members
            once |= members
        if once != base:
            return None
        single = once & ~twice
        spread = 0
        for shift in self.shifts:
            spread |= single << shift
        return spread & state


@dataclass(frozen=True, eq=False)
class Board:
    """The masks of one board size; get it by :meth:`of`."""

    size: int
    families: tuple[Family, ...]
    keep: tuple[int, ...] = field(repr=False)
    cells: tuple[int, ...] = field(repr=False)

    @staticmethod
    @lru_cache(maxsize=8)
    def of(size: int) -> Board:
        """The board of ``size``; its tables are built once a process."""
        families = _families(size)
        constraints = tuple(_constraints(families))
        clashes = [0] * size**3
        for members in constraints:
            for index in bits(members):
                clashes[index] |= members
        keep = tuple(~clash | (1 << index) for index, clash in enumerate(clashes))
        return Board(size, families, keep, constraints[: size * size])

    def place(self, grid: Grid) -> int:
        """The candidates left by the givens of ``grid``, one look at each given (propagation does the rest)."""
        state = (1 << self.size**3) - 1
        area = self.size * self.size
        for cell, digit in enumerate(grid.ravel().tolist()):
            if digit:
                state &= self.keep[(digit - 1) * area + cell]
        return state

    def grid(self, state: int) -> Grid:
        """The solved ``state`` as ``uint8 [n, n]``."""
        area = self.size * self.size
        grid = np.zeros(area, np.uint8)
        for index in bits(state):
            grid[index % area] = index // area + 1
        return grid.reshape(self.size, self.size)

    def propagate(self, state: int) -> int | None:
        """Place singles until nothing moves; ``None`` for a contradiction."""
        placed = 0
        while True:
            forced = 0
            for family in self.families:
                last = family.forced(state)
                if last is None:
                    return None
                forced |= last
            fresh = forced & ~placed
            if not fresh:
                return state
            placed |= fresh
            for index in bits(fresh):
                state &= self.keep[index]

    def search(self, state: int, search: Search) -> Iterator[int]:
        """Solved states reachable from ``state``, depth first."""
        reduced = self.propagate(state)
        if reduced is None:
            search.dead_ends += 1
            return
        # In a solved state exactly one candidate stands in each of the n * n cells.
        if reduced.bit_count() == self.size * self.size:
            yield reduced
            return
        cell = min((reduced & cell for cell in self.cells), key=_branching)
        candidates = list(bits(cell))
        if search.random is not None:
            search.random.shuffle(candidates)
        for index in candidates:
            yield from self.search(reduced & self.keep[index], search)


def bits(mask: int) -> Iterator[int]:
    """Positions of the set bits of ``mask``, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _branching(candidates: int) -> int:
    count = candidates.bit_count()
    return count if count > 1 else 1 << 20


def _families(size: int) -> tuple[Family, ...]:
    """Cells, rows, columns and boxes, in this order."""
    height, width = box_shape(size)
    area = size * size
    every, line = range(size), range(0, area, size)
    corners = [top * size + left for top in range(0, size, height) for left in range(0, size, width)]
    box = tuple(row * size + column for row in range(height) for column in range(width))

    def planes(cells: range | list[int]) -> int:
        return sum(1 << (digit * area + cell) for digit in every for cell in cells)

    return (
        Family((1 << area) - 1, tuple(digit * area for digit in every)),
        Family(planes(line), tuple(every)),
        Family(planes(every), tuple(line)),
        Family(planes(corners), box),
    )


def _constraints(families: tuple[Family, ...]) -> Iterator[int]:
    for family in families:
        for origin in bits(family.base):
            yield sum(1 << (origin + shift) for shift in family.shifts)
