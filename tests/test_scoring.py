"""The rules by hand, their order among each other, and their intervals."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_harness.errors import BadInput
from trm_harness.scoring.rules import RULES, Outcome, score
from trm_harness.scoring.vote import tally

HAND = [
    Outcome("a_0", "a", 1, True),
    Outcome("a_1", "a", 3, True),
    Outcome("b_0", "b", 2, True),
    Outcome("c_0", "c", None, False),
    Outcome("d_0", "d", 1, True),
    Outcome("d_1", "d", None, False),
]


@pytest.mark.parametrize(
    ("rule", "k", "numerator", "denominator", "unit"),
    [
        ("outputs", 1, 1.0, 4, "tasks"),
        ("outputs", 2, 2.0, 4, "tasks"),
        ("outputs", 3, 2.5, 4, "tasks"),
        ("tasks", 1, 0.0, 4, "tasks"),
        ("tasks", 2, 1.0, 4, "tasks"),
        ("tasks", 3, 2.0, 4, "tasks"),
        ("submitted", 2, 2.0, 3, "tasks"),
        ("puzzles", 1, 2.0, 6, "puzzles"),
        ("puzzles", 2, 3.0, 6, "puzzles"),
        ("puzzles", 3, 4.0, 6, "puzzles"),
    ],
)
def test_rules_by_hand(rule: str, k: int, numerator: float, denominator: int, unit: str) -> None:
    result = score(HAND, rule, k)
    assert (result.numerator, result.denominator, result.unit) == (numerator, denominator, unit)
    assert result.value == pytest.approx(numerator / denominator)
    assert (result.name, result.rule) == (f"pass@{k}", rule)
    assert result.interval is not None
    assert result.interval.low <= result.value <= result.interval.high


def test_single_puzzle_groups_get_wilson_and_clusters_get_the_bootstrap() -> None:
    single = [Outcome(str(i), str(i), 1 if i % 3 else None, True) for i in range(30)]
    for rule in RULES:
        assert score(single, rule, 1).interval.method == "wilson"
        assert score(single, rule, 1).value == pytest.approx(20 / 30)
    assert score(HAND, "puzzles", 3).interval.method == "wilson over groups, too few to resample"
    pairs = [Outcome(f"{i}_{j}", str(i), 1 if (i + j) % 3 else None, True) for i in range(60) for j in range(2)]
    for rule in ("outputs", "puzzles"):
        assert score(pairs, rule, 1).interval.method.startswith("cluster bootstrap")
    assert score(HAND, "tasks", 2).interval.method == "wilson"


def test_nothing_attempted_or_nothing_at_all() -> None:
    unattempted = [Outcome("a", "a", None, False)]
    assert score(unattempted, "submitted", 2).denominator == 0
    assert score(unattempted, "outputs", 2).denominator == 1
    for rule in RULES:
        empty = score([], rule, 2)
        assert (empty.value, empty.denominator, empty.interval) == (0.0, 0, None)


def test_bad_requests() -> None:
    with pytest.raises(BadInput, match="'best' does not exist: use one of outputs, tasks"):
        score(HAND, "best", 2)
    with pytest.raises(ValueError, match="at least one attempt"):
        score(HAND, "tasks", 0)
    with pytest.raises(ValueError, match="two outcomes"):
        score(HAND + HAND[:1], "tasks", 1)
    assert score(HAND, "tasks", 2, name="exact").name == "exact"


outcome_lists = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([None, 1, 2, 3]), st.booleans()), min_size=1, max_size=25
).map(
    lambda rows: [
        Outcome(f"{group}_{i}", str(group), rank, rank is not None or tried)
        for i, (group, rank, tried) in enumerate(rows)
    ]
)


@settings(max_examples=40, deadline=None)
@given(outcome_lists)
def test_order_between_rules_and_attempts(outcomes: list[Outcome]) -> None:
    for rule in RULES:
        assert score(outcomes, rule, 1).value <= score(outcomes, rule, 2).value <= score(outcomes, rule, 3).value
    for k in (1, 2):
        assert score(outcomes, "tasks", k).value <= score(outcomes, "outputs", k).value + 1e-12
        assert score(outcomes, "outputs", k).value <= score(outcomes, "submitted", k).value + 1e-12


def test_a_full_arc_run_is_tallied_and_scored_in_seconds() -> None:
    rng = np.random.default_rng(0)
    grids = [rng.integers(0, 10, size=(30, 30), dtype=np.uint8) for _ in range(40)]
    start, outcomes = time.perf_counter(), []
    for puzzle in range(419):
        rows = zip(rng.integers(0, 40, size=921), rng.normal(size=921).tolist(), strict=True)
        ranked = tally((grids[place], logit) for place, logit in rows)
        rank = 1 + next(place for place, one in enumerate(ranked) if np.array_equal(one.answer, grids[7]))
        outcomes.append(Outcome(str(puzzle), str(min(puzzle, 399)), rank, True))
    scores = [score(outcomes, rule, k) for rule in RULES for k in (1, 2)]
    assert len(scores) == 8
    assert time.perf_counter() - start < 10
