"""Published scores against our records: when they can be compared, and what their intervals then say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_leaderboard import reported, run, score
from trm_harness.files import paths
from trm_harness.leaderboard import archive
from trm_harness.leaderboard.archive import Filed, place_of
from trm_harness.leaderboard.rows import Result, Row, filed_row, read_reported
from trm_harness.leaderboard.verdicts import VERDICTS, compare, counts, judge
from trm_harness.record import DataUse, RunRecord, SelectionEntry, TrainingEntry


def filed(record: RunRecord) -> Filed:
    return Filed(Path(), place_of(record), record)


def claim(percent: float = 25.0, column: str = "public", **changes: Any) -> Row:
    fields = {"family": "recursive", "model": "trm-7m", "demonstrations": "joint", "level": "self-reported"}
    return reported("TRM", percent, column, **(fields | changes))


def verdict(claimed: Row, *records: RunRecord) -> tuple[str, str]:
    (found,) = judge([claimed], [filed(record) for record in records])
    return found.verdict, found.why


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (25.0, "reproduced"),
        (29.0, "reproduced"),
        (34.0, "not reproduced"),
        (44.6, "not reproduced"),
        (10, "reproduced"),
    ],
)
def test_intervals_decide(percent: float, expected: str) -> None:
    """Ours is 25 of 100 on 400 tasks, 21 to 29; the claim's own interval is about 4.5 points to either side."""
    found, why = verdict(claim(percent), run())
    assert found == expected, why
    assert "25.00 on 400 here" in why
    assert ("ours is higher" in why) == (percent == 10)


@pytest.mark.parametrize(
    ("claimed", "record", "reason"),
    [
        (claim(column="semi-private"), run(), "other split: semi-private there, public here"),
        (claim(metric="pass@1"), run(), "other metric: pass@1 there, pass@2 here"),
        (claim(views=1000), run(), "votes: 1000 there, 16 here"),
        (claim(demonstrations="per-task"), run(), "demonstrations: per-task there, joint here"),
        (claim(labels=("ablation",)), run(), "the claim: ablation"),
        (claim(), run(n=20), "our record: 20/400 tasks"),
        (claim(), run(status="cancelled"), "our record: cancelled"),
        (claim(), run(model=run().model.model_copy(update={"untrained": True})), "our record: untrained"),
        (claim(), run(task=run().task.model_copy(update={"own_data": True})), "our record: own data"),
        (
            claim(),
            run(model=run().model.model_copy(update={"config": {"supervision_steps": 32}})),
            "supervision steps: 32 published, 16 here",
        ),
        (
            claim(),
            run(training=TrainingEntry(demonstrations="joint", extra_data=("more",))),
            "extra training data here: more",
        ),
        (
            claim(),
            run(training=TrainingEntry(demonstrations="joint", data=(DataUse(name="all pairs, 51 of 400 tasks"),))),
            "trained on part of the data here",
        ),
        (
            claim(),
            run(
                training=TrainingEntry(demonstrations="joint", data=(DataUse(name="arc1 train (own data best of x)"),))
            ),
            "trained on files of one's own here: arc1 train (own data best of x)",
        ),
        (
            claim(),
            run(training=TrainingEntry(demonstrations="joint", data=(DataUse(name="x", task="arc2"),))),
            "trained on other tasks here: arc2",
        ),
        (claim(), run(protocol=run().protocol.model_copy(update={"noise": 0.3})), "noise 0.3 on the latent here"),
    ],
)
def test_what_keeps_a_claim_and_a_record_apart_is_named(claimed: Row, record: RunRecord, reason: str) -> None:
    found, why = verdict(claimed, record)
    assert found == "not comparable"
    assert reason in why


def test_files_of_ones_own_are_extra_training_data() -> None:
    own = DataUse(name="arc1 train (own data best of x)", task="arc1")
    record = run(training=TrainingEntry(demonstrations="joint", data=(own,)))
    assert filed_row(filed(record)).training_data == f"extra: {own.name}"
    assert "part of the data" not in verdict(claim(), record)[1]


def test_untested_claims_say_why() -> None:
    assert verdict(claim()) == ("untested", "no record of trm-7m on arc1")
    assert verdict(claim(model="hrm-27m"), run()) == ("untested", "no record of hrm-27m on arc1")
    assert verdict(claim(model=""), run()) == ("untested", "no implementation of it here")
    assert verdict(claim(model="", family="llm"), run()) == ("untested", "no record of this language model")
    assert verdict(claim(task="arc2"), run())[0] == "untested"


def test_the_record_that_can_be_compared_speaks() -> None:
    small = run(n=20, id="small")
    other = run(id="other", headline=score(0.5, 400), scores=(score(0.5, 400),))
    assert verdict(claim(), small, run())[0] == "reproduced"
    found = judge([claim(60)], [filed(small), filed(other)])[0]
    assert (found.verdict, found.place) == ("not reproduced", place_of(other))


def test_a_claim_of_two_sets_gets_two_verdicts() -> None:
    two = Row(**{**claim().__dict__, "results": {"public": Result(25.0), "semi-private": Result(40.0)}})
    assert [found.verdict for found in judge([two], [filed(run())])] == ["reproduced", "not comparable"]


def test_printed_decimals_are_no_difference() -> None:
    """0.0 as printed may be anything up to 0.05."""
    ours = Result(0.0, 0.0, 0.4, 1000, 1000, "puzzles")
    assert compare(Result(0.0), 1000, ours)[0] == "reproduced"
    assert compare(Result(1.2), 1000, ours)[0] == "not reproduced"
    half = SelectionEntry(groups=400, puzzles=419)
    assert verdict(claim(25.0), run(selection=half))[0] == "reproduced"


def test_every_published_score_has_one_verdict() -> None:
    claims = read_reported([paths.reported()])
    root = paths.leaderboards() / "records"
    found = judge(claims, [archive.read_filed(folder, root) for folder in archive.folders(root)])
    assert len(found) == sum(len(row.results) for row in claims) == sum(counts(found).values())
    assert {one.verdict for one in found} <= set(VERDICTS)
    assert all(one.why for one in found)
    (ours,) = [one for one in found if (one.claim.system, one.claim.task, one.column) == ("TRM-Att", "arc1", "public")]
    assert ours.verdict == "not comparable", "an hour of training on one core says nothing of the paper's weights"
