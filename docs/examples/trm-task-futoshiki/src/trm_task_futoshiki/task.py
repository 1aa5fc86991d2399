"""The task: puzzles, their encoding, their symmetries, scoring and training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from trm_harness import BadInput, DataSource, Encoded, Puzzle, TaskSpec
from trm_harness.contracts import TrainingRows
from trm_harness.fingerprint import dataset_sha256
from trm_harness.types import Grid, Tokens
from trm_task_futoshiki import SIZE, files
from trm_task_futoshiki.board import DOWN, GREATER, LESS, SIDE, SYMMETRIES, UP, canonical, is_solution
from trm_task_futoshiki.generate import draw

BUNDLED = Path(__file__).parent / "data"
TRAIN = 2000
"""Puzzles of the training split."""


def build(spec: TaskSpec, data: Path | None = None) -> FutoshikiTask:
    """The target: bundled puzzles, or ``<split>.csv`` of the folder ``data``."""
    if data is not None and not data.is_dir():
        raise BadInput(f"{data} is not a folder: --data takes one that holds test.csv (and train.csv, ...)")
    return FutoshikiTask(spec, data)


class FutoshikiTask:
    """Keeps the contract :class:`trm_harness.Task`."""

    def __init__(self, spec: TaskSpec, folder: Path | None) -> None:
        self.spec, self._folder = spec, folder
        self._splits: dict[str, Sequence[Puzzle]] = {}

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        """All puzzles of ``split``: training puzzles are generated, the others bundled."""
        if split not in self.spec.splits:
            raise BadInput(f"{self.spec.id} has no split {split!r}: use one of {', '.join(self.spec.splits)}")
        if split not in self._splits:
            if split == "train" and self._folder is None:
                self._splits[split] = [files.puzzle(split, i, *draw(split, 0, i)) for i in range(TRAIN)]
            else:
                self._splits[split] = files.read((self._folder or BUNDLED) / f"{split}.csv", split)
        return self._splits[split]

    def source(self, split: str) -> DataSource:
        """Where ``split`` is from; the hash covers every id, question and answer."""
        puzzles = self.puzzles(split)
        content = dataset_sha256(puzzles)
        return DataSource(self.spec.id, str(self.spec.version), content, len(puzzles), len(puzzles))

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        """The identity, then other symmetries in an order that depends on (group, seed) alone; 16 at most."""
        digest = sha256(f"{seed}|{puzzle.group}".encode()).digest()
        names = list(SYMMETRIES)
        others = np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(np.array(names[1:]))
        return [names[0], *others.tolist()][: max(count, 0)]

    def transform(self, puzzle: Puzzle, name: str) -> Puzzle:
        """Board and answer seen through the symmetry ``name``."""
        symmetry = _symmetry(name)
        answer = None if puzzle.answer is None else symmetry.answer(puzzle.answer)
        return Puzzle(puzzle.id, puzzle.group, symmetry.board(puzzle.input), answer, facts=puzzle.facts)

    def invert(self, answer: Grid, name: str) -> Grid:
        """Undo ``name`` on an answer."""
        return _symmetry(name).undo(answer)

    def canonical(self, puzzle: Puzzle) -> bytes:
        """What all images of a puzzle share."""
        return canonical(puzzle.input)

    def encode(self, puzzle: Puzzle, transform: str, options: Mapping[str, Any]) -> Encoded:
        """One token a cell: its digit, the sign to its right and the sign below it."""
        return Encoded(_tokens(puzzle.input), layout=(SIZE, SIZE))

    def labels(self, puzzle: Puzzle, encoded: Encoded) -> Tokens:
        """Digits of the answer, ``digit + 1`` (0 is padding)."""
        if puzzle.answer is None:
            raise BadInput(f"{puzzle.id} has no answer to train on: use a split with answers")
        return puzzle.answer.ravel().astype(np.int32) + 1

    def decode(self, tokens: Tokens, encoded: Encoded) -> Grid:
        """Digits of ``tokens``, 0 where a token is no digit."""
        digits = np.where((tokens > 1) & (tokens <= SIZE + 1), tokens - 1, 0)
        return digits.astype(np.uint8).reshape(SIZE, SIZE)

    def measures(self, puzzle: Puzzle, answer: Grid | None) -> dict[str, float]:
        """``exact``; ``valid``: keeps the rules and every clue; ``cell``: share of the cells that are right."""
        if puzzle.answer is None:
            raise BadInput(f"{puzzle.id} has no answer to measure by: use a split with answers")
        if answer is None or answer.shape != puzzle.answer.shape:
            return {"exact": 0.0, "valid": 0.0, "cell": 0.0}
        right = answer == puzzle.answer
        valid = is_solution(puzzle.input, answer)
        return {"exact": float(right.all()), "valid": float(valid), "cell": float(right.mean())}

    def training_source(self, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> FutoshikiTraining:
        """Endless training batches; takes no options."""
        if options:
            raise BadInput(f"{self.spec.id} training: unknown option {sorted(options)[0]!r}: there are none")
        return FutoshikiTraining(self, seed)


class FutoshikiTraining:
    """Training puzzles, each through a random symmetry. Keeps the contract ``TrainingSource``."""

    buckets: Mapping[str, float] = {"all": 1.0}
    identities: tuple[str, ...] = ("",)

    def __init__(self, task: FutoshikiTask, seed: int) -> None:
        puzzles, source = task.puzzles("train"), task.source("train")
        self._seed = seed
        # Every view of every puzzle, once: [views, puzzles, cells].
        views = [[task.transform(puzzle, name) for puzzle in puzzles] for name in SYMMETRIES]
        self._tokens = np.array([[_tokens(seen.input) for seen in view] for view in views])
        self._labels = np.array([[seen.answer.ravel() for seen in view] for view in views], np.int32) + 1
        data = {"name": f"{source.name} train", "version": source.version, "sha256": source.sha256}
        data |= {"puzzles": len(puzzles), "task": task.spec.id, "split": "train"}
        self.declaration: Mapping[str, Any] = {
            "data": [data | {"notes": "each example through one of 16 symmetries"}],
            "transduction": "inductive",
            "demonstrations": "inductive",
        }

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """Batch ``index``: depends on (seed, index, size) alone."""
        random = np.random.default_rng([0xF07, self._seed, index, size])
        views, count, cells = self._tokens.shape
        chosen = random.integers(views, size=size), random.integers(count, size=size)
        positions = np.broadcast_to(np.arange(cells, dtype=np.int32), (size, cells))
        return TrainingRows(self._tokens[chosen], self._labels[chosen], positions, ("",) * size)


def _tokens(board: Grid) -> Tokens:
    if board.shape != (SIDE, SIDE):
        raise BadInput(f"a Futoshiki board has {SIDE}x{SIDE} places, this one has the shape {board.shape}")
    right, below = np.zeros((SIZE, SIZE), np.int32), np.zeros((SIZE, SIZE), np.int32)
    right[:, :-1] = _kind(board[::2, 1::2], LESS, GREATER)
    below[:-1] = _kind(board[1::2, ::2], UP, DOWN)
    return (1 + board[::2, ::2] + (SIZE + 1) * (right + 3 * below)).ravel().astype(np.int32)


def _kind(signs: Grid, first: int, second: int) -> np.ndarray:
    """0 for no sign, 1 and 2 for the two kinds."""
    return np.where(signs == first, 1, np.where(signs == second, 2, 0))


def _symmetry(name: str) -> Any:
    if name not in SYMMETRIES:
        raise BadInput(f"unknown view {name!r}: use one of {', '.join(filter(None, SYMMETRIES))}")
    return SYMMETRIES[name]
