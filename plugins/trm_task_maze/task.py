"""The maze task: splits, the reference's encoding, eight views, and what a right answer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.augment import dihedral, inverse_dihedral
from trm_harness.errors import BadInput
from trm_harness.files import hub
from trm_harness.fingerprint import dataset_sha256, file_sha256
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
from trm_harness.solvers.maze import PATH, distance, is_path, may_be_paths, solve
from trm_harness.specs import TaskSpec
from trm_harness.types import IDENTITY, DataSource, Grid, Puzzle
from trm_task_maze import bundle, files
from trm_task_maze.generate import Recipe, draw
from trm_task_maze.splits import wall_hash
from trm_task_maze.training import MazeTraining, checked_options

VIEWS = {IDENTITY: 0, **{f"t{view}": view for view in range(1, 8)}}
"""Transform names: ``t<k>`` is dihedral map k of :mod:`trm_harness.augment`."""


def hard(spec: TaskSpec, data: Path | None = None) -> MazeTask:
    """The target of ``maze-hard``: the hub's two files, or ``train.csv`` and ``test.csv`` of the folder ``data``."""
    return HardMaze(spec, data if data is None else data_folder(data))


def generated(spec: TaskSpec, data: Path | None = None) -> MazeTask:
    """The target of ``maze-8x8`` and its larger kin; with ``data`` splits come from ``data/<split>.csv`` instead."""
    return GeneratedMaze(spec) if data is None else FileMaze(spec, data_folder(data))


