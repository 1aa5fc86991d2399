"""The board and its rules.

A question is a 7x7 grid: cells at even rows and columns (0 blank, 1-4 digits), signs between them, ``GAP`` elsewhere.
An answer is the 4x4 Latin square. ``<`` and ``>`` stand between two cells of a row, ``^`` (the upper one is smaller)
and ``v`` between two of a column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trm_harness.augment import dihedral, inverse_dihedral
from trm_harness.types import Grid
from trm_task_futoshiki import SIZE

SIDE = 2 * SIZE - 1
LESS, GREATER, UP, DOWN, GAP = 5, 6, 7, 8, 9
"""``LESS``: left < right. ``UP``: upper < lower."""

CHARACTERS = ".1234<>^v "
"""What each symbol looks like in a file."""

_TOWARDS = {LESS: (1, 2), GREATER: (1, 0), UP: (2, 1), DOWN: (0, 1)}
"""Of a 3x3 neighbourhood, the place of the larger cell."""


def places() -> list[tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Every place for a sign: (place on the board, first cell, second cell, (sign if first < second, else))."""
    found = []
    for row in range(SIZE):
        for column in range(SIZE):
            if column + 1 < SIZE:
                found.append(((2 * row, 2 * column + 1), (row, column), (row, column + 1), (LESS, GREATER)))
            if row + 1 < SIZE:
                found.append(((2 * row + 1, 2 * column), (row, column), (row + 1, column), (UP, DOWN)))
    return found


def empty() -> Grid:
    """A board without a clue."""
    board = np.full((SIDE, SIDE), GAP, np.uint8)
    board[::2, ::2] = 0
    return board


def is_board(board: Grid) -> bool:
    """Whether digits and signs stand where they may."""
    if board.shape != (SIDE, SIDE) or (board[::2, ::2] > SIZE).any() or (board[1::2, 1::2] != GAP).any():
        return False
    across, along = board[::2, 1::2], board[1::2, ::2]
    return bool(np.isin(across, (LESS, GREATER, GAP)).all() and np.isin(along, (UP, DOWN, GAP)).all())


def is_solution(board: Grid, answer: Grid) -> bool:
    """Whether ``answer`` is a Latin square that keeps every digit and sign of ``board``."""
    if answer.shape != (SIZE, SIZE):
        return False
    wanted = np.arange(1, SIZE + 1)
    if (np.sort(answer, axis=0) != wanted[:, None]).any() or (np.sort(answer, axis=1) != wanted).any():
        return False
    given = board[::2, ::2]
    if ((given > 0) & (given != answer)).any():
        return False
    return all(
        board[place] == GAP or (board[place] == signs[0]) == (answer[first] < answer[second])
        for place, first, second, signs in places()
    )


@dataclass(frozen=True)
class Symmetry:
    """Turning or mirroring (dihedral map 0-7), and perhaps swapping small for large. There are 16."""

    index: int
    swapped: bool

    @property
    def name(self) -> str:
        """``t3`` or ``t3s``; the identity is ``""``."""
        name = f"t{self.index}{'s' if self.swapped else ''}"
        return "" if name == "t0" else name

    def board(self, board: Grid) -> Grid:
        """A board seen through it."""
        return self._symbols()[dihedral(board, self.index)]

    def answer(self, answer: Grid) -> Grid:
        """An answer (right or wrong) seen through it."""
        return self._digits()[dihedral(answer, self.index)]

    def undo(self, answer: Grid) -> Grid:
        """The answer whose view this is."""
        return inverse_dihedral(self._digits()[answer], self.index)

    def _digits(self) -> Grid:
        table = np.arange(256, dtype=np.uint8)
        if self.swapped:
            table[1 : SIZE + 1] = np.arange(SIZE, 0, -1)
        return table

    def _symbols(self) -> Grid:
        table = self._digits()
        for sign, larger in _TOWARDS.items():
            around = np.zeros((3, 3), np.uint8)
            around[larger] = 1
            seen = dihedral(around, self.index)
            # Swapped, the larger cell is the one across.
            place = tuple(np.argwhere(seen[::-1, ::-1] if self.swapped else seen)[0].tolist())
            table[sign] = next(other for other, target in _TOWARDS.items() if target == place)
        return table


SYMMETRIES = {symmetry.name: symmetry for symmetry in (Symmetry(k, s) for s in (False, True) for k in range(8))}
"""By name, the identity first."""


def canonical(board: Grid) -> bytes:
    """The same bytes for exactly the boards that are images of one another."""
    return min(symmetry.board(board).tobytes() for symmetry in SYMMETRIES.values())
