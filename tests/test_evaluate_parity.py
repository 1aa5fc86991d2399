"""The reference's recorded ARC predictions through the whole evaluator, from task and model to record and submission.

``tests/plugins/test_arc_evaluator.py`` replays every recorded case on the votes and rules alone; here a model repeats
what the reference's network said, and everything between it and the record is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plugins.arc_support import FULL, SUBSET, arc1_tasks, arc_task, read_json, sha256
from trm_harness.evaluate import InferencePlan, evaluate, rescore, verdicts
from trm_harness.fingerprint import dataset_sha256
from trm_harness.specs import ModelSpec
from trm_harness.types import Batch, Cost, DataSource, ModelFacts, Prediction, Puzzle
from trm_task_arc import data as arc_data
from trm_task_arc.submission import prize_submission
from trm_task_arc.task import ArcTask
from trm_task_arc.transforms import split_identity

FACTS = read_json(SUBSET / "evaluator.json")["ties"]
REPEATER = ModelSpec("repeater", 1, "tests:none", "Repeater", "Repeats recorded predictions.", "recursive")
FULL_CASE = FULL / "arc_eval" / "custom_k"


@dataclass(frozen=True)
class Stream:
    """A recorded case: what was predicted for each (identity, input), and the views of each task in their order."""

    said: Mapping[tuple[str, bytes], tuple[np.ndarray, float]]
    views: Mapping[str, list[str]]

    @classmethod
    def load(cls, path: Path, identifiers: Sequence[str]) -> Stream:
        rows, said, views = np.load(path), {}, {}
        columns = (rows["puzzle_identifiers"], rows["inputs"], rows["preds"], rows["q_halt_logits"])
        for identifier, question, answer, halt in zip(*columns, strict=True):
            if identifier:
                name = identifiers[identifier]
                task, view = split_identity(name)
                said[name, question.astype(np.int32).tobytes()] = answer.astype(np.int32), float(halt)
                seen = views.setdefault(task, [])
                seen += [view] if view not in seen else []
        return cls(said, views)


class RecordedTask(ArcTask):
    """ARC-1 cut down to the case's tasks and to the views the reference drew."""

    def __init__(self, tasks: Sequence[str], stream: Stream) -> None:
        super().__init__(arc_task().spec)
        self.made = arc_data.puzzles_of([arc1_tasks()[name] for name in tasks])
        self.stream = stream

    def puzzles(self, split: str) -> list[Puzzle]:
        return self.made

    def source(self, split: str) -> DataSource:
        groups = len({puzzle.group for puzzle in self.made})
        return DataSource("recorded", "1", dataset_sha256(self.made), groups, len(self.made))

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        return self.stream.views[puzzle.group][:count]


@dataclass
class Repeater:
    """Says again what the reference's network said."""

    stream: Stream
    spec: ModelSpec = REPEATER
    steps: int = 1
    encoding: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> ModelFacts:
        return ModelFacts()

    def begin(self, batch: Batch) -> Batch:
        return batch

    def step(self, state: Batch) -> tuple[Batch, Prediction]:
        rows = zip(state.identities, state.tokens, strict=True)
        found = [self.stream.said[name, question.tobytes()] for name, question in rows]
        halts = np.array([halt for _, halt in found], dtype=np.float32)
        return state, Prediction(np.stack([answer for answer, _ in found]), halts)

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        return replace(state, tokens=state.tokens[list(rows)])

    def cost(self, length: int) -> Cost:
        return Cost()


def through(stream: Stream, tasks: Sequence[str], ks: Sequence[int], attempts: int, folder: Path) -> tuple[list, dict]:
    """pass@k for each k, and the submission, of a whole run."""
    task = RecordedTask(tasks, stream)
    plan = InferencePlan("evaluation", augment=1000, attempts=max(ks), batch_size=5)
    record = evaluate(task, Repeater(stream), plan, folder)
    assert rescore(folder, task).scores == record.scores
    ranked = {verdict.puzzle.id: [one.answer for one in verdict.candidates] for verdict in verdicts(folder, task)}
    scores = [record.score(f"pass@{k}", "outputs", "voted").value for k in ks]
    return scores, prize_submission(task.made, ranked, attempts)


def test_a_committed_case_comes_out_as_the_reference_has_it(tmp_path: Path) -> None:
    stream = Stream.load(SUBSET / "ties.npz", FACTS["identifiers"])
    scores, submission = through(stream, FACTS["tasks"], FACTS["ks"], FACTS["attempts"], tmp_path / "run")
    assert [scores] == FACTS["metrics_per_round"]
    assert sha256(submission) == FACTS["submission_sha256"]


@pytest.mark.skipif(not FULL_CASE.is_dir(), reason="the full fixtures are not beside the repository")
def test_a_full_case_comes_out_as_the_reference_has_it(tmp_path: Path) -> None:
    config, result = read_json(FULL_CASE / "config.json"), read_json(FULL_CASE / "result.json")
    stream = Stream.load(FULL_CASE / "predictions.npz", read_json(FULL_CASE / "identifiers.json"))
    tasks = list(read_json(FULL_CASE / "test_puzzles.json"))
    scores, submission = through(stream, tasks, config["pass_Ks"], config["submission_K"], tmp_path / "run")
    assert [scores] == [list(one.values()) for one in result["metrics_per_round"]]
    assert json.loads(json.dumps(submission)) == read_json(FULL_CASE / "submission.json")