class MazeTask(GridTask):
    """Square mazes; where they come from is up to its kinds. Keeps the contract :class:`trm_harness.contracts.Task`.

    Symbols are their own tokens.
    """

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        """``count`` different views, the identity first, at most 8."""
        others = view_random(puzzle, seed).permutation(np.arange(1, len(VIEWS)))
        return [IDENTITY, *(f"t{view}" for view in others)][: max(count, 0)]

    def transform(self, puzzle: Puzzle, name: str) -> Puzzle:
        """Question and answer turned or reflected; the answer stays *a* shortest path, seldom the labelled one."""
        if name == IDENTITY:
            return puzzle
        view = _view(name)
        return through(puzzle, lambda grid: dihedral(grid, view))

    def invert(self, answer: Grid, name: str) -> Grid:
        """Undo ``name`` on a 2-D answer of any shape."""
        return inverse_dihedral(answer, _view(name))

    def measures(self, puzzle: Puzzle, answer: Grid | None) -> dict[str, float]:
        """``exact``: the label; ``any_optimal``: any shortest path; ``valid``: a path from start to goal of any length,
        walls and all else unchanged; ``cell_accuracy``: share of cells equal to the label.
        """
        label = answer_of(puzzle)
        if answer is None or answer.shape != label.shape:
            return {"exact": 0.0, "any_optimal": 0.0, "valid": 0.0, "cell_accuracy": 0.0}
        equal, valid = answer == label, is_path(puzzle.input, answer)
        shortest = valid and int((answer == PATH).sum()) + 1 == distance(puzzle.input)
        return {
            "exact": float(equal.all()),
            "any_optimal": float(shortest),
            "valid": float(valid),
            "cell_accuracy": float(equal.mean()),
        }

    def measures_of(
        self, questions: NDArray[np.uint8], answers: NDArray[np.uint8], given: NDArray[np.uint8]
    ) -> dict[str, NDArray[np.float64]]:
        """What :meth:`measures` says of each of ``count`` given answers; all grids are ``[count, n, n]``."""
        equal = given == answers
        exact = equal.all(axis=(1, 2))
        # Labels were checked when they were read: each marks a shortest path.
        valid, shortest = exact.copy(), exact.copy()
        for row in np.flatnonzero(~exact & may_be_paths(questions, given)).tolist():
            valid[row] = is_path(questions[row], given[row])
            shortest[row] = valid[row] and (given[row] == PATH).sum() == (answers[row] == PATH).sum()
        found = {"exact": exact, "any_optimal": shortest, "valid": valid, "cell_accuracy": equal.mean(axis=(1, 2))}
        return {name: values.astype(np.float64) for name, values in found.items()}

    def training_source(self, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> MazeTraining:
        """Endless training batches; ``options`` as in :data:`trm_task_maze.training.DEFAULTS`."""
        chosen = checked_options(self.spec.id, options)
        hold_out = bool(chosen["hold_out"])
        pool, notes = self._pool(hold_out)
        count = len(pool) if chosen["puzzles"] is None else int(chosen["puzzles"])
        if not 1 <= count <= len(pool):
            raise BadInput(f"{self.spec.id} cannot train on {count} mazes: use 1 to {len(pool)}")
        used = pool if count == len(pool) else pool[:count]
        held_out = self._held_out(hold_out)
        return MazeTraining(used, self.source("train"), seed, chosen["augment"], notes, held_out, chosen["directions"])

    def _held_out(self, hold_out: bool) -> Callable[[], Sequence[Puzzle]] | None:
        """Mazes to validate on, made when asked for; ``None`` where training draws from them."""
        return lambda: self.puzzles("validation")

    def _pool(self, hold_out: bool) -> tuple[Sequence[Puzzle], str]:
        """Mazes to train on and what to say of them; validation is apart from train unless a kind says otherwise."""
        return self.puzzles("train"), ""


class FileMaze(MazeTask):
    """Mazes from ``<folder>/<split>.csv``."""

    def __init__(self, spec: TaskSpec, folder: Path) -> None:
        super().__init__(spec)
        self.folder = folder

    def load(self, split: str) -> Sequence[Puzzle]:
        """The mazes of the split's file."""
        return files.read(split_file(self.folder, split, self.spec.splits), split, self.size)


class GeneratedMaze(DrawnTraining, MazeTask):
    """Generated mazes: bundled validation and test sets, and training mazes without end."""

    called = "mazes"

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.folder = bundle.FOLDER / spec.id

    @cached_property
    def recipe(self) -> Recipe:
        """How its mazes are made."""
        return Recipe.of(self.spec.options)

    def sample(self, seed: int, index: int) -> Puzzle:
        """Training maze ``index`` of the stream ``seed``: any two numbers from 0 on, the same in every process.

        Never a maze of validation or test under any turn or reflection. ``puzzles("train")[i]`` is ``sample(0, i)``.
        """
        if seed < 0 or index < 0:
            raise BadInput(f"there is no training maze {index} of stream {seed}: use whole numbers from 0 on")
        return _solved("train" if seed == 0 else f"train-{seed}", index, draw(self.recipe, "train", seed, index))

    def load(self, split: str) -> Sequence[Puzzle]:
        """Bundled mazes, solved, or training mazes made as they are looked at."""
        if split == "train":
            return Lazy(self.recipe.counts[split], lambda index: self.sample(0, index))
        questions = bundle.load(bundle.path_of(self.spec.id, split), self.size)
        return Boards(_solved(split, index, question) for index, question in enumerate(questions))


class HardMaze(MazeTask):
    """Maze-Hard: two files of the hub, checked by their sha256, or the same by hand from a folder.

    Its validation split is the tenth of the training mazes whose walls hash lowest: the same for everybody.
    """

    def __init__(self, spec: TaskSpec, folder: Path | None = None) -> None:
        super().__init__(spec)
        self.folder = folder

    def pull(self) -> list[Path]:
        """Fetch what the task needs; where it lies now. Files of a folder are only looked up."""
        return [self._file(name) for name in self.spec.options["files"]]

    def source(self, split: str) -> DataSource:
        """Where ``split`` is from, and whether its file is the published one to the byte."""
        puzzles, name = self.puzzles(split), _file_of(split)
        content = file_sha256(self._file(name))
        published = content in self.spec.options["files"][name]
        notes = f"{name}, {'the published file' if published else 'not the published file'}, sha256 {content}"
        if split == "validation":
            notes += f"; {len(puzzles)} of its {len(self.puzzles('train'))} mazes"
        options = self.spec.options
        origin = (options["repository"], options["revision"]) if published else (self.spec.id, str(self.spec.version))
        return DataSource(*origin, dataset_sha256(puzzles), len(puzzles), len(puzzles), notes)

    def load(self, split: str) -> Sequence[Puzzle]:
        """The mazes of the split's file, or the tenth of training that is validation."""
        if split != "validation":
            return files.read(self._file(_file_of(split)), split, self.size)
        train = self.puzzles("train")
        chosen = sorted(train, key=lambda puzzle: wall_hash(puzzle.input))[: len(train) // 10]
        return Boards(sorted(chosen, key=lambda puzzle: puzzle.id))

    def _held_out(self, hold_out: bool) -> Callable[[], Sequence[Puzzle]] | None:
        return super()._held_out(hold_out) if hold_out else None

    def _pool(self, hold_out: bool) -> tuple[Sequence[Puzzle], str]:
        if not hold_out:
            return super()._pool(hold_out)
        held = {puzzle.id for puzzle in self.puzzles("validation")}
        kept = [puzzle for puzzle in self.puzzles("train") if puzzle.id not in held]
        return kept, f"without the {len(held)} validation mazes"

    def _file(self, name: str) -> Path:
        if self.folder is not None:
            return split_file(self.folder, name.removesuffix(".csv"), ("train", "test"))
        options = self.spec.options
        return hub.fetch_pinned(options["repository"], name, options["revision"], options["files"][name])


def _file_of(split: str) -> str:
    return "test.csv" if split == "test" else "train.csv"


def _solved(split: str, index: int, question: Grid) -> Puzzle:
    return files.puzzle(f"{split}-{index:06d}", question, solve(question))


def _view(name: str) -> int:
    if name not in VIEWS:
        raise BadInput(f"{name!r} is no view of a maze: use one of t1 to t7")
    return VIEWS[name]
