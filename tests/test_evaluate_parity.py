"""The reference's recorded ARC predictions through the whole evaluator, from task and model to record and submission.

``tests/plugins/test_arc_evaluator.py`` replays every recorded case on the votes and rules alone; here a model repeats
what the reference's network said, and everything between it and the record is the real thing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plugins.arc_cases import ARC_CASES, ArcCase
from tests.plugins.arc_support import arc_task
from trm_harness.evaluate import evaluate, rescore, verdicts
from trm_harness.fingerprint import dataset_sha256
from trm_harness.inference import InferencePlan
from trm_harness.specs import ModelSpec
from trm_harness.types import IDENTITY, Batch, Cost, DataSource, Grid, ModelFacts, Prediction, Puzzle
from trm_task_arc import data as arc_data
from trm_task_arc import transforms
from trm_task_arc.encoding import decode_canvas
from trm_task_arc.submission import prize_submission
from trm_task_arc.task import ArcTask

REPEATER = ModelSpec("repeater", 1, "tests:none", "Repeater", "Repeats recorded predictions.", "recursive")


def key(task: str, question: Grid) -> tuple[str, tuple[int, ...], bytes]:
    """A test input, as a key."""
    return task, question.shape, question.tobytes()


class Recorded:
    """A recorded case as a model and a task can repeat it."""

    def __init__(self, case: ArcCase) -> None:
        self.case = case
        self.puzzles = arc_data.puzzles_of(case.tasks)
        self.said: dict[tuple[str, bytes], tuple[np.ndarray, float]] = {}
        """What was predicted for each (identity, input)."""
        self.views: dict[tuple, list[str]] = defaultdict(list)
        """The views of each test input in the order of arrival."""
        rows = case.stream
        columns = rows.puzzle_identifiers, rows.inputs, map(decode_canvas, rows.inputs), rows.preds, rows.q_halt_logits
        for number, tokens, question, answer, halt in zip(*columns, strict=True):
            identity = case.identifiers[number]
            task, view = transforms.split_identity(identity)
            if number != case.config["blank_identifier_id"]:
                self.views[key(task, transforms.invert(question, view))].append(view)
                self.said[identity, tokens.astype(np.int32).tobytes()] = answer.astype(np.int32), float(halt)

    @property
    def whole(self) -> bool:
        """Whether a run can repeat the case: one round, in which each test input is answered once in each view.

        A run begins with the plain view, and the order decides ties. Blank rows among others would need the
        reference's fault, and several processes its order of batches.
        """
        config, views = self.case.config, [self.views.get(key(p.group, p.input), []) for p in self.puzzles]
        once = all(own[:1] == [IDENTITY] and len(set(own)) == len(own) for own in views)
        alone = config["world_size"] == 1 and len(self.case.result["metrics_per_round"]) == 1
        return once and alone and not self.case.interleaved


class RecordedTask(ArcTask):
    """ARC-1 with the case's tasks instead of its own, and with the views that the reference drew."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__(arc_task().spec)
        self.recorded = recorded

    def puzzles(self, split: str) -> list[Puzzle]:
        return self.recorded.puzzles

    def source(self, split: str) -> DataSource:
        puzzles = self.recorded.puzzles
        groups = len({puzzle.group for puzzle in puzzles})
        return DataSource("recorded", "1", dataset_sha256(puzzles), groups, len(puzzles))

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        return self.recorded.views[key(puzzle.group, puzzle.input)][:count]


@dataclass
class Repeater:
    """Says again what the reference's network said."""

    recorded: Recorded
    spec: ModelSpec = REPEATER
    steps: int = 1
    encoding: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> ModelFacts:
        return ModelFacts()

    def begin(self, batch: Batch) -> Batch:
        return batch

    def step(self, state: Batch) -> tuple[Batch, Prediction]:
        rows = zip(state.identities, state.tokens, strict=True)
        found = [self.recorded.said[name, question.tobytes()] for name, question in rows]
        halts = np.array([halt for _, halt in found], dtype=np.float32)
        return state, Prediction(np.stack([answer for answer, _ in found]), halts)

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        return replace(state, tokens=state.tokens[list(rows)])

    def cost(self, length: int) -> Cost:
        return Cost()


WHOLE = [case for case in ARC_CASES if Recorded(case.values[0]).whole]


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_run_comes_out_as_the_reference_has_it(case: ArcCase, tmp_path: Path) -> None:
    recorded, ks = Recorded(case), case.config["pass_Ks"]
    task, folder = RecordedTask(recorded), tmp_path / "run"
    plan = InferencePlan("evaluation", augment=1000, attempts=max(ks), batch_size=5)
    record = evaluate(task, Repeater(recorded), plan, folder)
    assert rescore(folder, task).scores == record.scores
    got = {f"ARC/pass@{k}": record.score(f"pass@{k}", "outputs", "voted").value for k in ks}
    assert got == case.result["metrics"]
    ranked = {verdict.puzzle.id: [one.answer for one in verdict.candidates] for verdict in verdicts(folder, task)}
    submission = prize_submission(recorded.puzzles, ranked, case.config["submission_K"])
    assert submission == case.json("submission")
