"""The journal: every answer of a run, one line each, on disk before the next batch begins.

A line is a JSON array ``[puzzle, view, transform, restart, answers, halts, steps, length, checksum]``. Grids are text:
rows joined by ``/``, one base-36 character per cell, ``=`` for "as the step before", ``""`` for the empty grid,
``null`` for no answer. Logits carry the nine digits that name a float32 exactly. The checksum (CRC-32 of the line
before it) tells a damaged line from a good one; a last line without its line break was cut by a crash.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from operator import ne
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from trm_harness.errors import BadInput
from trm_harness.files.names import ARCHIVED_JOURNAL_FILE
from trm_harness.files.read import line_blocks, lines, open_either
from trm_harness.files.write import write_bytes
from trm_harness.grids import SYMBOLS
from trm_harness.types import Grid

_SYMBOLS = np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)
_FOREIGN = 255
_VALUES = bytes(bytes(_SYMBOLS).find(character) % 256 for character in range(256))
_ENDS = 254
_CELLS = bytes(_ENDS if character == ord("/") else value for character, value in enumerate(_VALUES))
_PARSE = json.JSONDecoder().raw_decode
_BREAK = ord("/")
_SAME = "="
_TAIL = len(',"00000000"]')
_STRINGS, _NUMBERS, _ANSWERS, _LISTS = {str}, {int}, {str, type(None)}, {list}
_BLOCK = 1 << 18
"""Bytes read at once by :func:`blocks`: some hundred lines, few enough to stay in a processor's cache."""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """What one view of one puzzle was answered.

    ``view`` counts a puzzle's transforms from 0 (the identity), ``restart`` the answers from different noise.
    ``answers`` are grids in the puzzle's own frame, one per kept supervision step, the last one final; ``None`` is no
    answer. ``halts`` are the halting logits (float32 values) of all ``steps`` steps. ``length`` is the number of
    tokens that the network read.
    """

    puzzle: str
    view: int
    transform: str
    restart: int
    answers: tuple[Grid | None, ...]
    halts: tuple[float, ...]
    steps: int
    length: int = 0


class Entry(NamedTuple):
    """A row as it lies in the file: answers still text, so that a million rows are cheap to count and compare."""

    puzzle: str
    view: int
    transform: str
    restart: int
    answers: tuple[str | None, ...]
    halts: tuple[float, ...]
    steps: int
    length: int

    def row(self) -> Row:
        """The row with its grids. ``BadInput`` for an answer that is no grid."""
        try:
            grids = tuple(None if text is None else text_grid(text) for text in self.answers)
        except ValueError as error:
            raise BadInput(f"the journal's answer to puzzle {self.puzzle!r} is damaged: {error}") from None
        return Row(self.puzzle, self.view, self.transform, self.restart, grids, self.halts, self.steps, self.length)


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows as columns, ``n`` of them.

    ``answers`` are lists of texts, ``"="`` or a repetition where a step answers as the one before. ``halts`` float32
    holds the logits of all rows one after the other, ``steps`` int64 ``[n]`` how many are whose.
    """

    puzzles: tuple[str, ...]
    views: tuple[int, ...]
    restarts: tuple[int, ...]
    answers: tuple[list[str | None], ...]
    halts: NDArray[np.float32]
    steps: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.puzzles)


def grid_text(grid: Grid) -> str:
    """Text of a grid ``uint8 [h, w]`` of symbols 0-35; ``ValueError`` for any other."""
    if grid.ndim != 2:
        raise ValueError(f"a grid has two dimensions, not {grid.ndim}")
    if not grid.size:
        return ""
    if grid.max() >= len(_SYMBOLS):
        raise ValueError(f"a grid holds symbol {grid.max()}; the journal writes 0-{len(_SYMBOLS) - 1}")
    text = np.full((grid.shape[0], grid.shape[1] + 1), _BREAK, dtype=np.uint8)
    text[:, :-1] = _SYMBOLS[grid]
    return text.tobytes()[:-1].decode("ascii")


def text_grid(text: str) -> Grid:
    """The (read-only) grid that :func:`grid_text` wrote; ``ValueError`` for ragged rows or foreign characters."""
    if not text:
        return np.zeros((0, 0), dtype=np.uint8)
    rows = text.split("/")
    if not rows[0] or len(set(map(len, rows))) > 1:
        raise ValueError("ragged rows")
    cells = "".join(rows).encode("ascii").translate(_VALUES)
    if _FOREIGN in cells:
        raise ValueError("characters outside 0-9a-z")
    return np.frombuffer(cells, dtype=np.uint8).reshape(len(rows), -1)


