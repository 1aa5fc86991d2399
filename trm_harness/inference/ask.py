"""A model asked by hand: a few puzzles as they stand, one answer each, no journal."""

from __future__ import annotations

from collections.abc import Iterable

from trm_harness.contracts import Model, Task
from trm_harness.inference.plan import Asked, Budget, Item, StepOptions, as_asked, batch_up
from trm_harness.inference.steps import predict
from trm_harness.record.journal import Row
from trm_harness.types import IDENTITY, Puzzle

BUDGET = Budget(memory=2e9, flops=2e12, puzzles=256)
"""What a batch may take that no run has made a plan for."""


def ask(task: Task, model: Model, puzzles: Iterable[Puzzle], options: StepOptions, seed: int = 0) -> list[Row]:
    """The rows of ``puzzles``, in their order: answers and halting logits after every step of a single pass.

    What the plan of a run would refuse is not checked here.
    """
    asked = as_they_stand(task, model, puzzles, seed)
    rows: dict[int, Row] = {}
    for some in batch_up(asked, lambda length: BUDGET.batch_size(model, length, options.steps)):
        places = [one.item.place for one in some]
        rows |= zip(places, predict(task, model, some, options), strict=True)
    return [rows[index] for index in range(len(asked))]


def as_they_stand(task: Task, model: Model, puzzles: Iterable[Puzzle], seed: int = 0) -> list[Asked]:
    """What the model gets of ``puzzles``: the identity view of each."""
    return [as_asked(task, model, puzzle, Item(index, 0, IDENTITY, 0), seed) for index, puzzle in enumerate(puzzles)]
