"""The Sudoku task: splits, the reference's encoding, symmetries as transforms, and what a right answer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.fingerprint import dataset_sha256
from trm_harness.gridtask import GridTask, answer_of, data_folder, through, view_random
from trm_harness.lazy import Lazy
from trm_harness.solvers.sudoku import is_solution
from trm_harness.specs import TaskSpec
from trm_harness.types import IDENTITY, DataSource, Grid, Puzzle
from trm_task_sudoku import files, symmetry
from trm_task_sudoku.generate import Recipe, draw
from trm_task_sudoku.table import solved
from trm_task_sudoku.training import SudokuTraining

BUNDLED = Path(__file__).parent / "data"
"""``<task id>/<split>.csv``: the fixed validation and test sets, written by ``python -m trm_task_sudoku.bundle``."""


def generated(spec: TaskSpec, data: Path | None = None) -> SudokuTask:
    """The target of ``sudoku-4x4``, ``sudoku-6x6``, ``sudoku-9x9`` and ``sudoku-9x9-easy``.

    With ``data`` the splits come from ``data/<split>.csv`` instead (columns ``source,question,answer,rating``).
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
    """Sudokus from ``<folder>/<split>.csv``. Keeps the contract :class:`trm_harness.contracts.Task`."""

    first_token = 1
    """Digit d is token ``d + 1``: 0 is padding and 1 the blank, as in the reference."""

    def __init__(self, spec: TaskSpec, folder: Path) -> None:
        super().__init__(spec)
        self.folder = folder

    def load(self, split: str) -> Sequence[Puzzle]:
        """The puzzles of the split's file."""
        return files.read(self.folder / f"{split}.csv", split, self.size)

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
        """Endless training batches. ``options``: ``puzzles`` (only the first so many), ``augment`` (default yes)."""
        check_options(self.spec.id, options, ("augment", "puzzles"))
        puzzles = self.puzzles("train")
        count = int(options.get("puzzles", len(puzzles)))
        if not 1 <= count <= len(puzzles):
            raise BadInput(f"{self.spec.id} cannot train on {count} puzzles: use 1 to {len(puzzles)}")
        pool = puzzles if count == len(puzzles) else puzzles[:count]
        return SudokuTraining(self.spec, pool, self.source("train"), seed, bool(options.get("augment", True)))


class GeneratedSudoku(SudokuTask):
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
        drawn = draw(self.recipe, "train", seed, index)
        return files.puzzle(
            "train" if seed == 0 else f"train-{seed}", index, drawn.question, drawn.answer, drawn.rating
        )

    def source(self, split: str) -> DataSource:
        """As for files; the endless training split is known by its recipe and first 64 puzzles."""
        if split != "train":
            return self.described(split, dataset_sha256(self.puzzles(split)), "generated and bundled")
        head = dataset_sha256(self.puzzles(split)[:64])
        content = sha256(f"{self.spec.id}|{self.spec.version}|{dict(self.spec.options)}|{head}".encode()).hexdigest()
        return self.described(split, content, "generated on demand; sha256 covers the recipe and the first 64 puzzles")

    def load(self, split: str) -> Sequence[Puzzle]:
        """Bundled puzzles, or training puzzles made as they are looked at."""
        if split == "train":
            return Lazy(self.recipe.counts[split], lambda index: self.sample(0, index))
        return super().load(split)
