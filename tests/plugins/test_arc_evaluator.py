"""The reference's ARC evaluator replayed: every recorded case, and its faults by name only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm_task_arc import reference_evaluator as evaluator
from trm_task_arc.data import ArcProblem, Pair, parse_grid
from trm_task_arc.reference_evaluator import QUIRKS, Evaluation, Stream, replay
from trm_task_arc.submission import NO_ANSWER

from .arc_support import FULL, SUBSET, arc1_tasks, read_json, sha256

CASES = read_json(SUBSET / "evaluator.json")
FULL_CASES = sorted(path.name for path in (FULL / "arc_eval").glob("*")) if FULL.is_dir() else []


@dataclass(frozen=True)
class Case:
    """A committed case and how to replay it."""

    name: str
    facts: dict[str, Any]

    def run(self, quirks: frozenset[str]) -> list[Evaluation]:
        tasks = [arc1_tasks()[id] for id in self.facts["tasks"]]
        outer = "rank" if self.facts["world_size"] > 1 else "round"
        stream = read_stream(SUBSET / f"{self.name}.npz")
        return replay(stream, self.facts["identifiers"], tasks, self.facts["ks"], self.facts["attempts"], outer, quirks)


def case(name: str) -> Case:
    return Case(name, CASES[name])


def read_stream(path: Path) -> Stream:
    columns = np.load(path)
    return Stream(*(columns[name] for name in Stream._fields))


def as_reference(aggregated: bool) -> frozenset[str]:
    return QUIRKS if aggregated else QUIRKS - {"votes-across-rounds"}


@pytest.mark.parametrize("name", CASES)
def test_committed_cases_equal_the_reference(name: str) -> None:
    facts = CASES[name]
    rounds = case(name).run(as_reference(facts["aggregated"]))
    assert [list(one.metrics.values()) for one in rounds] == facts["metrics_per_round"]
    assert sha256(rounds[-1].submission) == facts["submission_sha256"]


@pytest.mark.parametrize("name", FULL_CASES)
def test_full_cases_equal_the_reference(name: str) -> None:
    folder = FULL / "arc_eval" / name
    config, result = read_json(folder / "config.json"), read_json(folder / "result.json")
    rounds = replay(
        read_stream(folder / "predictions.npz"),
        read_json(folder / "identifiers.json"),
        [_problem(id, task) for id, task in read_json(folder / "test_puzzles.json").items()],
        config["pass_Ks"],
        config["submission_K"],
        "rank" if config["world_size"] > 1 else "round",
        as_reference(config["aggregated_voting"]),
    )
    assert [{f"ARC/pass@{k}": v for k, v in one.metrics.items()} for one in rounds] == result["metrics_per_round"]
    submission = read_json(folder / "submission.json")
    assert rounds[-1].submission == submission
    assert list(rounds[-1].submission) == list(submission)


def _problem(id: str, content: dict[str, Any]) -> ArcProblem:
    grids = [(parse_grid(pair["input"], id), parse_grid(pair["output"], id)) for pair in content["test"]]
    return ArcProblem(id, (), tuple(Pair(*both) for both in grids))


def test_blank_rows_take_no_halting_score_from_others() -> None:
    clean = CASES["pad_middle"]["without_blanks"]
    (mended,) = case("pad_middle").run(frozenset())
    assert list(mended.metrics.values()) == clean["metrics"]
    assert sha256(mended.submission) == clean["submission_sha256"]
    (faulty,) = case("pad_middle").run(frozenset({"shifted-halting"}))
    assert faulty.metrics != mended.metrics


def test_a_missing_prediction_keeps_its_place_in_the_submission() -> None:
    (mended,), (faulty,) = (case("missing").run(q) for q in (frozenset(), frozenset({"short-submission"})))
    assert mended.metrics == faulty.metrics
    tasks = arc1_tasks()
    assert {id: len(mended.submission[id]) for id in mended.submission} == {
        id: len(tasks[id].test) for id in CASES["missing"]["tasks"]
    }
    nothing = {"attempt_1": NO_ANSWER.tolist(), "attempt_2": NO_ANSWER.tolist()}
    assert mended.submission["e1baa8a4"] == [nothing]
    assert faulty.submission["e1baa8a4"] == []
    # 6ea4a07e was answered for its second test input only.
    assert mended.submission["6ea4a07e"] == [nothing, *faulty.submission["6ea4a07e"]]


def test_rounds_vote_apart_unless_asked() -> None:
    apart, together = (case("rounds_aggregated").run(q) for q in (frozenset(), frozenset({"votes-across-rounds"})))
    assert apart[0].metrics == together[0].metrics
    assert apart[1].metrics != together[1].metrics
    votes = [sum(c.votes for ranked in rounds[1].candidates.values() for c in ranked) for rounds in (apart, together)]
    assert votes[1] == votes[0] + sum(c.votes for ranked in together[0].candidates.values() for c in ranked)


@pytest.mark.parametrize("name", ["basic", "rounds_reset"])
@pytest.mark.skipif(not FULL_CASES, reason="the full fixtures are not here")
def test_without_faults_in_the_stream_quirks_change_nothing(name: str) -> None:
    folder = FULL / "arc_eval" / name
    tasks = [_problem(id, task) for id, task in read_json(folder / "test_puzzles.json").items()]
    stream, identifiers = read_stream(folder / "predictions.npz"), read_json(folder / "identifiers.json")
    plain, quirky = (
        replay(stream, identifiers, tasks, quirks=q) for q in ((), {"shifted-halting", "short-submission"})
    )
    assert [one.metrics for one in plain] == [one.metrics for one in quirky]


def test_misspelt_options_are_refused() -> None:
    stream = read_stream(SUBSET / "ties.npz")
    with pytest.raises(ValueError, match="unknown quirks"):
        replay(stream, [], [], quirks={"reference"})
    with pytest.raises(ValueError, match="a 'round' or a 'rank'"):
        replay(stream, [], [], outer="world")
    assert evaluator.PASS_KS[1] == 2
