"""What tasks of square grids have in common: splits, one token a cell, the whole answer as label, puzzle files.

:class:`GridTask` is most of the contract :class:`trm_harness.contracts.Task` for a puzzle whose question and answer are
grids of one size (Sudoku, mazes). A task of another form needs none of it.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.fingerprint import dataset_sha256
from trm_harness.specs import TaskSpec
from trm_harness.types import IDENTITY, DataSource, Encoded, Grid, Puzzle, Tokens
from trm_harness.untrusted import TABLE_LIMIT, csv_rows, read_text


class GridTask:
    """Square grids of ``spec.options["size"]`` cells a side.

    A task of this kind adds ``load``, ``transforms``, ``transform``, ``invert``, ``measures`` and ``training_source``.
    Symbol s is token ``s + first_token``. Token 0 is padding, so a task whose grids hold a 0 sets ``first_token = 1``.
    """

    first_token = 0

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.size = int(spec.options["size"])
        self._splits: dict[str, Sequence[Puzzle]] = {}

    def load(self, split: str) -> Sequence[Puzzle]:
        """The puzzles of ``split``, answers included, in a fixed order; asked for once."""
        raise NotImplementedError

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        """All puzzles of ``split`` in a fixed order, answers included; ``BadInput`` for a split that is not there."""
        if split not in self.spec.splits:
            raise BadInput(f"{self.spec.id} has no split {split!r}: use one of {', '.join(self.spec.splits)}")
        if split not in self._splits:
            self._splits[split] = self.load(split)
        return self._splits[split]

    def source(self, split: str) -> DataSource:
        """Where ``split`` is from; ``sha256`` covers every id, question and answer, in order."""
        return self.described(split, dataset_sha256(self.puzzles(split)), f"{split}.csv")

    def described(self, split: str, content: str, notes: str) -> DataSource:
        """The source of ``split`` under the task's own name and version, with ``content`` as its sha256."""
        count = len(self.puzzles(split))
        return DataSource(self.spec.id, str(self.spec.version), content, count, count, notes)

    def encode(self, puzzle: Puzzle, transform: str = IDENTITY, options: Mapping[str, Any] | None = None) -> Encoded:
        """Cells row by row, one token each; all puzzles share the identity ``""``. Takes no options."""
        return Encoded(self.tokens(puzzle.input), layout=(self.size, self.size))

    def labels(self, puzzle: Puzzle, encoded: Encoded) -> Tokens:
        """The whole answer, given cells included: the reference takes the loss on every cell."""
        if puzzle.answer is None:
            raise BadInput(f"{puzzle.id} has no answer to train on: use a split with answers")
        return self.tokens(puzzle.answer)

    def decode(self, tokens: Tokens, encoded: Encoded) -> Grid:
        """``tokens`` as a grid, 0 where one is padding; ``(0, 0)`` if all of them are."""
        if not tokens.any():
            return np.zeros((0, 0), np.uint8)
        return np.clip(tokens - self.first_token, 0, 255).astype(np.uint8).reshape(self.size, self.size)

    def tokens(self, grid: Grid) -> Tokens:
        """``int32 [size * size]`` of a grid; ``BadInput`` for one of another shape."""
        if grid.shape != (self.size, self.size):
            raise BadInput(f"{self.spec.id} takes {self.size}x{self.size} grids, this one has the shape {grid.shape}")
        return grid.ravel().astype(np.int32) + np.int32(self.first_token)


def through(puzzle: Puzzle, see: Callable[[Grid], Grid]) -> Puzzle:
    """``puzzle`` with its question and, where there is one, its answer as ``see`` shows them."""
    answer = None if puzzle.answer is None else see(puzzle.answer)
    return Puzzle(puzzle.id, puzzle.group, see(puzzle.input), answer, facts=puzzle.facts)


def view_random(puzzle: Puzzle, seed: int) -> np.random.Generator:
    """The numbers that choose a puzzle's views: they follow from ``seed`` and the puzzle's group alone."""
    digest = sha256(f"{seed}|{puzzle.group}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def answer_of(puzzle: Puzzle) -> Grid:
    """The answer to measure by; ``BadInput`` where there is none."""
    if puzzle.answer is None:
        raise BadInput(f"{puzzle.id} has no answer to measure by: use a split with answers")
    return puzzle.answer


def data_folder(data: Path) -> Path:
    """``data`` as given with ``--data``; ``BadInput`` if it is no folder."""
    if not data.is_dir():
        raise BadInput(f"{data} is not a folder: --data takes the folder that holds test.csv (and train.csv, ...)")
    return data


def read_table(path: Path, header: Sequence[str], what: str = "puzzles") -> list[list[str]]:
    """The rows below the header line of an ASCII CSV file; ``BadInput`` for another header, or for no rows.

    Rows come as they are: how many columns each has is for the caller to check. ``what`` names them in messages.
    """
    columns = ",".join(header)
    rows = csv_rows(read_text(path, TABLE_LIMIT, f"a CSV file with {columns}", "ascii"), str(path))
    if not rows or rows[0] != list(header):
        raise BadInput(f"{path} does not start with the line {columns}: add it or give another file")
    if len(rows) == 1:
        raise BadInput(f"{path} holds no {what}: give a file with at least one line below the header")
    return rows[1:]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write ``header`` and ``rows`` as an ASCII CSV file, whole or not at all; lines end with LF."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(out.getvalue(), encoding="ascii")
    os.replace(temporary, path)
