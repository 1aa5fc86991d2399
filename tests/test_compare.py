"""Pairing two runs: exact numbers from tables written by hand."""

from __future__ import annotations

from math import comb

import pytest

from trm_harness.errors import BadInput
from trm_harness.record import ModelEntry, ProtocolEntry, RunRecord, ScoreEntry, SelectionEntry, TaskEntry
from trm_harness.scoring.compare import (
    Comparison,
    Counts,
    check_pair,
    check_table,
    compare,
    outcomes,
    protocol_differences,
    shared_attempts,
)
from trm_harness.scoring.rules import Outcome

HEADER = "puzzle,group,attempted,rank,candidates,votes,single,steps,right_at,halts,exact"


def table(*lines: str) -> list[str]:
    return [HEADER, *lines]


def solved(ranks: dict[str, int | None], groups: dict[str, str] | None = None) -> list[Outcome]:
    return [Outcome(name, (groups or {}).get(name, name), rank, True) for name, rank in ranks.items()]


def run(name: str = "a", k: int = 1, value: float = 0.5, protocol: dict | None = None, **task: object) -> RunRecord:
    entry = {"id": "latin", "version": 1, "split": "test", "source": "made", "source_version": "1"}
    entry |= {"data_sha256": "a" * 64, "split_groups": 4, "split_puzzles": 4} | task
    score = {"name": f"pass@{k}", "rule": "outputs", "pooling": "voted", "k": k, "views": 1, "value": value}
    score |= {"numerator": 2, "denominator": 4, "unit": "tasks"}
    fixed = {"attempts": k, "augment": 1, "views": 1, "steps": 4, "halt": "full"}
    return RunRecord(
        id=name,
        status="success",
        started="2026-01-01T00:00:00+00:00",
        task=TaskEntry(**entry),
        selection=SelectionEntry(groups=4, puzzles=4),
        model=ModelEntry(id="m", version=1),
        protocol=ProtocolEntry(**fixed | (protocol or {})),
        headline=ScoreEntry(**score),
    )


def test_counts_ids_and_scores_by_hand() -> None:
    a = solved({"1": 1, "2": 1, "3": None, "4": 2, "5": None})
    b = solved({"5": 1, "4": 1, "3": None, "2": None, "1": 1})
    found = compare(a, b, "puzzles", 1)
    assert found.puzzles == Counts(both=1, only_a=1, only_b=2, neither=1)
    assert (found.solved, found.broken, found.changed) == (("4", "5"), ("2",), ("2", "4", "5"))
    assert (found.score_a, found.score_b) == (2 / 5, 3 / 5)
    assert found.difference == pytest.approx(1 / 5)
    assert found.groups is None
    # With two attempts puzzle 4 is right in both.
    assert compare(a, b, "puzzles", 2).puzzles == Counts(2, 1, 1, 1)


def test_only_shared_puzzles_are_paired_and_the_rest_is_counted() -> None:
    found = compare(solved({"1": 1, "2": 1, "3": 1}), solved({"2": None, "9": 1}), "puzzles", 1)
    assert found.puzzles == Counts(0, 1, 0, 0)
    assert (found.unpaired_a, found.unpaired_b) == (2, 1)
    assert (found.score_a, found.score_b) == (1.0, 0.0)


def test_runs_without_a_common_puzzle_are_refused() -> None:
    with pytest.raises(BadInput, match="no puzzle in common"):
        compare(solved({"1": 1}), solved({"2": 1}), "puzzles", 1)