def text_grids(texts: Sequence[str | None], shape: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The grids among ``texts`` that have ``shape``, ``uint8 [k, *shape]``, and their places, ``int64 [k]``."""
    height, width = shape
    length = height * (width + 1) - 1
    sizes = np.fromiter((len(text or "") for text in texts), np.int64, len(texts))
    places = np.flatnonzero(sizes == length)
    alike = texts if len(places) == len(texts) else [texts[index] for index in places.tolist()]
    data = "/".join([*alike, ""]).encode("ascii", "replace")
    cells = np.frombuffer(data.translate(_CELLS), np.uint8).reshape(len(places), length + 1)
    form = np.arange(1, length + 2) % (width + 1) == 0
    fit = (cells != _FOREIGN) & ((cells == _ENDS) == form)
    if not fit.all():
        whole = fit.all(axis=1)
        cells, places = cells[whole], places[whole]
    return cells.reshape(-1, height, width + 1)[:, :, :width], places


def encode(row: Row) -> bytes:
    """The line of a row, line break included."""
    texts = [None if grid is None else grid_text(grid) for grid in row.answers]
    kept = [_SAME if index and text == texts[index - 1] else text for index, text in enumerate(texts)]
    head = json.dumps([row.puzzle, int(row.view), row.transform, int(row.restart), kept], separators=(",", ":"))[:-1]
    # Nine significant digits round-trip a float32 and are half as long as its float64 spelling.
    halts = ",".join(f"{halt:.9g}" if math.isfinite(halt) else json.dumps(halt) for halt in row.halts)
    body = f"{head},[{halts}],{row.steps},{row.length}".encode("ascii")
    return body + f',"{zlib.crc32(body):08x}"]\n'.encode("ascii")


def decode(line: bytes) -> Entry:
    """The entry of a whole line; ``ValueError`` if it is damaged."""
    body, tail = line[: -_TAIL - 1], line[-_TAIL - 1 :]
    if tail != f',"{zlib.crc32(body):08x}"]\n'.encode("ascii"):
        raise ValueError("its checksum does not match")
    puzzle, view, transform, restart, kept, halts, steps, length = _parse(body)
    if len(kept) > 1:
        for index, text in enumerate(kept):
            if text == _SAME:
                kept[index] = kept[index - 1]
    shape = f"{len(halts)}f"
    rounded = struct.unpack(shape, struct.pack(shape, *halts))
    # A right checksum shows that nothing happened to a line, not that this program wrote it.
    if not (_STRINGS.issuperset(map(type, (puzzle, transform))) and _NUMBERS.issuperset(map(type, (view, restart)))):
        raise ValueError("it is not in the journal's form")
    if not (_ANSWERS.issuperset(map(type, kept)) and type(length) is int and 1 <= len(kept) <= steps == len(halts)):
        raise ValueError("its answers do not fit its steps")
    return Entry(puzzle, view, transform, restart, tuple(kept), rounded, steps, length)


def scan(path: Path, only: Iterable[str] | None = None) -> Iterator[Entry]:
    """The entries of a finished journal, in order, or those of the puzzles ``only``; the others' lines are not read.

    ``BadInput`` names the line that is cut or damaged.
    """
    begins = tuple(f"[{json.dumps(puzzle)},".encode("ascii") for puzzle in only or ())
    return (
        _checked(path, number, line) for number, line in _whole_lines(path) if only is None or line.startswith(begins)
    )


def blocks(path: Path) -> Iterator[Block]:
    """What :func:`scan` gives, some hundred rows at once and in less time."""
    with _opened(path) as file:
        for number, found, whole in line_blocks(file, path, _BLOCK):
            if not whole:
                raise _cut(path, number)
            # Whatever is unusual about one of them is told, or understood, line by line.
            yield _block(found) or _block_of(
                [_checked(path, at, line + b"\n") for at, line in enumerate(found, number)]
            )


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    for number, line in _lines(path):
        if not line.endswith(b"\n"):
            raise _cut(path, number)
        yield number, line


def _cut(path: Path, number: int) -> BadInput:
    return BadInput(f"{path} ends in the middle of a row (line {number}): `eval --resume` makes it whole")


def read(path: Path) -> Iterator[Row]:
    """As :func:`scan`, with grids."""
    return (entry.row() for entry in scan(path))


class Recovery(NamedTuple):
    """What :func:`recover` found: whole ``rows``, and the bytes of a torn last line that it ``dropped``."""

    rows: int
    dropped: int


def recover(path: Path) -> Recovery:
    """Make an interrupted journal whole: cut a torn last line off; ``BadInput`` if any other line is damaged."""
    rows, size = 0, 0
    for number, line in _lines(path):
        if not line.endswith(b"\n"):
            os.truncate(path, size)
            return Recovery(rows, len(line))
        _checked(path, number, line)
        rows, size = rows + 1, size + len(line)
    return Recovery(rows, 0)


class Grown:
    """An open file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise BadInput(f"{self.path} cannot be written: {error.strerror}") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Add ``data``; it is on the disk when this returns."""
        if not self._file:
            raise ValueError(f"{self.path.name} is not open")
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


class Journal(Grown):
    """An open journal. ``append`` returns when the rows are on the disk."""

    def append(self, rows: Sequence[Row]) -> None:
        """Add ``rows`` with one write and one fsync."""
        self.write(b"".join(map(encode, rows)))


def put_in_order(path: Path, keys: Iterable[tuple[str, int, int]]) -> None:
    """Bring a whole journal's lines into the order of ``keys`` (puzzle, view, restart), where they stand otherwise."""
    found = {(entry.puzzle, entry.view, entry.restart): line for entry, line in _with_lines(path)}
    wanted = b"".join(found[key] for key in keys)
    if wanted != path.read_bytes():
        write_bytes(path, wanted)


def _with_lines(path: Path) -> Iterator[tuple[Entry, bytes]]:
    return ((_checked(path, number, line), line) for number, line in _whole_lines(path))


def _parse(body: bytes) -> list[Any]:
    """The values of a line, of which ``body`` lacks checksum and end. ``ValueError`` if it is damaged."""
    if body.isascii():
        try:
            return from_json(body + b"]", cache_strings="none")
        except ValueError:
            pass
    # Halves of characters, in the names of somebody's puzzles, are read by Python's own parser alone.
    return _PARSE(f"{body.decode('ascii')}]")[0]


def _block(lines: Sequence[bytes]) -> Block | None:
    """The rows of lines without their breaks, checked as :func:`decode` checks them; ``None`` if one is unusual."""
    bodies = [line[:-_TAIL] for line in lines]
    tails = [b',"%08x"]' % found for found in map(zlib.crc32, bodies)]
    if any(map(ne, tails, (line[-_TAIL:] for line in lines))):
        return None
    try:
        rows = [_parse(body) for body in bodies]
        puzzles, views, transforms, restarts, answers, halts, steps, lengths = zip(*rows, strict=True)
        columns = (
            (_STRINGS, puzzles, transforms),
            (_NUMBERS, views, restarts, steps, lengths),
            (_LISTS, answers, halts),
        )
        if not all(kind.issuperset(map(type, column)) for kind, *rest in columns for column in rest):
            return None
        kept, logits = np.fromiter(map(len, answers), np.int64), np.fromiter(map(len, halts), np.int64)
        wide = np.fromiter(chain.from_iterable(halts), np.float64, int(logits.sum()))
        counts, sizes = np.array(steps, np.int64), np.array(lengths, np.int64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    usual = _ANSWERS.issuperset(map(type, chain.from_iterable(answers)))
    usual = usual and bool(((kept >= 1) & (kept <= counts) & (counts == logits)).all())
    fits = np.abs(wide[np.isfinite(wide)]).max(initial=0) <= np.finfo(np.float32).max
    if not usual or not fits or any(texts[0] == _SAME for texts in answers):
        return None
    return Block(puzzles, views, restarts, answers, wide.astype(np.float32), counts, sizes)


def _block_of(entries: Sequence[Entry]) -> Block:
    """The same of rows that were read one by one."""
    return Block(
        puzzles=tuple(entry.puzzle for entry in entries),
        views=tuple(entry.view for entry in entries),
        restarts=tuple(entry.restart for entry in entries),
        answers=tuple(list(entry.answers) for entry in entries),
        halts=np.fromiter(chain.from_iterable(entry.halts for entry in entries), np.float32),
        steps=np.array([entry.steps for entry in entries], np.int64),
        lengths=np.array([entry.length for entry in entries], np.int64),
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered raw lines; ``BadInput`` if the file is not there or damaged."""
    with _opened(path) as file:
        yield from lines(file, path)


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    """The journal, compressed where the run was filed; ``BadInput`` if the file is not there or damaged."""
    return open_either(path, path.with_name(ARCHIVED_JOURNAL_FILE))


def _checked(path: Path, number: int, line: bytes) -> Entry:
    """The entry of a line, or ``BadInput`` that names it."""
    try:
        return decode(line)
    except (ValueError, TypeError, OverflowError, RecursionError, struct.error) as error:
        raise BadInput(f"{path} is damaged at line {number}: {error}") from None
