"""Puzzle files, read with numpy: the rows that are wanted, checked, half a million in a second.

A plain row is ``source,question,answer,rating``; question and answer have one character a cell, so everything but the
source has its place counted from the end of the row. Only the rows asked for are ever copied out of the file: 422,786
of them take 0.8 s of one core and 84 MB beside the mapped file, 1,000 out of a million 0.2 s. A file of any other form
(quotes, other columns, decimal ratings, a list of boards) is read whole and brought into this one.
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
from trm_harness.files.read import TABLE_LIMIT
from trm_harness.grids import text_rows
from trm_harness.solvers.sudoku import box_shape
from trm_harness.types import Grid, Puzzle
from trm_task_sudoku.forms import HEADER, LISTS, LONGEST_RATING, read_rows
from trm_task_sudoku.unique import look, most_looked_at

RATED = 2000
"""Most puzzles of a file whose missing ratings are found by the search: some seconds of 9x9 boards."""

_SCAN = 1 << 24
_BLOCK = 1 << 14
_COMMA, _BREAK, _RETURN, _QUOTE = b',\n\r"'
_MARK = b"\xef\xbb\xbf"
_FOREIGN = 255
_DIGIT = np.full(256, _FOREIGN, np.uint8)
_DIGIT[list(b".0123456789")] = [0, *range(10)]


@dataclass(frozen=True, eq=False)
class Boards:
    """``grids`` is ``uint8 [count, 2, n, n]``, question and answer; ``ratings`` is ``int64`` or ``float64 [count]``."""

    grids: NDArray[np.uint8]
    ratings: NDArray[np.int64] | NDArray[np.float64]


class Table:
    """A file of Sudokus of ``size`` cells a side, mapped and not loaded: only the place of every row is kept.

    ``solved_here`` counts the puzzles that came without an answer.
    """

    def __init__(self, path: Path, size: int = 9) -> None:
        """Finds the rows. ``BadInput`` for a file that is missing, has another header or no rows."""
        self.path, self.size, self.solved_here = path, size, 0
        self._cells = size * size
        self._width = 2 * self._cells + 1
        self._lines: list[int] | None = None
        self._rows: list[list[str]] = []
        self._rated: NDArray[np.float64] | None = None
        if not self._is_plain():
            self._read_whole()
        if not len(self):
            raise BadInput(f"{path} holds no puzzles: give a file with at least one line below the header")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def read(self, rows: NDArray[np.int64] | None = None) -> Boards:
        """The rows of these numbers (from 0, any order), all by default.

        ``BadInput`` names the line and what in it is no Sudoku with its solution. Whether the solution is the only one
        is not asked: that would take hours for the published files.
        """
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        shape = (len(chosen), 2, self.size, self.size)
        boards = Boards(np.empty(shape, np.uint8), np.empty(len(chosen), np.int64))
        for start in range(0, len(chosen), _BLOCK):
            part = slice(start, start + _BLOCK)
            boards.grids[part], boards.ratings[part], wrong = self._block(chosen[part])
            if wrong is None:
                continue
            if self._lines is None and self.path.stat().st_size <= TABLE_LIMIT:
                # Perhaps only not plain: a decimal rating, zeros in another form.
                self._read_whole()
                return self.read(rows)
            raise self._refusal(wrong)
        if self._rated is None:
            return boards
        ratings = self._rated[chosen]
        whole = ratings.astype(np.int64)
        return Boards(boards.grids, whole if (whole == ratings).all() else ratings)

    def line(self, row: int) -> int:
        """The line of the file that row number ``row`` stands on."""
        return int(row) + 2 if self._lines is None else self._lines[row]

    def remarks(self, boards: Boards) -> tuple[str, ...]:
        """What a reader of a score on the whole file must know: answers made here, questions that have several.

        Of a large file only the first questions are looked at, which is said.
        """
        count = len(boards.grids)
        asked = most_looked_at(self.size, count)
        several = [row for row in range(asked) if look(boards.grids[row, 0], asked).unique is False]
        said = []
        if self.solved_here:
            said.append(f"{self.path.name}: {self.solved_here} of {count} answers are the exact solver's")
        if several:
            said.append(
                f"{self.path.name}: {len(several)} of {count} questions have several solutions (the first in line "
                f"{self.line(several[0])}), and exact asks for the given one"
            )
        if asked < count:
            said.append(
                f"{self.path.name}: only the first {asked:,} of {count:,} questions were asked whether they have "
                "several solutions"
            )
        return tuple(said)

    def _is_plain(self) -> bool:
        """Map the file and find its rows; whether every row may be a plain one."""
        try:
            self._text = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is empty"
            wanted = f"it does not start with the line {','.join(HEADER)}"
            raise BadInput(f"{self.path} cannot be read ({reason}), so {wanted}: give another file") from error
        if self.path.suffix.lower() in LISTS:
            return False
        first = bytes(self._text[:200]).removeprefix(_MARK).partition(b"\n")[0].rstrip(b"\r")
        if first != ",".join(HEADER).encode():
            return False
        self._ends = self._row_ends(len(first))
        # An empty line is none of the rows. A file too large to be read whole is told of it row by row.
        large = len(self._text) > TABLE_LIMIT
        return self._ends is not None and (large or bool((np.diff(self._ends) > self._width + 2).all()))

    def _row_ends(self, header: int) -> NDArray[np.int64] | None:
        """Places of the line breaks behind the header and every row; a last row without one ends with the file.

        ``None`` for a file with quotes.
        """
        size = len(self._text)
        found = []
        for at in range(0, size, _SCAN):
            part = self._text[at : at + _SCAN]
            if (part == _QUOTE).any():
                return None
            found.append(np.flatnonzero(part == _BREAK) + at)
        ends = np.concatenate(found) if size > header else np.array([], np.int64)
        return ends if size and self._text[-1] == _BREAK else np.append(ends, size)

    def _read_whole(self) -> None:
        """Read the file row by row, whatever its form, into plain rows; puzzles without an answer are solved."""
        found = read_rows(self.path, self.size)
        self._lines, self._rows = [row.line for row in found], [row.cells for row in found]
        self._rated = np.array([_number(cells[3]) for cells in self._rows], np.float64)
        plain = [",".join(HEADER)]
        for row, cells in enumerate(self._rows):
            question, answer = self._bare(cells[1]), self._bare(cells[2])
            searched = _digits(question, self.size) if not (answer and cells[3].strip()) else None
            if searched is not None and (not answer or len(found) <= RATED):
                answer = self._completed(row, searched, answer, rated=bool(cells[3].strip()))
            self._rated[row] = 0 if not cells[3].strip() and np.isnan(self._rated[row]) else self._rated[row]
            plain.append(f",{question},{answer},0")
        text = "\n".join(plain).encode("ascii", "replace")
        self._text = np.frombuffer(text.replace(b'"', b"'"), np.uint8)
        self._ends = self._row_ends(len(plain[0]))

    def _completed(self, row: int, question: Grid, answer: str, rated: bool) -> str:
        """The answer of a puzzle that lacks one, and its rating where the file has none."""
        looked = look(question, len(self._rows))
        if not rated:
            self._rated[row] = looked.rating
        if answer:
            return answer
        if looked.solution is None or not looked.unique:
            found = "no solution" if looked.solution is None else "several solutions"
            raise BadInput(
                f"{self.path}, line {self.line(row)}: the question has {found}; correct or remove that line, or give "
                "its answer"
            )
        self.solved_here += 1
        return "".join(map(str, looked.solution.ravel().tolist()))

    def _bare(self, text: str) -> str:
        """The characters of a board on one line, ``.`` for a blank; text of another form as it is."""
        return "".join(text_rows(text)).replace("0", ".")

    def _block(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64], int | None]:
        """Grids and ratings of some thousand rows at once, and the number of the first row that is wrong."""
        cells, size = self._cells, self.size
        if len(self._text) < self._width:
            return np.zeros((1, 2, size, size), np.uint8), np.zeros(1, np.int64), int(rows[0])
        begins, ends = self._ends[rows] + 1, self._ends[rows + 1]
        ends = ends - (self._text[ends - 1] == _RETURN)
        ratings, commas = self._ratings(ends)
        first = commas - self._width
        fits = (commas >= 0) & (first > begins)
        # Rows that do not fit read some other place of the file here and are refused below.
        windows = sliding_window_view(self._text, self._width)[np.where(fits, first, 0)]
        fits &= (self._text[np.maximum(first - 1, 0)] == _COMMA) & (windows[:, cells] == _COMMA)
        grids = _DIGIT[np.stack([windows[:, :cells], windows[:, cells + 1 :]], axis=1)].reshape(-1, 2, size, size)
        fits &= (grids[:, 0].reshape(-1, cells).max(axis=1, initial=0) <= size) & solved(grids)
        if self._rated is not None:
            fits &= ~np.isnan(self._rated[rows])
        return grids, ratings, None if fits.all() else int(rows[np.argmin(fits)])

    def _refusal(self, row: int) -> BadInput:
        """What is wrong with a row, in one line."""
        columns, where = ",".join(HEADER), f"{self.path}, line {self.line(row)}: puzzle {row + 1}"
        if self._lines is None:
            return BadInput(
                f"{where} is not {columns} with {self._cells} cells of 1-{self.size} and '.', an answer that solves "
                "the question and a whole-numbered rating; correct or remove that line"
            )
        _, question, answer, rating = self._rows[row]
        for name, text, least in (("question", question, 0), ("answer", answer, 1)):
            grid = _digits(self._bare(text), self.size) if text or not least else None
            if (text or not least) and (grid is None or grid.min() < least):
                what = f"{self._cells} cells of 1-{self.size}" + ("" if least else " and '.'")
                return BadInput(f"{where}, {name}: {_start(text)!r} is not {what}; correct or remove that line")
        if rating.strip() and np.isnan(_number(rating)):
            most = f"a number from 0 to {10**LONGEST_RATING - 1:,}"
            return BadInput(f"{where}, rating: {_start(rating)!r} is not {most}; correct or remove that line")
        return BadInput(f"{where}, answer: it does not solve the question; correct or remove that line")

    def _ratings(self, ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers that end before ``ends``, and the places of the commas before them (-1: there is none)."""
        ratings = np.zeros(len(ends), np.int64)
        commas = np.full(len(ends), -1)
        open_rows = np.ones(len(ends), bool)
        for index in range(LONGEST_RATING + 1):
            at = np.maximum(ends - 1 - index, 0)
            characters = self._text[at]
            if index:
                commas = np.where(open_rows & (characters == _COMMA), at, commas)
            digits = _DIGIT[characters]
            # A dot would pass for a blank cell, but it is no digit of a number.
            open_rows &= (digits != _FOREIGN) & (characters != ord("."))
            ratings += np.where(open_rows, digits.astype(np.int64) * 10**index, 0)
        return ratings, commas


