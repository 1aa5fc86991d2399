"""Guesses of a 9x9 Sudoku, counted as the published puzzles are rated: by a solver that reasons about bands.

Sudoku-Extreme's ``rating`` is the number of guesses that tdoku (https://github.com/t-dillon/tdoku) makes until it has
a solution. Its author describes the method; this is that method on big integers, written anew, slower, and for the
count alone. Besides cells it keeps, for every band of three rows or columns and every digit, the 6 ways to spread the
digit over the band's three boxes. A triad is the three cells that a box shares with a row or a column: it holds 3
digits and misses 6. Where propagation rests, the band with the fewest ways that is not settled yet is taken, in it the
digit with the fewest, and its first way is tried and then ruled out: one guess.

All sets are ``int``: digit ``d`` of the cell in row ``r`` and column ``c`` is bit ``81 * (d - 1) + 9 * r + c``. What
belongs to a triad stands in its first cell. A way stands in the first cell of the triad that it fills in the band's
first box; the triads of the other boxes follow in even (down the lines) or odd (up the lines) order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.types import Grid

_LINES = range(9)
_PLANE = (1 << 81) - 1


@dataclass
class Guessing:
    """Account of a search: guesses made and solutions found (``uint8 [9, 9]``).

    It ends with ``wanted`` solutions, or beyond ``most`` guesses, or when nothing is left to search.
    """

    wanted: int = 1
    most: int | None = None
    guesses: int = 0
    solutions: list[Grid] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the search may stop."""
        return len(self.solutions) == self.wanted or (self.most is not None and self.guesses > self.most)


def guesses(grid: Grid) -> int:
    """Guesses until the first solution of a 9x9 ``grid`` (``uint8``, 0 = blank); ``BadInput`` where there is none."""
    account = explore(grid)
    if not account.solutions:
        raise BadInput("a Sudoku without a solution has no rating: correct it")
    return account.guesses


def explore(grid: Grid, wanted: int = 1, most: int | None = None, ban: tuple[int, int] | None = None) -> Guessing:
    """Search ``grid`` (``uint8 [9, 9]``) depth first; ``ban`` is a cell (0-80) and a digit that must not stand there.

    With ``wanted=2`` the whole tree of a puzzle with one solution is counted. That depends less than the rating on the
    luck of the first tries, and so on which image of a puzzle is looked at.
    """
    if grid.shape != (9, 9):
        raise BadInput(f"guesses are counted on 9x9 boards, this one has the shape {grid.shape}")
    account, state = Guessing(wanted, most), _State.of(grid)
    if ban is not None:
        state.cells &= ~(1 << 81 * (ban[1] - 1) + ban[0])
    if state.settle():
        _search(state, account)
    return account


def _search(state: _State, account: Guessing) -> None:
    """Count below ``state``, which is used up."""
    while (choice := state.choice()) is not None:
        direction, ways = choice
        while len(ways) > 1:
            account.guesses += 1
            tried = state.copy()
            tried.rule_out(direction, ways[1:])
            if tried.settle():
                _search(tried, account)
            if account.over:
                return
            state.rule_out(direction, ways[:1])
            if not state.settle():
                return
            # As the original: where more than one way is left, it is branched on without another choice.
            ways = [way for way in ways[1:] if state.has(direction, way)]
    account.solutions.append(state.grid())


def _bits(places: Iterable[int]) -> int:
    return reduce(or_, (1 << place for place in places), 0)


def _planes(places: Iterable[int]) -> int:
    plane = _bits(places)
    return reduce(or_, (plane << 81 * digit for digit in _LINES), 0)


