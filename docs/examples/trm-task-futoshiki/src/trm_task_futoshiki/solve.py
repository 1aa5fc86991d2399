"""An exact solver: propagation, then search. It proves that a solution is the only one, and rates a puzzle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trm_harness.types import Grid
from trm_task_futoshiki import SIZE
from trm_task_futoshiki.board import GAP, places

FULL = (1 << SIZE) - 1
_PEERS = [
    [b for b in range(SIZE * SIZE) if b != a and (b // SIZE == a // SIZE or b % SIZE == a % SIZE)]
    for a in range(SIZE * SIZE)
]


@dataclass
class Search:
    """Solutions found so far, at most ``most``; ``dead_ends`` counts guesses that led nowhere: the rating."""

    most: int = 2
    found: list[Grid] = field(default_factory=list)
    dead_ends: int = 0

    def run(self, cells: list[int], smaller: list[tuple[int, int]]) -> None:
        """Go on from candidate sets (bit d - 1 for digit d) with ``smaller`` pairs (cell, larger cell)."""
        if not _propagate(cells, smaller):
            self.dead_ends += 1
            return
        open_cells = [cell for cell in range(len(cells)) if cells[cell].bit_count() > 1]
        if not open_cells:
            digits = [candidates.bit_length() for candidates in cells]
            self.found.append(np.array(digits, np.uint8).reshape(SIZE, SIZE))
            return
        cell = min(open_cells, key=lambda cell: cells[cell].bit_count())
        for digit in range(SIZE):
            if cells[cell] >> digit & 1 and len(self.found) < self.most:
                tried = cells.copy()
                tried[cell] = 1 << digit
                self.run(tried, smaller)


def solve(board: Grid, most: int = 2) -> Search:
    """Up to ``most`` solutions of a board, and how many guesses failed on the way."""
    given = board[::2, ::2].ravel().tolist()
    cells = [1 << (digit - 1) if digit else FULL for digit in given]
    smaller = []
    for place, first, second, signs in places():
        if board[place] != GAP:
            pair = (first[0] * SIZE + first[1], second[0] * SIZE + second[1])
            smaller.append(pair if board[place] == signs[0] else pair[::-1])
    search = Search(most)
    search.run(cells, smaller)
    return search


def _propagate(cells: list[int], smaller: list[tuple[int, int]]) -> bool:
    """Strike what rows, columns and signs rule out until nothing changes; false if a cell has nothing left."""
    before = None
    while before != cells:
        before = cells.copy()
        for cell, candidates in enumerate(cells):
            if candidates.bit_count() == 1:
                for peer in _PEERS[cell]:
                    cells[peer] &= ~candidates
        for low, high in smaller:
            if not cells[low] or not cells[high]:
                return False
            cells[high] &= FULL & ~((cells[low] & -cells[low]) * 2 - 1)
            cells[low] &= (1 << (cells[high].bit_length() - 1)) - 1 if cells[high] else 0
        if not all(cells):
            return False
    return True
