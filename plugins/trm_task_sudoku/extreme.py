"""Sudoku-Extreme: the published test file whole, and the 1,000 training puzzles by a draw that anybody can repeat.

The reference draws its 1,000 from numpy's global stream without seeding it, so that every "1K" is another. Here the
stream is seeded: the reference's builder gives these very puzzles, in this order, after ``np.random.seed(42)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.files import hub
from trm_harness.fingerprint import file_sha256
from trm_harness.gridtask import data_folder, split_file
from trm_harness.specs import TaskSpec
from trm_harness.types import DataSource
from trm_task_sudoku.forms import ENDINGS
from trm_task_sudoku.table import Listed, Table
from trm_task_sudoku.task import SudokuTask, check_options
from trm_task_sudoku.training import OPTIONS, SudokuTraining

FILES = ("train.csv", "test.csv")


def extreme(spec: TaskSpec, data: Path | None = None) -> ExtremeSudoku:
    """The target of ``sudoku-extreme``: the two files from the hub, or the same by hand from the folder ``data``."""
    return ExtremeSudoku(spec, data if data is None else data_folder(data))


@dataclass(frozen=True)
class File:
    """A file at hand: ``origin`` and ``version`` say whose it is, ``sha256`` covers its bytes."""

    path: Path
    origin: str
    version: str
    sha256: str


class ExtremeSudoku(SudokuTask):
    """Keeps the contract :class:`trm_harness.contracts.Task`.

    ``train`` holds ``subsample`` puzzles of the training file, drawn by ``seed``. ``validation`` holds others of that
    file, the last of the same permutation: no draw, by whatever seed, has any of them. ``test`` is the whole test file.
    """

    def __init__(self, spec: TaskSpec, folder: Path | None) -> None:
        super().__init__(spec, folder or Path())
        self._by_hand = folder is not None
        self._files: dict[str, File] = {}

    def pull(self) -> list[Path]:
        """Fetch what the task needs; where it lies now. Files of a folder are only looked up."""
        return [self._file(name).path for name in FILES]

    def source(self, split: str) -> DataSource:
        """Whose file ``split`` is from, its commit, and which of its puzzles were drawn and how.

        ``sha256`` covers the questions and answers in order (81 bytes each, digits 0-9).
        """
        puzzles = self.puzzles(split)
        return self._source(split, puzzles, "" if split == "test" else self._drawn_for(split)[1])

    def training_source(self, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> SudokuTraining:
        """Endless training batches. ``options``: ``subsample`` (how many puzzles to draw, null for all),
        ``subsample_seed``, and :data:`trm_task_sudoku.training.OPTIONS` as for every Sudoku.
        """
        check_options(self.spec.id, options, (*OPTIONS, "subsample", "subsample_seed"))
        by = options.get("subsample_seed", self.spec.options["seed"])
        wanted = options["subsample"] if "subsample" in options else self._default_count()
        places, how = self._draw(wanted, by)
        count = int(options.get("puzzles", len(places)))
        if not 1 <= count <= len(places):
            raise BadInput(f"{self.spec.id} cannot train on {count} puzzles: use 1 to {len(places)}")
        if count < len(places):
            places, how = places[:count], f"the first {count:,} of {how}"
        pool = self._listed("train", places)
        source = self._source("train", pool, how)
        return SudokuTraining(self.spec, pool, source, seed, options, source.notes)

    @cached_property
    def _train(self) -> Table:
        return Table(self._file("train.csv").path)

    def load(self, split: str) -> Listed:
        """The test file whole, or the drawn and the held-out puzzles of the training file."""
        if split == "test":
            table = Table(self._file("test.csv").path)
            boards = table.read()
            published = self._file("test.csv").sha256 in self.spec.options["files"].values()
            self._remarks[split] = table.remarks(boards) if self._by_hand and not published else ()
            return Listed(split, boards, range(len(boards.ratings)))
        return self._listed(split, self._drawn_for(split)[0])

    def _listed(self, split: str, places: NDArray[np.int64]) -> Listed:
        """Puzzles of the training file, named by their places in it."""
        if not len(places):
            # None of a few puzzles are held out; a file that was cut short must show all the same.
            self._train.read(np.array([len(self._train) - 1]))
        return Listed(split, self._train.read(places), places)

    def _drawn_for(self, split: str) -> tuple[NDArray[np.int64], str]:
        seed = self.spec.options["seed"]
        if split == "train":
            return self._draw(self._default_count(), seed)
        return self._held_out, self._told(self._held_out, f"the last of numpy's RandomState({seed}).permutation")

    def _draw(self, count: int | None, seed: int) -> tuple[NDArray[np.int64], str]:
        """Places of ``count`` training puzzles (``None``: all there are) in the order drawn, and how that was done."""
        free = _permutation(seed, len(self._train))
        free = free[~np.isin(free, self._held_out)]
        count = len(free) if count is None else count
        if not 1 <= count <= len(free):
            raise BadInput(
                f"{self.spec.id} cannot draw {count} training puzzles: use 1 to {len(free)}, or null for all"
            )
        return free[:count], self._told(free[:count], f"the first of numpy's RandomState({seed}).permutation")

    @cached_property
    def _held_out(self) -> NDArray[np.int64]:
        """Places of the validation puzzles: never more than a tenth of the file."""
        rows = len(self._train)
        count = min(self.spec.options["validation_size"], rows // 10)
        return _permutation(self.spec.options["seed"], rows)[rows - count :]

    def _default_count(self) -> int:
        """The spec's ``subsample``, or what a smaller file has."""
        return min(self.spec.options["subsample"], len(self._train) - len(self._held_out))

    def _told(self, places: NDArray[np.int64], how: str) -> str:
        digest = sha256(places.astype("<i8").tobytes()).hexdigest()
        return (
            f"{len(places):,} of {len(self._train):,} puzzles, {how}; sha256 of their places (int64, in order) {digest}"
        )

    def _source(self, split: str, puzzles: Listed, how: str) -> DataSource:
        file = self._file("test.csv" if split == "test" else "train.csv")
        notes = f"{file.path.name} with sha256 {file.sha256}" + (f": {how}" if how else "")
        content = sha256(puzzles.boards.grids).hexdigest()
        remarks = self._remarks.get(split, ())
        return DataSource(file.origin, file.version, content, len(puzzles), len(puzzles), notes, remarks)

    def _file(self, name: str) -> File:
        """The file, fetched and checked on first use."""
        if name not in self._files:
            self._files[name] = self._by_hand_file(name) if self._by_hand else self._hub_file(name)
        return self._files[name]

    def _hub_file(self, name: str) -> File:
        repository, revision = (self.spec.options[key] for key in ("repository", "revision"))
        pinned = self.spec.options["files"].get(name)
        if pinned is not None:
            return File(hub.fetch_pinned(repository, name, revision, (pinned,)), repository, revision, pinned)
        found = hub.fetch_stated(repository, name, revision)
        return File(found.path, repository, found.commit, found.sha256)

    def _by_hand_file(self, name: str) -> File:
        path = split_file(self.folder, name.removesuffix(".csv"), ("train", "test"), ENDINGS)
        return File(path, self.spec.id, str(self.spec.version), file_sha256(path))


def _permutation(seed: int, count: int) -> NDArray[np.int64]:
    """The order in which the reference draws from ``count`` puzzles after ``np.random.seed(seed)``."""
    return np.random.RandomState(seed).permutation(count)
