"""What tasks of square grids have in common: splits, one token a cell, the whole answer as label, puzzle files.

:class:`GridTask` is most of the contract :class:`trm_harness.contracts.Task` for a puzzle whose question and answer are
grids of one size (Sudoku, mazes). A task of another form needs none of it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput, NoSplit
from trm_harness.files.read import TABLE_LIMIT, numbered_csv, read_text
from trm_harness.files.write import write_text
from trm_harness.fingerprint import dataset_sha256
from trm_harness.specs import TaskSpec
from trm_harness.types import IDENTITY, DataSource, Encoded, Grid, Puzzle, Tokens


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
        self._contents: dict[str, str] = {}

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
        return self.described(split, self.content(split), f"{split}.csv")

    def content(self, split: str) -> str:
        """:meth:`digest` of ``split``, computed once."""
        if split not in self._contents:
            self._contents[split] = self.digest(split)
        return self._contents[split]

    def digest(self, split: str) -> str:
        """Hash of every id, question and answer of ``split``, in order."""
        return dataset_sha256(self.puzzles(split))

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


class DrawnTraining(GridTask):
    """A task whose training puzzles are drawn as they are looked at; its other splits are bundled.

    Stands before the kind of task that it is: ``class Generated(DrawnTraining, MyTask)``.
    """

    head = 64
    """Training puzzles whose content stands for the rest."""

    called = "puzzles"
    """What a split's notes call them."""

    folder: Path
    """Where the bundled splits lie."""

    def source(self, split: str) -> DataSource:
        """Where ``split`` is from; the endless training split is known by its recipe and first puzzles."""
        notes = "generated and bundled"
        if split == "train":
            notes = f"generated on demand; sha256 covers the recipe and the first {self.head} {self.called}"
        return self.described(split, self.content(split), notes)

    def digest(self, split: str) -> str:
        """Hash of every id, question and answer; of the training split that of its recipe and first puzzles."""
        if split != "train":
            return super().digest(split)
        head = dataset_sha256(self.puzzles(split)[: self.head])
        return sha256(f"{self.spec.id}|{self.spec.version}|{dict(self.spec.options)}|{head}".encode()).hexdigest()

    def fingerprints_file(self, split: str) -> Path:
        """Where the fingerprints of ``split`` would be bundled."""
        return self.folder / f"{split}.fingerprints.npz"

    def fingerprints(self, split: str) -> Path | None:
        """The file of the fingerprints of ``split``, ``None`` if they are not bundled."""
        path = self.fingerprints_file(split)
        return path if path.is_file() else None


class Boards(list[Puzzle]):
    """Puzzles of one size with known answers, each alone in its group, that can be had as arrays too.

    Keeps the contract :class:`trm_harness.contracts.Columnar`: their answers are scored by columns.
    """

    @cached_property
    def facts(self) -> Mapping[str, NDArray[Any]]:
        """The facts of all puzzles, one array each; every puzzle has the same."""
        return {name: np.array([puzzle.facts[name] for puzzle in self]) for name in (self[0].facts if self else ())}

    def names(self, places: Sequence[int]) -> list[str]:
        """Ids of the puzzles at ``places``."""
        return [self[place].id for place in places]

    def grids(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Questions and answers, ``uint8 [places, size, size]`` each."""
        questions, answers = self._stacked
        return questions[places], answers[places]

    @cached_property
    def _stacked(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return np.stack([puzzle.input for puzzle in self]), np.stack([answer_of(puzzle) for puzzle in self])


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
    """``data`` as given with ``--data``; ``BadInput`` if it is neither a folder nor a file of one split."""
    if not data.exists():
        raise BadInput(f"{data} is not a folder: --data takes the folder that holds test.csv (and train.csv, ...)")
    return data


def split_file(data: Path, split: str, splits: Sequence[str], endings: Sequence[str] = (".csv",)) -> Path:
    """The file of ``split`` in the folder ``data``, or ``data`` itself where that is a file of this split.

    A file whose name is none of ``splits`` holds the split test. ``NoSplit`` says which splits there are, ``BadInput``
    which two files claim one.
    """
    if data.is_file():
        own = data.stem if data.stem in splits else "test"
        if own != split:
            raise NoSplit(f"{data} holds the split {own}, not {split}: give a folder with {split}{endings[0]}")
        return data
    found = [path for ending in endings if (path := data / f"{split}{ending}").is_file()]
    if len(found) > 1:
        raise BadInput(f"{data} holds {found[0].name} and {found[1].name}, both for the split {split}: remove one")
    if not found:
        there = [name for name in splits if any((data / f"{name}{ending}").is_file() for ending in endings)]
        only = f"only {' and '.join(there)}: add it, or choose another --split" if there else "nor any other: add it"
        raise NoSplit(f"{data} has no {split}{endings[0]} for the split {split}, {only}")
    return found[0]


class TableRow(NamedTuple):
    """A row of a table: the number of the line it ends on, and its cells in the order that was asked for."""

    line: int
    cells: list[str]


def read_table(path: Path, header: Sequence[str], what: str = "puzzles") -> list[list[str]]:
    """The cells of :func:`table_rows`, all columns asked for."""
    return [row.cells for row in table_rows(path, header, what)]


def table_rows(
    path: Path,
    header: Sequence[str],
    what: str = "puzzles",
    optional: Sequence[str] = (),
    also: Mapping[str, str] = MappingProxyType({}),
) -> list[TableRow]:
    """The rows of a CSV file whose first line names its columns, each with its cells in the order of ``header``.

    A UTF-8 mark, line ends of Windows, quotes, empty lines, other columns and another order of them change nothing.
    A column of ``optional`` that the file lacks gives empty cells; ``also`` are other names that a column may have.
    ``BadInput`` names the column that is missing, or the line that has another number of cells; ``what`` names the rows
    where there are none.
    """
    columns = ",".join(header)
    rows = numbered_csv(read_text(path, TABLE_LIMIT, f"a CSV file with {columns}"), str(path))
    written = [name.strip().lower() for name in rows[0][1]] if rows else []
    names = [name if name in header else also.get(name, name) for name in written]
    lost = [name for name in header if name not in names and name not in optional]
    if lost or len(set(names)) != len(names):
        found = f"its columns are {','.join(written)[:200]}" if names else "it is empty"
        raise BadInput(
            f"{path} does not start with the line {columns} (in any order; {found}): add it or give another file"
        )
    if len(rows) == 1:
        raise BadInput(f"{path} holds no {what}: give a file with at least one line below the header")
    places = [names.index(name) if name in names else -1 for name in header]
    found = []
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            wanted = f"expected {','.join(written)}, found {len(cells)} columns"
            raise BadInput(f"{path}, line {line}: {wanted}; correct or remove that line")
        found.append(TableRow(line, [cells[index] if index >= 0 else "" for index in places]))
    return found


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write ``header`` and ``rows`` as an ASCII CSV file, whole or not at all; lines end with LF."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    write_text(path, out.getvalue())
