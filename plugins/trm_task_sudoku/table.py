"""Large puzzle files, read with numpy: the rows that are wanted, checked, half a million in a second.

A row is ``source,question,answer,rating``; question and answer have 81 characters, so everything but the source has
its place counted from the end of the row. Only the rows asked for are ever copied out of the file: 422,786 of them
take 0.8 s of one core and 84 MB beside the mapped file, 1,000 out of a million 0.2 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import box_shape
from trm_harness.types import Puzzle
from trm_task_sudoku.files import HEADER, LONGEST_RATING

SIZE = 9
CELLS = SIZE * SIZE
_WIDTH = 2 * CELLS + 1
"""Characters of question and answer with the comma between them."""

_SCAN = 1 << 24
_BLOCK = 1 << 14
_COMMA, _BREAK, _RETURN = b",\n\r"
_FOREIGN = 255
_DIGIT = np.full(256, _FOREIGN, np.uint8)
_DIGIT[list(b".0123456789")] = [0, *range(10)]


@dataclass(frozen=True, eq=False)
class Boards:
    """``grids`` is ``uint8 [count, 2, 9, 9]``, question and answer; ``ratings`` is ``int64 [count]``."""

    grids: NDArray[np.uint8]
    ratings: NDArray[np.int64]


class Table:
    """A CSV file on disk, mapped and not loaded: only the place of every row is kept, 8 bytes each."""

    def __init__(self, path: Path) -> None:
        """Finds the rows. ``BadInput`` for a file that is missing, has another header or no rows."""
        self.path = path
        try:
            self._text = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is empty"
            raise BadInput(f"cannot read {path}: {reason}; give a CSV file with {','.join(HEADER)}") from error
        head = bytes(self._text[:200]).partition(b"\n")[0].rstrip(b"\r")
        if head != ",".join(HEADER).encode():
            raise BadInput(f"{path} does not start with the line {','.join(HEADER)}: add it or give another file")
        self._ends = self._row_ends(len(head))
        if not len(self):
            raise BadInput(f"{path} holds no puzzles: give a file with at least one line below the header")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def read(self, rows: NDArray[np.int64] | None = None) -> Boards:
        """The rows of these numbers (from 0, any order), all by default.

        ``BadInput`` names the line that is no Sudoku with its solution. Whether the solution is the only one is not
        asked: that would take hours for the published files.
        """
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        boards = Boards(np.empty((len(chosen), 2, SIZE, SIZE), np.uint8), np.empty(len(chosen), np.int64))
        for start in range(0, len(chosen), _BLOCK):
            part = slice(start, start + _BLOCK)
            boards.grids[part], boards.ratings[part] = self._block(chosen[part])
        return boards

    def _row_ends(self, header: int) -> NDArray[np.int64]:
        """Places of the line breaks behind the header and every row; a last row without one ends with the file."""
        size = len(self._text)
        found = [np.flatnonzero(self._text[at : at + _SCAN] == _BREAK) + at for at in range(0, size, _SCAN)]
        ends = np.concatenate(found) if size > header else np.array([], np.int64)
        return ends if size and self._text[-1] == _BREAK else np.append(ends, size)

    def _block(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Grids and ratings of some thousand rows at once."""
        begins, ends = self._ends[rows] + 1, self._ends[rows + 1]
        ends = ends - (self._text[ends - 1] == _RETURN)
        ratings, commas = self._ratings(ends)
        first = commas - _WIDTH
        fits = (commas >= 0) & (first > begins)
        if len(self._text) < _WIDTH:
            raise self._refusal(rows[0])
        # Rows that do not fit read some other place of the file here and are refused below.
        windows = sliding_window_view(self._text, _WIDTH)[np.where(fits, first, 0)]
        fits &= (self._text[np.maximum(first - 1, 0)] == _COMMA) & (windows[:, CELLS] == _COMMA)
        grids = _DIGIT[np.stack([windows[:, :CELLS], windows[:, CELLS + 1 :]], axis=1)].reshape(-1, 2, SIZE, SIZE)
        fits &= solved(grids)
        if not fits.all():
            raise self._refusal(rows[np.argmin(fits)])
        return grids, ratings

    def _refusal(self, row: np.int64) -> BadInput:
        return BadInput(
            f"{self.path}, line {row + 2}: not {','.join(HEADER)} with 81 cells of 1-9 and '.', an answer that solves "
            "the question and a whole-numbered rating; correct or remove that line"
        )

    def _ratings(self, ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers that end before ``ends``, and the places of the commas before them (-1: there is none)."""
        ratings = np.zeros(len(ends), np.int64)
        commas = np.full(len(ends), -1)
        open_rows = np.ones(len(ends), bool)
        for place in range(LONGEST_RATING + 1):
            at = np.maximum(ends - 1 - place, 0)
            characters = self._text[at]
            if place:
                commas = np.where(open_rows & (characters == _COMMA), at, commas)
            digits = _DIGIT[characters]
            # A dot would pass for a blank cell, but it is no digit of a number.
            open_rows &= (digits != _FOREIGN) & (characters != ord("."))
            ratings += np.where(open_rows, digits.astype(np.int64) * 10**place, 0)
        return ratings, commas


class Listed(Sequence[Puzzle]):
    """The puzzles of some boards, each made when looked at and not kept: half a million of them take no memory.

    Puzzle ``i`` is named ``<prefix>-<numbers[i]>`` by its place in the file.
    """

    def __init__(self, prefix: str, boards: Boards, numbers: Sequence[int] | NDArray[np.int64]) -> None:
        self.boards = boards
        self._prefix, self._numbers = prefix, numbers
        self.facts = {"rating": boards.ratings, "givens": (boards.grids[:, 0] > 0).sum(axis=(1, 2))}
        # Plain numbers: a puzzle is made anew whenever it is asked for, hundreds of thousands of times in a run.
        self._ratings, self._givens = (fact.tolist() for fact in self.facts.values())
        # Puzzles hold views of these grids.
        boards.grids.flags.writeable = False

    def __len__(self) -> int:
        return len(self.boards.ratings)

    def names(self, places: Sequence[int]) -> list[str]:
        """Ids of the puzzles at ``places``."""
        return list(map(f"{self._prefix}-%07d".__mod__, [self._numbers[place] for place in places]))

    def grids(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Questions and answers, ``uint8 [places, 9, 9]`` each."""
        chosen = self.boards.grids[places]
        return chosen[:, 0], chosen[:, 1]

    @overload
    def __getitem__(self, index: int) -> Puzzle: ...
    @overload
    def __getitem__(self, index: slice) -> list[Puzzle]: ...
    def __getitem__(self, index: int | slice) -> Puzzle | list[Puzzle]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        name = f"{self._prefix}-{self._numbers[place]:07d}"
        grids = self.boards.grids[place]
        facts = {"rating": self._ratings[place], "givens": self._givens[place]}
        return Puzzle(name, name, grids[0], grids[1], facts=facts)


def solved(grids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``grids [count, 2, n, n]`` hold a question and a full grid that keeps its clues and the rules."""
    size = grids.shape[-1]
    height, width = box_shape(size)
    questions, answers = grids[:, 0], grids[:, 1]
    keeps = ((questions == 0) | (questions == answers)).reshape(-1, size * size).all(axis=1)
    keeps &= answers.reshape(-1, size * size).max(axis=1, initial=0) <= size
    # Puzzles along the last axis: every house is then a sum of long rows.
    bits = np.min_scalar_type(1 << size + 1).type
    marks = np.ascontiguousarray(np.moveaxis(bits(1) << np.minimum(answers, size + 1).astype(bits), 0, 2))
    boxes = marks.reshape(size // height, height, size // width, width, -1).swapaxes(1, 2).reshape(size, size, -1)
    every = bits((1 << size + 1) - 2)
    for houses, axis in ((marks, 1), (marks, 0), (boxes, 1)):
        keeps &= (np.bitwise_or.reduce(houses, axis=axis) == every).all(axis=0)
    return keeps
