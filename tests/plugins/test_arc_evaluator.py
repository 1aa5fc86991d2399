"""Votes, scores and submissions equal the reference's on every recorded case, its faults among them by name only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trm_task_arc.submission import NO_ANSWER

from .arc_cases import ARC_CASES, ArcCase

NONE = frozenset()


def those(wanted: Callable[[ArcCase], bool]) -> list:
    """The cases that are as ``wanted``, as test parameters."""
    return [case for case in ARC_CASES if wanted(case.values[0])]


@pytest.mark.parametrize("case", ARC_CASES)
def test_every_case_equals_the_reference(case: ArcCase) -> None:
    rounds, submission = case.replayed(), case.json("submission")
    reported = case.result["metrics_per_round"]
    assert [{f"ARC/pass@{k}": v for k, v in one.metrics.items()} for one in rounds] == reported
    assert reported[-1] == case.result["metrics"]
    assert rounds[-1].submission == submission
    assert list(rounds[-1].submission) == list(submission)


@pytest.mark.parametrize("case", those(lambda case: "metrics_if_blank_rows_removed_first" in case.result))
def test_blank_rows_take_no_halting_score_from_others(case: ArcCase) -> None:
    *_, mended = case.replayed(NONE)
    clean = case.result["metrics_if_blank_rows_removed_first"]
    assert {f"ARC/pass@{k}": v for k, v in mended.metrics.items()} == clean
    assert mended.submission == case.json("submission_if_blank_rows_removed_first")
    *_, faulty = case.replayed(frozenset({"shifted-halting"}))
    assert (faulty.metrics == mended.metrics) == (clean == case.result["metrics"])


@pytest.mark.parametrize("case", those(lambda case: any("no predictions" in line for line in case.config["stdout"])))
def test_a_missing_prediction_keeps_its_place_in_the_submission(case: ArcCase) -> None:
    *_, mended = case.replayed(NONE)
    *_, faulty = case.replayed(frozenset({"short-submission"}))
    assert mended.metrics == faulty.metrics
    nothing = {f"attempt_{i}": NO_ANSWER.tolist() for i in range(1, case.config["submission_K"] + 1)}
    gaps = 0
    for task in case.tasks:
        answered = [bool(mended.candidates[f"{task.id}_{index}"]) for index in range(len(task.test))]
        gaps += answered.count(False)
        kept = iter(faulty.submission[task.id])
        assert mended.submission[task.id] == [next(kept) if there else nothing for there in answered]
        assert not list(kept)
    assert gaps


@pytest.mark.parametrize("case", those(lambda case: len(case.result["metrics_per_round"]) > 1))
def test_rounds_vote_apart_unless_asked(case: ArcCase) -> None:
    apart, together = (case.replayed(quirks) for quirks in (NONE, frozenset({"votes-across-rounds"})))

    def votes(evaluation: object) -> int:
        return sum(candidate.votes for ranked in evaluation.candidates.values() for candidate in ranked)

    own = [votes(one) for one in apart]
    assert all(own)
    assert [votes(one) for one in together] == [sum(own[: place + 1]) for place in range(len(own))]


@pytest.mark.parametrize("case", those(lambda case: not case.interleaved))
def test_without_blank_rows_among_others_halting_scores_do_not_shift(case: ArcCase) -> None:
    plain, quirky = (case.replayed(quirks) for quirks in (NONE, frozenset({"shifted-halting"})))
    assert [one.metrics for one in plain] == [one.metrics for one in quirky]
    assert [one.submission for one in plain] == [one.submission for one in quirky]