@dataclass(frozen=True)
class _Direction:
    """One of the two ways to cut the board into bands: ``along`` steps within a triad, ``across`` between its lines."""

    along: int
    across: int

    def __post_init__(self) -> None:
        along, across = self.along, self.across
        first = [across * line + along * start for line in _LINES for start in (0, 3, 6)]
        set_ = object.__setattr__
        set_(self, "triads", _planes(first))
        set_(self, "plane", _bits(first))
        set_(self, "heads", _planes(across * line for line in _LINES))
        set_(self, "upper", _planes(across * line + along * c for line in _LINES if line % 3 < 2 for c in _LINES))
        set_(self, "last", _planes(across * line + along * c for line in _LINES if line % 3 == 2 for c in _LINES))
        set_(self, "bands", tuple(_planes(across * (3 * b + e) for e in range(3)) for b in range(3)))

    def turn(self, mask: int) -> int:
        """Every bit moved to the next line of its band, from the last to the first."""
        return (mask & self.upper) << self.across | (mask & self.last) >> 2 * self.across

    def held(self, even: int, odd: int) -> int:
        """The triads that some way left would fill."""
        even1, odd1 = self.turn(even), self.turn(odd)
        even2, odd2 = self.turn(even1), self.turn(odd1)
        box = 3 * self.along
        return even | odd | (even1 | odd2) << box | (even2 | odd1) << 2 * box

    def ruled_out(self, triads: int) -> tuple[int, int]:
        """The ways, even and odd, that fill one of ``triads``."""
        box = 3 * self.along
        first, second, third = triads & self.heads, triads >> box & self.heads, triads >> 2 * box & self.heads
        second1, third1 = self.turn(second), self.turn(third)
        second2, third2 = self.turn(second1), self.turn(third1)
        return first | second2 | third1, first | second1 | third2


_ROWS, _COLUMNS = _DIRECTIONS = (_Direction(1, 9), _Direction(9, 1))
_EVERY = _planes(range(81))
_CORNERS = _planes(9 * row + column for row in (0, 3, 6) for column in (0, 3, 6))
_ONES = _bits(81 * digit for digit in _LINES)
_ORDER = ((0, 0), (0, 1), (0, 2), (1, 2), (1, 0), (1, 1))
"""The order in which ways are tried: (odd or even, line of the band that the first box fills)."""


def _counted(sets: int, plane: int, up_to: int) -> list[int]:
    """Places of ``plane`` that stand in 1, 2, ... ``up_to`` digits' planes of ``sets`` or more."""
    at_least = [0] * up_to
    while sets:
        layer = sets & plane
        for index in range(up_to - 1, 0, -1):
            at_least[index] |= at_least[index - 1] & layer
        at_least[0] |= layer
        sets >>= 81
    return at_least


def _spread(plane: int) -> int:
    return plane * _ONES


