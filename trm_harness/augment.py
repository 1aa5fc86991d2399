"""Grid transforms with exact inverses: the 8 dihedral maps and symbol permutations.

Numbering of the dihedral maps follows the reference (``parity/data/dihedral.npz``): 0 identity, 1-3 rotations by 90,
180, 270 degrees counter-clockwise, 4 left-right flip, 5 up-down flip, 6 transpose, 7 anti-diagonal reflection.
"""

from __future__ import annotations

import numpy as np

from trm_harness.types import Grid

DIHEDRAL_INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)
"""``DIHEDRAL_INVERSE[k]`` undoes map ``k``."""


def dihedral(grid: Grid, index: int) -> Grid:
    """``grid [h, w]`` under dihedral map ``index`` (0-7); ``ValueError`` for any other index."""
    if index in (0, 1, 2, 3):
        return np.rot90(grid, k=index)
    if index == 4:
        return np.fliplr(grid)
    if index == 5:
        return np.flipud(grid)
    if index == 6:
        return grid.T
    if index == 7:
        return np.fliplr(np.rot90(grid, k=1))
    raise ValueError(f"dihedral map {index} does not exist: use 0-7")


def inverse_dihedral(grid: Grid, index: int) -> Grid:
    """Undo :func:`dihedral` with the same ``index``."""
    return dihedral(grid, DIHEDRAL_INVERSE[index])


def permute_symbols(grid: Grid, permutation: np.ndarray) -> Grid:
    """Replace symbol ``s`` by ``permutation[s]`` (``uint8 [n_symbols]``)."""
    return np.asarray(permutation, dtype=np.uint8)[grid]


def inverse_permutation(permutation: np.ndarray) -> np.ndarray:
    """The permutation that undoes ``permutation``."""
    return np.argsort(permutation).astype(np.uint8)
