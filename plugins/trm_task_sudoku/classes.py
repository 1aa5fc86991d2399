"""What stays the same under the symmetries of Sudoku, and the rule that divides puzzles into splits by it.

Two puzzles that are one another's image must land in one split. It is enough to choose the split by any value that
no symmetry changes: equivalent puzzles then agree, whatever else collides. Small boards get an exact canonical form
(tried over all 128 or 3,456 ways to move cells); the 9x9 group moves cells in 3,359,232 ways, so 9x9 solutions get an
invariant instead: the cycle types of the permutations that lead from one row, column or digit to another.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from hashlib import sha256
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trm_harness.solvers.sudoku import box_shape
from trm_harness.types import Grid
from trm_task_sudoku.symmetry import line_orders

HELD_OUT = {"test": (0,), "validation": (1,), "train": tuple(range(2, 10))}
"""The tenths of the hash range that each split owns."""


def split_of(key: bytes) -> str:
    """The split that owns everything with the invariant ``key``: 10 % test, 10 % validation, 80 % train."""
    tenth = int.from_bytes(sha256(key).digest()[:8], "big") % 10
    return next(split for split, tenths in HELD_OUT.items() if tenth in tenths)


@lru_cache(maxsize=4)
def cell_orders(size: int) -> NDArray[np.int64]:
    """Every way the symmetries move cells: ``int64 [ways, n * n]``, new cell -> old cell, identity first."""
    height, width = box_shape(size)
    rows, columns = line_orders(size, height), line_orders(size, width)
    places = np.arange(size * size).reshape(size, size)
    boards = (places, places.T) if height == width else (places,)
    moved = [board[rows[:, None, :, None], columns[None, :, None, :]] for board in boards]
    return np.concatenate([m.reshape(-1, size * size) for m in moved])


def canonical(grid: Grid) -> bytes:
    """The same bytes for exactly the grids that are images of one another (boards up to 6x6; puzzles or solutions).

    Of all images the one with the greatest clue pattern, read as a binary number, and then the least digits, where
    digits are named in order of appearance.
    """
    orders = cell_orders(grid.shape[0])
    flat = grid.ravel()
    weights = np.int64(1) << np.arange(flat.size, dtype=np.int64)[::-1]
    patterns = (flat > 0)[orders] @ weights
    return min(renamed(flat[order].tolist()) for order in orders[patterns == patterns.max()])


def renamed(digits: list[int]) -> bytes:
    """Digits named 1, 2, ... in order of appearance; blanks stay 0."""
    names = {0: 0}
    return bytes(names.setdefault(digit, len(names)) for digit in digits)


def signature(solution: Grid) -> bytes:
    """An invariant of a full grid, the same for all its images (different grids may share it, seldom).

    Reading two rows one above the other gives a permutation of the digits; a symmetry conjugates or inverts it, so
    its cycle lengths stay. Counted apart for rows of one band and of two, the same for columns (the two families
    swap under the transpose), and for pairs of digits by the places that they take in the rows.
    """
    size = solution.shape[0]
    height, width = box_shape(size)
    places = np.argsort(solution, axis=1)
    lines = [_pairs(solution.tolist(), height), _pairs(solution.T.tolist(), width)]
    if height == width:
        lines.sort()
    return repr((lines, _pairs(places.T.tolist(), size))).encode()


def _pairs(lines: list[list[int]], band: int) -> list[tuple[tuple[bool, tuple[int, ...]], int]]:
    """How often each cycle type leads from one line to another, with "both in one band"."""
    together = Counter(
        (a // band == b // band, _cycle_type(dict(zip(lines[a], lines[b], strict=True))))
        for a, b in combinations(range(len(lines)), 2)
    )
    return sorted(together.items())


def _cycle_type(step: dict[int, int]) -> tuple[int, ...]:
    lengths = []
    while step:
        place, length = next(iter(step)), 0
        while place in step:
            place, length = step.pop(place), length + 1
        lengths.append(length)
    return tuple(sorted(lengths))
