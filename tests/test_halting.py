"""What the halting head is worth, against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trm_harness.scoring.halting import BARS, THRESHOLDS, Halting, settled


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def halting(*puzzles: tuple[tuple[float, ...], tuple[bool, ...]]) -> Halting:
    """From ``(halting scores, right)`` per step."""
    total = Halting()
    for scores, right in puzzles:
        total.add([logit(score) for score in scores], right)
    return total


THREE = (
    ((0.15, 0.55, 0.97), (False, True, True)),
    ((0.85, 0.92, 0.92), (True, True, True)),
    ((0.05, 0.25, 0.45), (False, False, False)),
)
"""Late and sure; sure at once; never sure and never right."""


def test_steps_saved_equal_a_reckoning_by_hand() -> None:
    entry = halting(*THREE).entry(full=True)
    found = {one.threshold: (one.mean_steps, one.correct) for one in entry.thresholds}
    # Above 0.1 the first stops at step 1 (wrong), the second at 1, the third at 2.
    assert found[0.1] == (pytest.approx(4 / 3), 1)
    assert found[0.5] == (pytest.approx((2 + 1 + 3) / 3), 2)
    assert found[0.9] == (pytest.approx((3 + 2 + 3) / 3), 2)
    assert found[0.95] == (pytest.approx((3 + 3 + 3) / 3), 2)
    assert found[0.999] == (3, 2)
    assert set(found) == set(THRESHOLDS)
    # 0.2 and 0.3: the first at 2, the second at 1, the third at 2 or 3; all as right as at full depth.
    assert entry.equal_accuracy.threshold == 0.2
    assert (entry.equal_accuracy.mean_steps, entry.equal_accuracy.correct) == (pytest.approx(5 / 3), 2)
    assert entry.equal_accuracy.accuracy == 2 / 3


def test_no_threshold_may_be_as_good_as_full_depth() -> None:
    # Sure of a wrong answer at once, right only at the end.
    assert halting(((0.9999, 0.9999), (False, True))).entry(full=True).equal_accuracy is None


def test_halting_early_may_even_be_better() -> None:
    entry = halting(((0.9999, 0.9999), (True, False))).entry(full=True)
    assert (entry.equal_accuracy.mean_steps, entry.equal_accuracy.correct) == (1, 1)


def test_calibration_equals_a_reckoning_by_hand() -> None:
    entry = halting(*THREE).entry(full=True)
    bins = {round(one.low, 1): one for one in entry.calibration}
    assert set(bins) == {0.4, 0.9}
    assert (bins[0.4].n, bins[0.4].accuracy) == (1, 0)
    assert bins[0.4].confidence == pytest.approx(0.45)
    assert (bins[0.9].n, bins[0.9].accuracy) == (2, 1)
    assert bins[0.9].confidence == pytest.approx((0.97 + 0.92) / 2)
    assert entry.calibration_error == pytest.approx((0.45 + 2 * (1 - 0.945)) / 3)
    assert (entry.n, entry.mean_steps, entry.share_halted) == (3, 3, pytest.approx(2 / 3))


def test_only_a_run_of_full_depth_says_what_halting_would_save() -> None:
    assert halting(*THREE).entry(full=False).thresholds == ()
    assert halting(((0.9,), (True,))).entry(full=True).thresholds == (), "one step has nothing to save"


def test_hidden_answers_count_for_halting_alone() -> None:
    entry = halting(*THREE, ((0.9, 0.9, 0.9), ())).entry(full=True)
    assert (entry.n, entry.thresholds[0].n) == (4, 3)
    assert entry.calibration == ()


def test_what_is_no_number_never_halts() -> None:
    total = Halting()
    total.add([np.nan, 9.0], [True, False])
    assert total.entry(full=True).thresholds[0].mean_steps == 2


def test_settled_steps_equal_a_reckoning_by_hand() -> None:
    passes = (
        # Sure at once, but the answer changes until step 3.
        (("a", "b", "b", "b"), [logit(one) for one in (0.97, 0.97, 0.97, 0.97)], (False, True, True, True)),
        # Settled from step 2 on; sure enough for a bar of 0.6 at step 3 only.
        (("c", "c", "c", "c"), [logit(one) for one in (0.02, 0.15, 0.65, 0.65)], (True, True, True, True)),
        # Never the same twice: every step is run, and the last answer is the right one.
        (("d", "e", "f", "g"), [logit(0.9995)] * 4, (False, False, False, True)),
    )
    found = {one.threshold: (one.mean_steps, one.correct, one.n) for one in settled(passes)}
    assert set(found) == set(BARS)
    assert found[0.1] == (pytest.approx((3 + 2 + 4) / 3), 3, 3)
    assert found[0.6] == (pytest.approx((3 + 3 + 4) / 3), 3, 3)
    assert found[0.95] == (pytest.approx((3 + 4 + 4) / 3), 3, 3)
    assert found[0.999] == (4, 3, 3)


def test_a_wrong_answer_that_stays_for_a_while_is_kept() -> None:
    (found,) = (
        one for one in settled([(("a", "a", "b"), [logit(0.9)] * 3, (False, False, True))]) if one.threshold == 0.5
    )
    assert (found.mean_steps, found.correct) == (2, 0)
