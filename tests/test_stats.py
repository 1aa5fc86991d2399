"""Intervals and tests against published and exactly computed values."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_harness.scoring.intervals import RESAMPLES, Interval, clustered_sums, mcnemar, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3 (score, no continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_newcombe(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert interval.method == "wilson"


def test_wilson_at_the_ends_and_with_nothing() -> None:
    assert wilson(0, 7).low == 0.0
    assert wilson(7, 7).high == 1.0
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    for bad in ((-1, 5), (6, 5), (1, 0)):
        with pytest.raises(ValueError, match="not a proportion"):
            wilson(*bad)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_its_quadratic_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    interval, mirror = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)
    for bound in (interval.low, interval.high):
        if 0 < bound < 1:  # by definition: |share - bound| is z standard errors *at the bound*
            error = math.sqrt(bound * (1 - bound) / n)
            assert abs(successes / n - bound) / error == pytest.approx(1.959963984540054, rel=1e-6)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (10, 1), (1, 10), (5, 5), (0, 6), (37, 52), (400, 460)])
def test_mcnemar_equals_exact_fractions(b: int, c: int) -> None:
    tail = sum(Fraction(math.comb(b + c, i), 2 ** (b + c)) for i in range(min(b, c) + 1))
    assert mcnemar(b, c) == pytest.approx(float(min(1, 2 * tail)), rel=1e-10)


def test_mcnemar_by_hand_and_for_large_counts() -> None:
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 8) == pytest.approx(2 * 10 / 512)
    # Normal approximation with continuity correction is good to many digits here.
    z = (1000 - 1) / math.sqrt(401_000)
    assert mcnemar(200_000, 201_000) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)
    assert 0 <= mcnemar(0, 3000) < 1e-300
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)


def clustered(groups: list[list[float]], pooled: bool = False) -> Interval:
    """The interval of values by group."""
    return clustered_sums(np.array([math.fsum(group) for group in groups]), np.array(list(map(len, groups))), pooled)


def test_clustered_is_the_percentile_bootstrap_over_groups() -> None:
    rng = np.random.default_rng(5)
    groups = [list((rng.random(int(rng.integers(1, 4))) < 0.4).astype(float)) for _ in range(60)]
    means = np.array([np.mean(group) for group in groups])
    draws = means[rng.integers(0, 60, size=(RESAMPLES, 60))].mean(axis=1)
    interval = clustered(groups)
    assert interval.method.startswith("cluster bootstrap")
    assert interval.low == pytest.approx(np.quantile(draws, 0.025), abs=0.01)
    assert interval.high == pytest.approx(np.quantile(draws, 0.975), abs=0.01)
    assert interval == clustered(groups)


def test_pooled_weighs_by_size() -> None:
    groups = [[1.0] * 9, [0.0]] * 20
    by_group, pooled = clustered(groups), clustered(groups, pooled=True)
    assert by_group.low < 0.5 < by_group.high
    assert pooled.low < 0.9 < pooled.high
    assert by_group.high < 0.9


def test_values_alike_within_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    heads = (rng.random(50) < 0.5).astype(float)
    together = clustered([[value] * 4 for value in heads])
    apart = clustered([[value] for value in np.repeat(heads, 4)])
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("groups", [[[0.0, 1.0]], [[0.0]] * 8, [[1.0, 1.0]] * 8, [[1.0, 0.0], [0.5]]])
def test_nothing_to_resample_says_so(groups: list[list[float]]) -> None:
    interval = clustered(groups)
    mean = float(np.mean([np.mean(group) for group in groups]))
    assert interval.method == "wilson over groups, which do not vary"
    assert 0 <= interval.low <= mean <= interval.high <= 1
    assert interval.high - interval.low > 0.1


def test_many_groups_of_many_kinds_stay_quick_and_right() -> None:
    values = np.random.default_rng(2).random(3000)
    interval = clustered([[value] for value in values])
    half = 1.96 * values.std() / math.sqrt(3000)
    assert interval.low == pytest.approx(values.mean() - half, abs=half / 10)
    assert interval.high == pytest.approx(values.mean() + half, abs=half / 10)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=3), min_size=1, max_size=12))
def test_clustered_holds_the_estimate(groups: list[list[float]]) -> None:
    for pooled in (False, True):
        interval = clustered(groups, pooled=pooled)
        mean = (
            np.mean([value for group in groups for value in group])
            if pooled
            else np.mean([np.mean(group) for group in groups])
        )
        assert -1e-12 <= interval.low <= mean + 1e-12
        assert mean - 1e-12 <= interval.high <= 1 + 1e-12
