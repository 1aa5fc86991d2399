"""The symmetries of Sudoku: digits renamed, lines reordered inside bands, bands reordered, the board transposed.

A symmetry sends a grid ``g`` to ``digits[t[rows][:, columns]]`` where ``t`` is ``g`` or its transpose: first
transpose, then place lines, then rename, as in the reference's augmentation. Boards with oblong boxes (6x6) have no
transpose. Names read ``d<digits>.r<rows>.c<columns>[.T]``: ``d2134.r0132.c2301.T`` renames 1 to 2 and 2 to 1, takes
new row 2 from old row 3, and so on; the identity's name is empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from math import factorial

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import box_shape
from trm_harness.types import IDENTITY, Grid

_NAME = re.compile(r"d([1-9]+)\.r([0-8]+)\.c([0-8]+)(\.T)?")


@dataclass(frozen=True, eq=False)
class Symmetry:
    """``digits`` is ``uint8 [n + 1]`` (blank stays 0), ``rows`` and ``columns`` are ``int64 [n]`` of old places."""

    digits: NDArray[np.uint8]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    transposed: bool = False

    def apply(self, grid: Grid) -> Grid:
        """The grid ``uint8 [n, n]`` seen through this symmetry."""
        source = grid.T if self.transposed else grid
        return self.digits[source[self.rows[:, None], self.columns]]

    def undo(self, grid: Grid) -> Grid:
        """The grid that :meth:`apply` sends to ``grid``."""
        source = np.empty_like(grid)
        source[self.rows[:, None], self.columns] = np.argsort(self.digits).astype(np.uint8)[grid]
        return source.T if self.transposed else source

    @property
    def name(self) -> str:
        """Its full name (that of the identity is written out too)."""
        parts = (self.digits[1:], self.rows, self.columns)
        digits, rows, columns = ("".join(map(str, part.tolist())) for part in parts)
        return f"d{digits}.r{rows}.c{columns}" + (".T" if self.transposed else "")


@lru_cache(maxsize=32)
def line_orders(size: int, band: int) -> NDArray[np.int64]:
    """All orders of ``size`` lines that keep bands of ``band`` together: ``int64 [count, size]``, identity first."""
    inner = list(permutations(range(band)))
    bands = list(permutations(range(0, size, band)))
    orders = [
        [start + line for start, lines in zip(order, choice, strict=True) for line in lines]
        for order, choice in product(bands, product(inner, repeat=size // band))
    ]
    return np.array(orders)


def order(size: int) -> int:
    """Number of symmetries of a board: 3,072 for 4x4; 2,488,320 for 6x6; 1,218,998,108,160 for 9x9."""
    height, width = box_shape(size)
    lines = len(line_orders(size, height)) * len(line_orders(size, width))
    return factorial(size) * lines * (2 if height == width else 1)


def element(size: int, index: int) -> Symmetry:
    """Symmetry number ``index`` in ``range(order(size))``; 0 is the identity."""
    height, width = box_shape(size)
    rows, columns = line_orders(size, height), line_orders(size, width)
    index, transposed = divmod(index, 2 if height == width else 1)
    index, column = divmod(index, len(columns))
    index, row = divmod(index, len(rows))
    return Symmetry(_digits(size, index), rows[row], columns[column], bool(transposed))


def random(size: int, generator: np.random.Generator) -> Symmetry:
    """A symmetry drawn evenly from all of them."""
    return element(size, int(generator.integers(order(size))))


@lru_cache(maxsize=4096)
def parse(name: str, size: int) -> Symmetry:
    """The symmetry called ``name`` on a board of ``size``; ``BadInput`` if that is not a symmetry of it."""
    if name == IDENTITY:
        return element(size, 0)
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadInput(
            f"{name!r} names no Sudoku symmetry: write d<digits from 1>.r<rows from 0>.c<columns from 0>[.T]"
        )
    digits, rows, columns = (np.array(list(map(int, part))) for part in match.groups()[:3])
    height, width = box_shape(size)
    transposed = match[4] is not None
    fits = (
        np.array_equal(np.sort(digits), np.arange(1, size + 1))
        and _keeps_bands(rows, size, height)
        and _keeps_bands(columns, size, width)
        and (height == width or not transposed)
    )
    if not fits:
        raise BadInput(f"{name!r} is not a symmetry of a {size}x{size} Sudoku with {height}x{width} boxes")
    return Symmetry(np.concatenate(([0], digits)).astype(np.uint8), rows, columns, transposed)


def _digits(size: int, index: int) -> NDArray[np.uint8]:
    """Permutation number ``index`` of the digits in lexicographic order, with the blank in front."""
    pool, chosen = list(range(1, size + 1)), [0]
    for left in range(size - 1, -1, -1):
        place, index = divmod(index, factorial(left))
        chosen.append(pool.pop(place))
    return np.array(chosen, np.uint8)


def _keeps_bands(lines: NDArray[np.int64], size: int, band: int) -> bool:
    if not np.array_equal(np.sort(lines), np.arange(size)):
        return False
    bands = lines.reshape(-1, band) // band
    return bool((bands == bands[:, :1]).all())
