"""Drawn training puzzles, kept on disk: a draw takes some milliseconds, and the same ones come in every training.

The file is one of the user's cache and named after the hash of the split, which covers recipe and generator, so a
puzzle in it is the one that would be drawn. A file that is damaged, or cannot be written, costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.files.read import MIB, read_arrays
from trm_harness.files.write import replacing
from trm_task_sudoku.generate import Drawn
from trm_task_sudoku.table import solved

SAVED_EVERY = 256
"""New puzzles after which the file is written: half a second's or two seconds' worth of draws."""

_LARGEST = 64 * MIB
_MISSING = -1


class Pool:
    """The puzzles ``0..count - 1`` that ``make`` draws, of ``size`` cells a side; the file is read at the first one."""

    def __init__(self, file: Path, size: int, count: int, make: Callable[[int], Drawn]) -> None:
        self.file, self._make, self._new = file, make, 0
        self._shape = (count, 2, size, size)
        self._grids: np.ndarray | None = None
        self._ratings = np.full(count, _MISSING, np.int64)

    def __getitem__(self, index: int) -> Drawn:
        if self._grids is None:
            self._grids = np.zeros(self._shape, np.uint8)
            self._take_over()
        if self._ratings[index] == _MISSING:
            drawn = self._make(index)
            self._grids[index], self._ratings[index] = (drawn.question, drawn.answer), drawn.rating
            self._new += 1
            if self._new >= SAVED_EVERY or not (self._ratings == _MISSING).any():
                self._save()
        question, answer = self._grids[index].copy()
        return Drawn(question, answer, int(self._ratings[index]))

    def _take_over(self) -> None:
        """Fill in what the file has and this process has not drawn."""
        try:
            kept = read_arrays(self.file, {"grids": ("uint8", 4), "ratings": ("int64", 1)}, _LARGEST)
        except BadInput:
            return
        grids, ratings = kept["grids"], kept["ratings"]
        if grids.shape != self._shape or ratings.shape != self._ratings.shape:
            return
        held = ratings != _MISSING
        if ratings.min() < _MISSING or not solved(grids[held]).all():
            return
        held &= self._ratings == _MISSING
        self._grids[held], self._ratings[held] = grids[held], ratings[held]

    def _save(self) -> None:
        """Write all there is, with what another process has written since."""
        self._take_over()
        with suppress(BadInput), replacing(self.file, parents=True) as temporary, temporary.open("wb") as file:
            np.savez(file, grids=self._grids, ratings=self._ratings)
        self._new = 0