@dataclass
class _State:
    """What is left: ``cells``, and by direction ``missing`` (a triad may miss the digit) and the ways of the bands."""

    cells: int
    missing: list[int]
    even: list[int]
    odd: list[int]

    @staticmethod
    def of(grid: Grid) -> _State:
        heads = [direction.heads for direction in _DIRECTIONS]
        state = _State(_EVERY, [direction.triads for direction in _DIRECTIONS], heads, list(heads))
        given = _bits(81 * (digit - 1) + cell for cell, digit in enumerate(grid.ravel().tolist()) if digit)
        state._assert(given, [0, 0])
        return state

    def copy(self) -> _State:
        return _State(self.cells, list(self.missing), list(self.even), list(self.odd))

    def grid(self) -> Grid:
        """The cells of a settled board."""
        planes = (self.cells >> 81 * digit & _PLANE for digit in _LINES)
        text = np.array([[plane >> cell & 1 for cell in range(81)] for plane in planes], np.uint8)
        return (np.arange(1, 10, dtype=np.uint8) @ text).astype(np.uint8).reshape(9, 9)

    def has(self, direction: int, way: tuple[int, int]) -> bool:
        """Whether the way (parity, bit) is left."""
        return bool((self.even, self.odd)[way[0]][direction] & way[1])

    def rule_out(self, direction: int, ways: Iterable[tuple[int, int]]) -> None:
        """Take ways away; :meth:`settle` draws the consequences."""
        for parity, bit in ways:
            (self.even, self.odd)[parity][direction] &= ~bit

    def choice(self) -> tuple[int, list[tuple[int, int]]] | None:
        """The direction and the ways to branch on; ``None`` where every band is settled."""
        best = None
        for direction, axis in enumerate(_DIRECTIONS):
            for number, band in enumerate(axis.bands):
                left = (self.even[direction] & band).bit_count() + (self.odd[direction] & band).bit_count()
                if left >= 10 and (best is None or left < best[0]):
                    best = left, direction, number
        if best is None:
            return None
        _, direction, band = best
        chosen = min((ways for digit in _LINES if len(ways := self._ways(direction, band, digit)) > 1), key=len)
        return direction, chosen

    def _ways(self, direction: int, band: int, digit: int) -> list[tuple[int, int]]:
        across = _DIRECTIONS[direction].across
        every = ((parity, 1 << 81 * digit + across * (3 * band + line)) for parity, line in _ORDER)
        return [way for way in every if self.has(direction, way)]

    def settle(self) -> bool:
        """Draw conclusions until nothing moves; false for a contradiction."""
        while True:
            before = self.cells, *self.missing, *self.even, *self.odd
            self._bands_to_boxes()
            once, twice = _counted(self.cells, _PLANE, 2)
            if once != _PLANE:
                return False
            placed, missed = self.cells & _spread(once & ~twice), [0, 0]
            for number, axis in enumerate(_DIRECTIONS):
                full, over = _counted(axis.triads & ~self.missing[number], axis.plane, 4)[2:]
                if over:
                    return False
                found = self._triads(number)
                if found is None:
                    return False
                placed |= found[0]
                missed[number] = found[1]
                missed[number] |= self.missing[number] & _spread(full)
            self._assert(placed, missed)
            if before == (self.cells, *self.missing, *self.even, *self.odd):
                return True

    def _bands_to_boxes(self) -> None:
        """Triads that hold only three digits more hold these; cells and triads follow the ways left."""
        for number, axis in enumerate(_DIRECTIONS):
            held = axis.held(self.even[number], self.odd[number])
            _, _, three, four = _counted(held, axis.plane, 4)
            sure = held & _spread(three & ~four)
            if sure:
                self._keep(number, sure, 0)
                held = axis.held(self.even[number], self.odd[number])
            other = axis.turn(held)
            self.missing[number] &= other | axis.turn(other)
            self.cells &= held | held << axis.along | held << 2 * axis.along

    def _triads(self, number: int) -> tuple[int, int] | None:
        """Cells and misses that are the last left: a triad holds a digit in one of three cells or misses it.

        ``None`` where nothing is left.
        """
        axis = _DIRECTIONS[number]
        parts = [self.cells >> index * axis.along & axis.triads for index in range(3)]
        once, twice = self.missing[number], 0
        for part in parts:
            twice |= once & part
            once |= part
        if once != axis.triads:
            return None
        single = once & ~twice
        placed = reduce(or_, ((part & single) << index * axis.along for index, part in enumerate(parts)))
        return placed, self.missing[number] & single

    def _assert(self, placed: int, missed: list[int]) -> None:
        """Digits stand in cells, and triads miss digits: strike what that rules out."""
        if placed:
            digits = reduce(or_, (placed >> 81 * digit & _PLANE for digit in _LINES))
            rows = placed | placed >> 1 | placed >> 2
            rows &= _ROWS.triads
            boxes = rows | rows >> 9 | rows >> 18
            boxes &= _CORNERS
            boxes |= boxes << 1 | boxes << 2
            boxes |= boxes << 9 | boxes << 18
            self.cells &= ~(boxes | _spread(digits)) | placed
        for number, axis in enumerate(_DIRECTIONS):
            held = (placed | placed >> axis.along | placed >> 2 * axis.along) & axis.triads
            self.missing[number] &= ~held
            self._keep(number, held, missed[number])

    def _keep(self, number: int, held: int, missed: int) -> None:
        """Keep the ways that fill the triads ``held`` and not those ``missed``."""
        axis = _DIRECTIONS[number]
        other = axis.turn(held)
        even, odd = axis.ruled_out(other | axis.turn(other) | missed)
        self.even[number] &= ~even
        self.odd[number] &= ~odd
