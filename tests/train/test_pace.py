"""What a training run tells on its way: the pace leaves out the first step, which compiles and draws."""

from __future__ import annotations

import pytest

from trm_harness.train.progress import Means

ROW = {"loss": 1.0, "exact_accuracy": 0.5, "accuracy": 0.9, "steps": 2.0}


def test_the_first_step_says_nothing_of_the_pace() -> None:
    times = iter([0.0, 100.0, 104.0, 104.0, 104.0])
    means = Means(102, clock=lambda: next(times))
    means.add({**ROW, "step": 1})
    assert not means.counts()
    means.add({**ROW, "step": 2})
    assert means.counts()
    assert means.age() == pytest.approx(4.0)
    assert "0.25 steps/s  6 min 40 s left" in means.text()
