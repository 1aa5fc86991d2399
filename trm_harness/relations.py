"""Relations between the cells of a square board, by name: what a task's spec declares and a network mixes over.

A relation is a list of groups. In each group some cells speak and some cells hear what they say. In a row of a Sudoku
every cell does both; in ``below`` the group of a cell has the cell as its hearer and the one below as its speaker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import box_shape

Numbers = NDArray[np.int64]
Groups = NDArray[np.bool_]
"""``bool [groups, cells]``, cells row by row."""


@dataclass(frozen=True, eq=False)
class Relation:
    """``speaks`` and ``hears`` are ``bool [groups, cells]``: who is heard in a group, and who hears it."""

    name: str
    speaks: Groups
    hears: Groups


def relation(name: str, cells: int) -> Relation:
    """The relation called ``name`` on a square board of ``cells`` cells; ``BadInput`` lists the names there are.

    Besides the names of :data:`NAMES` there is ``shift:R,C``: each cell hears the one R rows down and C columns to the
    right of it.
    """
    side = math.isqrt(cells)
    if side * side != cells or not side:
        raise BadInput(f"relations are those of square boards: {cells} cells are none")
    if name in NAMES:
        speaks, hears = NAMES[name](side)
    elif name.startswith("shift:"):
        speaks, hears = _shift(name, side)
    else:
        raise BadInput(f"relation {name!r} is unknown: use one of {', '.join(NAMES)}, or shift:ROWS,COLUMNS")
    heard = speaks.any(axis=1)
    return Relation(name, speaks[heard], hears[heard])


def relations(names: Sequence[str], cells: int) -> tuple[Relation, ...]:
    """The named relations, in order; ``BadInput`` for an unknown name or one that comes twice."""
    if len(set(names)) != len(names):
        raise BadInput(f"relations {', '.join(names)}: one comes twice: name each once")
    return tuple(relation(name, cells) for name in names)


def _sets(side: int, number: Callable[[Numbers, Numbers], Numbers]) -> tuple[Groups, Groups]:
    """Groups of the cells that get the same number of their row and column; all speak and hear. -1 is no group."""
    given = number(*np.indices((side, side))).ravel()
    groups = np.arange(given.max() + 1)[:, None] == given
    return groups, groups


def _boxes(side: int) -> tuple[Groups, Groups]:
    height, width = box_shape(side)
    return _sets(side, lambda row, column: row // height * (side // width) + column // width)


def _diagonals(side: int) -> tuple[Groups, Groups]:
    falling, _ = _sets(side, lambda row, column: np.where(row == column, 0, -1))
    rising, _ = _sets(side, lambda row, column: np.where(row + column == side - 1, 0, -1))
    both = np.concatenate([falling, rising])
    return both, both


def _near(side: int, offsets: Sequence[tuple[int, int]]) -> tuple[Groups, Groups]:
    """A group for each cell: it hears those at ``offsets`` that are on the board."""
    places = np.arange(side * side).reshape(side, side)
    hears = np.eye(side * side, dtype=np.bool_)
    speaks = np.zeros_like(hears)
    for down, right in offsets:
        rows, columns = np.indices((side, side))
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        speaks[places[inside], places[row[inside], column[inside]]] = True
    return speaks, hears


def _shift(name: str, side: int) -> tuple[Groups, Groups]:
    try:
        down, right = (int(number) for number in name.removeprefix("shift:").split(","))
    except ValueError:
        raise BadInput(f"relation {name!r}: give two whole numbers, as in shift:1,0") from None
    if not (0 < max(abs(down), abs(right)) < side):
        raise BadInput(f"relation {name!r} leads nowhere on {side}x{side} cells: use numbers below {side}, not both 0")
    return _near(side, [(down, right)])


_AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]

NAMES: dict[str, Callable[[int], tuple[Groups, Groups]]] = {
    "rows": lambda side: _sets(side, lambda row, column: row),
    "columns": lambda side: _sets(side, lambda row, column: column),
    "boxes": _boxes,
    "diagonals": _diagonals,
    "below": lambda side: _near(side, [(1, 0)]),
    "left": lambda side: _near(side, [(0, -1)]),
    "right": lambda side: _near(side, [(0, 1)]),
    "above": lambda side: _near(side, [(-1, 0)]),
    "around": lambda side: _near(side, _AROUND),
}
"""``rows``, ``columns``, ``boxes`` (Sudoku's, as tall and wide as the side allows) and the two long ``diagonals`` as a
whole; the neighbour ``below``, ``left``, ``right`` and ``above``; the mean of the up to eight cells ``around``."""
