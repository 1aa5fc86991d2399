"""Intervals and tests for scores: Wilson, clustered bootstrap, exact McNemar. Deterministic: every seed is fixed."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trm_harness.types import Interval

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 20251006

FEW_GROUPS = 30
FEW_EVENTS = 10
"""Below so many groups, or groups' worth of successes or failures, ``clustered_sums`` does not resample."""

_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
# Numbers drawn at once: bounds the memory of a bootstrap over hundreds of thousands of groups.
_BLOCK = 4_000_000


def wilson(successes: float, n: int) -> Interval:
    """95 % score interval of a proportion ``successes / n`` (Wilson 1927), without continuity correction.

    ``successes`` may be fractional (a mean of values in [0, 1] varies at most as a proportion does, so the interval
    is then on the wide side). ``n = 0`` gives the whole of [0, 1]. ``ValueError`` unless ``0 <= successes <= n``.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a proportion")
    if n == 0:
        return Interval(0.0, 1.0, "none: no observations")
    share, shrink = successes / n, 1 + _Z**2 / n
    centre = (share + _Z**2 / (2 * n)) / shrink
    half = _Z / shrink * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, "wilson")


def clustered_sums(sums: NDArray[np.float64], sizes: NDArray[np.float64], pooled: bool = False) -> Interval:
    """95 % interval of a mean of values in [0, 1] that come in groups: percentile bootstrap over whole groups.

    Given are each group's sum and number of values (``float64 [groups]`` both, at least one group, sizes above 0). The
    statistic is the mean of the groups' means or, ``pooled``, the mean of all values. Where groups do not vary, are
    fewer than ``FEW_GROUPS``, or hold fewer than ``FEW_EVENTS`` successes or failures, the answer is a Wilson interval
    with the number of groups as its ``n``, and ``method`` says so: in simulations of ARC-like scores the bootstrap
    then covered 87 to 92 % instead of 95, Wilson 95 to 97 %.
    """
    pairs = np.stack([sums, sizes] if pooled else [sums / sizes, np.ones_like(sizes)], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    mean = pairs[:, 0].sum() / pairs[:, 1].sum()
    # A bootstrap of equal groups has width 0, which would claim certainty; one group tells least of all.
    if np.ptp(kinds[:, 0] / kinds[:, 1]) < 1e-12:
        return _wilson_over_groups(mean, len(pairs), "which do not vary")
    if len(pairs) < FEW_GROUPS or min(mean, 1 - mean) * len(pairs) < FEW_EVENTS:
        return _wilson_over_groups(mean, len(pairs), "too few to resample")
    means = _resampled_means(kinds, counts)
    low, high = np.quantile(means, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(float(low), float(high), "cluster bootstrap, percentile")


def _wilson_over_groups(mean: float, groups: int, why: str) -> Interval:
    interval = wilson(float(np.clip(mean, 0, 1)) * groups, groups)
    return Interval(interval.low, interval.high, f"wilson over groups, {why}")


def mcnemar(b: int, c: int) -> float:
    """Exact two-sided p-value that two systems are equally good, from the puzzles they disagree on.

    ``b`` puzzles only the first solves, ``c`` only the second (McNemar 1947, binomial form): twice the smaller tail
    of Binomial(b + c, 1/2), at most 1. Computed by logarithms, so that hundreds of thousands are no trouble.
    ``ValueError`` for negative counts.
    """
    if b < 0 or c < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}")
    n, fewer = b + c, min(b, c)
    # log C(n, i) step by step: C(n, i) = C(n, i - 1) (n - i + 1) / i.
    i = np.arange(1, fewer + 1, dtype=np.float64)
    log_terms = np.concatenate([[0.0], np.cumsum(np.log(n - i + 1) - np.log(i))])
    top = log_terms.max()
    log_tail = top + math.log(np.exp(log_terms - top).sum()) - n * math.log(2)
    return min(1.0, math.exp(log_tail + math.log(2)))


def _resampled_means(kinds: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """``RESAMPLES`` means of groups drawn with replacement; ``kinds [k, 2]`` are the distinct (sum, size) pairs.

    Drawing groups with replacement is drawing how often each distinct kind comes: one multinomial a resample.
    """
    rng = np.random.default_rng(SEED)
    n, done, means = int(counts.sum()), 0, np.empty(RESAMPLES)
    block = max(1, _BLOCK // len(counts))
    while done < RESAMPLES:
        size = min(block, RESAMPLES - done)
        totals = rng.multinomial(n, counts / n, size=size) @ kinds
        means[done : done + size] = totals[:, 0] / totals[:, 1]
        done += size
    return means