class Listed(Sequence[Puzzle]):
    """The puzzles of some boards, each made when looked at and not kept: half a million of them take no memory.

    Puzzle ``i`` is named ``<prefix>-<numbers[i]>`` by its place in the file, in ``digits`` digits.
    """

    def __init__(
        self, prefix: str, boards: Boards, numbers: Sequence[int] | NDArray[np.int64], digits: int = 7
    ) -> None:
        self.boards = boards
        self._prefix, self._numbers, self._digits = prefix, numbers, digits
        self.facts = {"rating": boards.ratings, "givens": (boards.grids[:, 0] > 0).sum(axis=(1, 2))}
        # Plain numbers: a puzzle is made anew whenever it is asked for, hundreds of thousands of times in a run.
        self._ratings, self._givens = (fact.tolist() for fact in self.facts.values())
        # Puzzles hold views of these grids.
        boards.grids.flags.writeable = False

    def __len__(self) -> int:
        return len(self.boards.ratings)

    def names(self, places: Sequence[int]) -> list[str]:
        """Ids of the puzzles at ``places``."""
        form = f"{self._prefix}-%0{self._digits}d"
        return list(map(form.__mod__, [self._numbers[index] for index in places]))

    def grids(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Questions and answers, ``uint8 [places, n, n]`` each."""
        chosen = self.boards.grids[indices]
        return chosen[:, 0], chosen[:, 1]

    @overload
    def __getitem__(self, index: int) -> Puzzle: ...
    @overload
    def __getitem__(self, index: slice) -> list[Puzzle]: ...
    def __getitem__(self, index: int | slice) -> Puzzle | list[Puzzle]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        name = f"{self._prefix}-{self._numbers[place]:0{self._digits}d}"
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


def _number(text: str) -> float:
    """A rating; NaN for anything that is none."""
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if 0 <= value < 10**LONGEST_RATING else float("nan")


def _digits(text: str, size: int) -> Grid | None:
    """The grid of ``size * size`` characters; ``None`` for text of another form."""
    if len(text) != size * size or not text.isascii():
        return None
    cells = _DIGIT[np.frombuffer(text.encode("ascii"), np.uint8)]
    return cells.reshape(size, size) if cells.max() <= size else None


def _start(text: str) -> str:
    """What a message shows of a cell."""
    return text if len(text) <= 100 else f"{text[:100]}..."
