"""The Sudoku task: splits, the reference's encoding, symmetries as transforms, and what a right answer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.files.paths import cache
from trm_harness.gridtask import (
    Boards,
    DrawnTraining,
    GridTask,
    answer_of,
    data_folder,
    split_file,
    through,
    view_random,
)
from trm_harness.lazy import Lazy
from trm_harness.solvers.sudoku import is_solution
from trm_harness.specs import TaskSpec
from trm_harness.types import IDENTITY, DataSource, Grid, Puzzle
from trm_task_sudoku import files, symmetry, unique
from trm_task_sudoku.forms import ENDINGS
from trm_task_sudoku.generate import Drawn, Recipe, draw
from trm_task_sudoku.pool import Pool
from trm_task_sudoku.table import Listed, Table, solved
from trm_task_sudoku.training import OPTIONS, SudokuTraining

BUNDLED = Path(__file__).parent / "data"
"""``<task id>/<split>.csv``: the fixed validation and test sets, and training of 4x4, which is as finite; written by
``python -m trm_task_sudoku.data.make``."""


def generated(spec: TaskSpec, data: Path | None = None) -> SudokuTask:
    """The target of ``sudoku-4x4``, ``sudoku-6x6``, ``sudoku-9x9`` and ``sudoku-9x9-easy``.

    With ``data`` the splits come from ``data/<split>.csv`` instead (columns ``source,question,answer,rating``), from
    lists of boards (``.txt``, ``.sdm``, ``.sdk``, ``.ss``), or from one such file.
    """
    if data is None:
        return GeneratedSudoku(spec)
    return SudokuTask(spec, data_folder(data))


def check_options(task: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """``BadInput`` for the first training option that ``task`` does not have."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise BadInput(f"{task} training: unknown option {unknown[0]!r}: known are {', '.join(sorted(known))}")