def test_a_group_is_right_if_all_its_puzzles_are() -> None:
    groups = {"x0": "x", "x1": "x", "y0": "y", "y1": "y"}
    a = solved({"x0": 1, "x1": None, "y0": 1, "y1": 1, "z": None}, groups)
    b = solved({"x0": 1, "x1": 1, "y0": 1, "y1": 1, "z": 1}, groups)
    found = compare(a, b, "outputs", 1)
    assert found.puzzles == Counts(3, 0, 2, 0)
    assert found.groups == Counts(1, 0, 2, 0)
    # The rule of the reference: the mean over groups of the share right.
    assert found.score_a == pytest.approx((0.5 + 1 + 0) / 3)
    assert found.score_b == 1.0


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (3, 3), (1, 9), (12, 4)])
def test_the_p_value_is_the_exact_binomial_one(b: int, c: int) -> None:
    tail = sum(comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c)
    assert Counts(5, b, c, 7).p == pytest.approx(min(1, 2 * tail))


def test_swapping_the_runs_mirrors_everything() -> None:
    a, b = solved({"1": 1, "2": None, "3": 1}), solved({"1": None, "2": None, "3": 1})
    there, back = compare(a, b, "puzzles", 1), compare(b, a, "puzzles", 1)
    assert isinstance(there, Comparison)
    assert (there.solved, there.broken) == (back.broken, back.solved)
    assert there.difference == -back.difference
    assert there.puzzles.p == back.puzzles.p


def test_a_table_is_read_by_its_column_names() -> None:
    lines = table("p,g,1,2,3,1,0,4,0011,0 0 0 0,1.0", "q,g,0,,0,0,0,1,0,0,0.0", "hidden,h,1,,1,1,,1,,0,")
    assert outcomes(lines) == [Outcome("p", "g", 2, True), Outcome("q", "g", None, False)]
    swapped = [",".join(reversed(line.split(","))) for line in lines]
    assert outcomes(swapped)[0].id == "p"


def test_at_a_step_the_single_pass_counts_and_an_early_halt_keeps_its_answer() -> None:
    lines = table("p,p,1,1,1,1,1,4,0110,0,1.0", "early,early,1,1,1,1,1,2,01,0,1.0")
    at = {step: [outcome.rank for outcome in outcomes(lines, step)] for step in (1, 2, 3, 4)}
    assert at == {1: [None, None], 2: [1, 1], 3: [1, 1], 4: [None, 1]}


@pytest.mark.parametrize("lines", [["puzzle,rank", "a,1"], table("p,p,1,one,1,1,1,1,1,0,1"), table("p,p")])
def test_a_damaged_table_is_one_line(lines: list[str]) -> None:
    with pytest.raises(BadInput, match="damaged"):
        outcomes(lines)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"id": "sudoku"}, "task latin and sudoku"),
        ({"version": 2}, "task version 1 and 2"),
        ({"split": "train"}, "split test and train"),
        ({"data_sha256": "b" * 64}, "data sha256 aaaaaaaaaaaa and bbbbbbbbbbbb"),
    ],
)
def test_runs_on_different_data_are_refused(other: dict[str, object], complaint: str) -> None:
    check_pair(run("a"), run("b"))
    with pytest.raises(BadInput, match=complaint):
        check_pair(run("a"), run("b", **other))


def test_unfinished_and_unscored_runs_are_refused() -> None:
    with pytest.raises(BadInput, match="b is not finished"):
        check_pair(run("a"), run("b").model_copy(update={"status": "cancelled"}))
    with pytest.raises(BadInput, match="b has no scores"):
        check_pair(run("a"), run("b").model_copy(update={"headline": None}))


def test_a_table_must_say_what_its_record_says() -> None:
    results = solved({"1": 1, "2": None, "3": 2, "4": 1})
    check_table(run(value=0.5), results)
    check_table(run(value=0.75, k=2), results)
    with pytest.raises(BadInput, match="changed after the run"):
        check_table(run(value=0.75), results)


def test_the_smaller_number_of_attempts_counts() -> None:
    assert shared_attempts(run(k=2), run(k=1)) == 1


def test_protocol_fields_that_differ_are_named() -> None:
    assert protocol_differences(run(), run()) == {}
    found = protocol_differences(run(), run(protocol={"steps": 8, "dtype": "bfloat16"}))
    assert found == {"steps": (4, 8), "dtype": ("float32", "bfloat16")}
