"""Every 4x4 Sudoku there is, up to symmetry: the space is small enough to list, so nothing is left to sampling.

288 full grids fall into 2 classes. A set of clues of a full grid determines it exactly if no other full grid agrees
on all of them; sets that a symmetry of the grid sends to one another are one puzzle. What is left is listed here once
and divided into splits, so that every puzzle of the test set is essentially different from every other.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from trm_harness.solvers.sudoku import solutions
from trm_harness.types import Grid
from trm_task_sudoku.classes import canonical, cell_orders, renamed

SIZE = 4
_WEIGHTS = 1 << np.arange(SIZE * SIZE)


def full_grids() -> NDArray[np.uint8]:
    """All full grids: ``uint8 [288, 16]``."""
    return np.array([grid.ravel() for grid in solutions(np.zeros((SIZE, SIZE), np.uint8))])


def essential_grids() -> list[NDArray[np.uint8]]:
    """One full grid ``uint8 [16]`` of each class, in the order of their canonical forms."""
    forms = sorted({canonical(grid.reshape(SIZE, SIZE)) for grid in full_grids()})
    return [np.frombuffer(form, np.uint8) for form in forms]


def determining(grid: NDArray[np.uint8], givens: tuple[int, int]) -> NDArray[np.int64]:
    """Clue sets (16-bit masks) of ``grid`` with ``givens`` clues, least to most, that no other full grid fits."""
    agreements = (full_grids() == grid) @ _WEIGHTS
    masks = np.arange(1 << SIZE * SIZE)
    counts = _unpack(masks).sum(axis=1)
    masks = masks[(counts >= givens[0]) & (counts <= givens[1])]
    for agreement in agreements[agreements != (1 << SIZE * SIZE) - 1]:
        masks = masks[masks & ~agreement != 0]
    return masks


@lru_cache(maxsize=4)
def essential_puzzles(givens: tuple[int, int]) -> tuple[tuple[bytes, int], ...]:
    """Every essentially different puzzle with one solution: its full grid (16 bytes) and its clue mask.

    The order is that of a hash, so any stretch of the list is a fair sample of it and no stretch ever changes.
    """
    found = []
    for grid in essential_grids():
        own = [order for order in cell_orders(SIZE) if renamed(grid[order].tolist()) == grid.tobytes()]
        clues = _unpack(determining(grid, givens))
        least = np.min([clues[:, order] @ _WEIGHTS for order in own], axis=0)
        found += [(grid.tobytes(), int(mask)) for mask in np.unique(least)]
    return tuple(sorted(found, key=lambda puzzle: sha256(repr(puzzle).encode()).digest()))


def boards(puzzle: tuple[bytes, int]) -> tuple[Grid, Grid]:
    """Question and answer, ``uint8 [4, 4]`` each, of an entry of :func:`essential_puzzles`."""
    answer = np.frombuffer(puzzle[0], np.uint8)
    question = answer * _unpack(np.array([puzzle[1]]))[0].astype(np.uint8)
    return question.reshape(SIZE, SIZE), answer.reshape(SIZE, SIZE)


def _unpack(masks: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (masks[:, None] & _WEIGHTS) != 0
