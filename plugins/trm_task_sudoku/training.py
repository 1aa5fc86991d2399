"""Training examples without end: puzzles of the training split, each time through a fresh random symmetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import TrainingRows
from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import box_shape
from trm_harness.specs import TaskSpec
from trm_harness.types import DataSource, Puzzle
from trm_task_sudoku.symmetry import line_orders

OPTIONS = ("augment", "puzzles", "reveal")
"""What a recipe's ``source`` may say of any Sudoku: ``augment`` (default yes), ``puzzles`` (only the first so many),
and ``reveal``, the least and the most cells of the answer that are filled in besides: it softens very hard puzzles.
"""

BUCKET = "all"
_DRAW = 0x5D0C
"""Keeps these draws apart from those of the puzzles themselves."""


class SudokuTraining:
    """Keeps the contract :class:`trm_harness.contracts.TrainingSource`.

    A draw picks puzzles evenly (a puzzle may come twice) and moves a whole batch at once: about 2 ms for 256 boards
    once their puzzles exist. Labels are the whole answer, as in the reference.
    """

    buckets: Mapping[str, float] = {BUCKET: 1.0}
    identities: tuple[str, ...] = ("",)

    def __init__(
        self,
        spec: TaskSpec,
        puzzles: Sequence[Puzzle],
        source: DataSource,
        seed: int,
        options: Mapping[str, Any],
        notes: str = "",
    ) -> None:
        """``options`` as in :data:`OPTIONS`; ``notes`` say which puzzles of the source these are."""
        self._puzzles, self._size, self._seed = puzzles, int(spec.options["size"]), seed
        self._augment, self._reveal = bool(options.get("augment", True)), _reveal(spec, options.get("reveal"))
        how = "each example through a random symmetry" if self._augment else "no augmentation"
        if self._reveal[1]:
            how += ", {} to {} further clues of its answer shown".format(*self._reveal)
        use = {
            "name": f"{source.name} train",
            "version": source.version,
            "sha256": source.sha256,
            "puzzles": len(puzzles),
            "task": spec.id,
            "split": "train",
            "notes": f"{notes}; {how}" if notes else how,
        }
        # Sudokus have no demonstrations, and no test puzzle is an image of a training puzzle.
        self.declaration: Mapping[str, Any] = {
            "data": [use],
            "transduction": "inductive",
            "demonstrations": "inductive",
        }

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """Batch ``index`` of ``size`` examples; ``bucket`` is always ``"all"``."""
        random = np.random.default_rng([_DRAW, self._seed, index, size])
        chosen = [self._puzzles[place] for place in random.integers(len(self._puzzles), size=size).tolist()]
        boards = np.stack([[puzzle.input, puzzle.answer] for puzzle in chosen])
        if self._augment:
            boards = shuffled(boards, random)
        if self._reveal[1]:
            boards[:, 0] = revealed(boards, random, *self._reveal)
        tokens, labels = boards.reshape(size, 2, -1).astype(np.int32).swapaxes(0, 1) + 1
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
        return TrainingRows(tokens, labels, positions, ("",) * size)


def _reveal(spec: TaskSpec, value: Any) -> tuple[int, int]:
    """Least and most clues to show; ``BadInput`` for anything but two whole numbers in order."""
    if value is None:
        return 0, 0
    whole = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, int) for one in value)
    if not whole or not 0 <= value[0] <= value[1]:
        raise BadInput(f"{spec.id} training: reveal is {value!r}: give the least and the most clues, as in [0, 6]")
    return tuple(value)


def revealed(boards: NDArray[np.uint8], random: np.random.Generator, low: int, high: int) -> NDArray[np.uint8]:
    """The questions of ``boards [count, 2, n, n]``, each with ``low`` to ``high`` more cells of its answer."""
    questions, answers = boards[:, 0], boards[:, 1]
    count = random.integers(low, high + 1, size=len(boards))
    # Blank cells in a random order; those that hold a clue come last.
    keys = np.where(questions == 0, random.random(questions.shape), 2.0).reshape(len(boards), -1)
    ranks = keys.argsort(axis=1).argsort(axis=1).reshape(questions.shape)
    return np.where((questions == 0) & (ranks < count[:, None, None]), answers, questions)


def shuffled(boards: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """``boards [count, k, n, n]``, each one's ``k`` grids seen through one random symmetry of their own."""
    count, _, size, _ = boards.shape
    height, width = box_shape(size)
    each = np.arange(count)[:, None, None, None]
    if height == width:
        turned = random.random(count) < 0.5
        boards = np.where(turned[:, None, None, None], boards.swapaxes(2, 3), boards)
    rows, columns = (
        orders[random.integers(len(orders), size=count)]
        for orders in (line_orders(size, height), line_orders(size, width))
    )
    planes = np.arange(boards.shape[1])[None, :, None, None]
    moved = boards[each, planes, rows[:, None, :, None], columns[:, None, None, :]]
    digits = np.zeros((count, size + 1), np.uint8)
    digits[:, 1:] = random.permuted(np.tile(np.arange(1, size + 1, dtype=np.uint8), (count, 1)), axis=1)
    return digits[each, moved]
