"""Validation during training: the evaluator's own answering and the task's own measures, on puzzles held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from trm_harness.contracts import Task, TrainingSource, Validated
from trm_harness.errors import BadInput
from trm_harness.fingerprint import dataset_sha256
from trm_harness.inference import InferencePlan
from trm_harness.inference.ask import BUDGET
from trm_harness.inference.plan import Selection, StepOptions, Work
from trm_harness.inference.steps import predict
from trm_harness.types import Puzzle

SPLIT = "validation"


class Validator:
    """Called with ``(model, rank, world)``: sums over this process's batches, for ``n`` and each measure.

    One view, one answer, all supervision steps of the model's own protocol: what ``eval`` does by default.
    """

    def __init__(self, task: Task, name: str, puzzles: Sequence[Puzzle], split: str = "") -> None:
        """``split`` is the task's split that these puzzles are the whole of, if they are."""
        self.task, self.name, self.puzzles, self.split = task, name, puzzles, split
        self.sha256 = dataset_sha256(puzzles)

    def __call__(self, model: Any, rank: int = 0, world: int = 1) -> Mapping[str, float]:
        """Answer and measure."""
        groups = len({puzzle.group for puzzle in self.puzzles})
        selection = Selection(self.puzzles, range(len(self.puzzles)), groups)
        work = Work(self.task, selection, InferencePlan(split=SPLIT), views=1, window=4096, budget=BUDGET)
        sums: Counter[str] = Counter({"n": 0.0})
        for index, (_, batch) in enumerate(work.batches(model, model.steps)):
            if index % world == rank:
                rows = predict(self.task, model, batch, StepOptions(model.steps))
                for asked, row in zip(batch, rows, strict=True):
                    puzzle = self.puzzles[asked.item.place]
                    sums.update({"n": 1.0, **self.task.measures(puzzle, row.answers[-1])})
        # A process without a batch must name the measures too, or the sums over the processes would not line up.
        names = self.task.measures(self.puzzles[0], None)
        return {name: float(sums[name]) for name in ("n", *names)}

    def described(self) -> dict[str, Any]:
        """Which puzzles these are, for the run's own record."""
        return {"name": self.name, "split": self.split, "puzzles": len(self.puzzles), "sha256": self.sha256}


def validator(task: Task, source: TrainingSource, limit: int) -> Validator:
    """The validator of a run. ``limit`` puzzles of those held out (0: all), the same for everybody.

    ``BadInput`` if the source holds nothing out and the task has no validation split.
    """
    if isinstance(source, Validated):
        (name, puzzles), split = source.validation(), ""
    elif SPLIT in task.spec.splits:
        name, puzzles, split = SPLIT, task.puzzles(SPLIT), SPLIT
    else:
        raise BadInput(f"task {task.spec.id} holds nothing out to validate on: set validate_every = 0 in the recipe")
    answered = [puzzle for puzzle in puzzles if puzzle.answer is not None]
    chosen = sorted(answered, key=_shuffled)[:limit] if 0 < limit < len(answered) else answered
    if not chosen:
        raise BadInput(f"task {task.spec.id} has no validation puzzle with an answer: set validate_every = 0")
    whole = len(chosen) == len(puzzles)
    return Validator(task, f"{name}, {len(chosen)} of {len(puzzles)}", chosen, split if whole else "")


def _shuffled(puzzle: Puzzle) -> bytes:
    return hashlib.sha256(puzzle.id.encode()).digest()