class SudokuTask(GridTask):
    """Sudokus from files of a folder, or from one file. Keeps the contract :class:`trm_harness.contracts.Task`."""

    first_token = 1
    """Digit d is token ``d + 1``: 0 is padding and 1 the blank, as in the reference."""

    def __init__(self, spec: TaskSpec, folder: Path) -> None:
        super().__init__(spec)
        self.folder = folder
        self._remarks: dict[str, tuple[str, ...]] = {}

    def load(self, split: str) -> Sequence[Puzzle]:
        """The puzzles of the split's file."""
        table = Table(split_file(self.folder, split, self.spec.splits, ENDINGS), self.size)
        boards = table.read()
        self._remarks[split] = table.remarks(boards)
        return Boards(Listed(split, boards, range(len(boards.ratings)), digits=6))

    def source(self, split: str) -> DataSource:
        """Which file ``split`` is from; ``sha256`` covers every id, question and answer, in order."""
        content = self.content(split)
        name = split_file(self.folder, split, self.spec.splits, ENDINGS).name
        return replace(self.described(split, content, name), remarks=self._remarks[split])

    def doubts(self, puzzles: Sequence[Puzzle]) -> list[str]:
        """Which of ``puzzles`` have several solutions, or none."""
        return unique.doubts([puzzle.input for puzzle in puzzles])

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        """``count`` different symmetries, the identity first, at most as many as the board has."""
        random = view_random(puzzle, seed)
        order = symmetry.order(self.size)
        chosen = {0: None}
        while len(chosen) < min(count, order):
            chosen[int(random.integers(order))] = None
        names = [symmetry.element(self.size, index).name if index else IDENTITY for index in chosen]
        return names[: max(count, 0)]

    def transform(self, puzzle: Puzzle, name: str) -> Puzzle:
        """Question and answer seen through the symmetry ``name`` (see :mod:`trm_task_sudoku.symmetry`)."""
        if name == IDENTITY:
            return puzzle
        return through(puzzle, symmetry.parse(name, self.size).apply)

    def invert(self, answer: Grid, name: str) -> Grid:
        """Undo ``name``; an answer of another shape has no symmetries and comes back as it is."""
        if name == IDENTITY or answer.shape != (self.size, self.size):
            return answer
        return symmetry.parse(name, self.size).undo(answer)

    def measures(self, puzzle: Puzzle, answer: Grid | None) -> dict[str, float]:
        """``exact``; ``valid``: a full grid that keeps the rules and the clues; ``cell`` and ``blank``: share of all
        cells and of the blanks that hold the right digit.

        ``valid`` equals ``exact`` wherever the solution is the only one, as in every generated puzzle.
        """
        label = answer_of(puzzle)
        if answer is None or answer.shape != label.shape:
            return {"exact": 0.0, "valid": 0.0, "cell": 0.0, "blank": 0.0}
        right, blank = answer == label, puzzle.input == 0
        valid = bool((answer == puzzle.input)[~blank].all()) and is_solution(answer)
        hits, blanks = np.count_nonzero(right), np.count_nonzero(blank)
        shares = {"cell": hits / right.size, "blank": np.count_nonzero(right & blank) / blanks if blanks else 1.0}
        return {"exact": float(hits == right.size), "valid": float(valid), **shares}

    def measures_of(
        self, questions: NDArray[np.uint8], answers: NDArray[np.uint8], given: NDArray[np.uint8]
    ) -> dict[str, NDArray[np.float64]]:
        """What :meth:`measures` says of each of ``count`` given answers; all grids are ``[count, n, n]``."""
        cells = self.size * self.size
        right = np.reshape(given == answers, (-1, cells))
        blank = np.reshape(questions == 0, (-1, cells))
        # Sums in the narrowest type that holds them, for 9x9 a byte, are the quickest.
        narrow = np.min_scalar_type(cells)
        hits, blanks, filled = (where.sum(axis=1, dtype=narrow) for where in (right, blank, right & blank))
        exact = hits == cells
        # The answers of a file were checked when it was read.
        valid = exact.copy()
        valid[~exact] = solved(np.stack([questions[~exact], given[~exact]], axis=1))
        shares = {"cell": hits / cells, "blank": np.where(blanks, filled / np.maximum(blanks, 1), 1.0)}
        return {"exact": exact.astype(np.float64), "valid": valid.astype(np.float64), **shares}

    def training_source(self, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> SudokuTraining:
        """Endless training batches. ``options``: see :data:`trm_task_sudoku.training.OPTIONS`.

        ``subsample``, which recipes for Sudoku-Extreme have, says what ``puzzles`` says: the first are as good as any.
        """
        check_options(self.spec.id, options, (*OPTIONS, "subsample"))
        puzzles = self.puzzles("train")
        count = int(options.get("puzzles", options.get("subsample", len(puzzles))))
        if not 1 <= count <= len(puzzles):
            raise BadInput(f"{self.spec.id} cannot train on {count} puzzles: use 1 to {len(puzzles)}")
        pool = puzzles if count == len(puzzles) else puzzles[:count]
        source = self.source("train")
        return SudokuTraining(self.spec, pool, source, seed, options, "; ".join(source.remarks))


class GeneratedSudoku(DrawnTraining, SudokuTask):
    """Generated boards: bundled validation and test sets, and training puzzles without end."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, BUNDLED / spec.id)

    @cached_property
    def recipe(self) -> Recipe:
        """How its puzzles are made."""
        return Recipe.of(self.spec.options)

    def sample(self, seed: int, index: int) -> Puzzle:
        """Training puzzle ``index`` of the stream ``seed``: any two numbers from 0 on, the same in every process.

        Never a puzzle of validation or test under any symmetry. ``puzzles("train")[i]`` is ``sample(0, i)``.
        """
        if seed < 0 or index < 0:
            raise BadInput(f"there is no training puzzle {index} of stream {seed}: use whole numbers from 0 on")
        return _named("train" if seed == 0 else f"train-{seed}", index, draw(self.recipe, "train", seed, index))

    @cached_property
    def _head(self) -> list[Puzzle]:
        """The training puzzles whose content stands for the rest."""
        return [self.sample(0, index) for index in range(min(self.head, self.recipe.counts["train"]))]

    @cached_property
    def _pool(self) -> Pool:
        """The training puzzles that this machine has drawn, whoever trained."""
        file = cache() / "drawn" / f"{self.spec.id}-{self.content('train')[:16]}.npz"
        return Pool(file, self.size, self.recipe.counts["train"], lambda index: draw(self.recipe, "train", 0, index))

    def _drawn(self, index: int) -> Puzzle:
        return self._head[index] if index < self.head else _named("train", index, self._pool[index])

    def load(self, split: str) -> Sequence[Puzzle]:
        """Bundled puzzles, or training puzzles made as they are looked at."""
        if split == "train" and not self.recipe.listed:
            return Lazy(self.recipe.counts[split], self._drawn)
        return files.read(self.folder / f"{split}.csv", split, self.size)


def _named(prefix: str, index: int, drawn: Drawn) -> Puzzle:
    return files.puzzle(prefix, index, drawn.question, drawn.answer, drawn.rating)
