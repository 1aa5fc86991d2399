"""A model that knows the answers: what the evaluator must score 1, or 0 with one cell wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trm_harness.contracts import Task
from trm_harness.specs import ModelSpec
from trm_harness.types import Batch, Cost, Grid, ModelFacts, Prediction, Puzzle


class Oracle:
    """Answers a view of a known puzzle in that view's frame. Keeps :class:`trm_harness.contracts.Model`."""

    spec = ModelSpec("kit-oracle", 1, "kit:none", "Oracle of the kit", "Knows the answers.", "solver")
    steps = 1
    encoding: Mapping[str, Any] = {}

    def __init__(self, task: Task, puzzles: Sequence[Puzzle], damage: bool) -> None:
        self._answers: dict[tuple[str, bytes], Grid] = {}
        for puzzle in puzzles:
            for seed in (0, 1):
                for name in task.transforms(puzzle, 8, seed):
                    seen = task.transform(puzzle, name)
                    self._answers[seen.id, seen.input.tobytes()] = _damaged(seen.answer) if damage else seen.answer

    def facts(self) -> ModelFacts:
        """No weights."""
        return ModelFacts()

    def begin(self, batch: Batch) -> Batch:
        """The batch is the state."""
        return batch

    def step(self, state: Batch) -> tuple[Batch, Prediction]:
        """The known answers."""
        answers = tuple(self._answers[puzzle.id, puzzle.input.tobytes()] for puzzle in state.puzzles)
        return state, Prediction(None, np.ones(state.size, np.float32), answers)

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        """The named rows."""
        return state.select(rows)

    def cost(self, length: int) -> Cost:
        """Nothing."""
        return Cost()


def _damaged(answer: Grid) -> Grid:
    wrong = answer.copy()
    # Any wrong cell will do, but its symbol must be one that the task's symmetries know.
    others = [symbol for symbol in np.unique(answer).tolist() if symbol != answer.flat[0]]
    wrong.flat[0] = others[-1] if others else answer.flat[0] + 1
    return wrong
