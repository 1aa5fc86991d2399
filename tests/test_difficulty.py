"""Accuracy by difficulty: bands by hand, ties kept together, facts that say nothing left out."""

from __future__ import annotations

import numpy as np
import pytest

from trm_harness.scoring.difficulty import Difficulty
from trm_harness.types import Puzzle


def difficulty(values: list[object], right: list[bool]) -> Difficulty:
    found = Difficulty()
    for place, (value, correct) in enumerate(zip(values, right, strict=True)):
        found.add(Puzzle(str(place), str(place), np.zeros((1, 1), np.uint8), facts={"rating": value}), correct)
    return found


def test_bands_are_equally_full_and_hold_their_accuracy() -> None:
    bands = difficulty(list(range(10)), [value < 5 for value in range(10)]).entries()
    assert [(band.low, band.high, band.n) for band in bands] == [(0, 1, 2), (2, 3, 2), (4, 5, 2), (6, 7, 2), (8, 9, 2)]
    assert [band.accuracy for band in bands] == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_equal_values_stay_together() -> None:
    bands = difficulty([0] * 8 + [3, 7], [True] * 8 + [False, True]).entries()
    assert [(band.low, band.high, band.n, band.correct) for band in bands] == [(0, 0, 8, 8), (3, 7, 2, 1)]
    assert sum(band.n for band in bands) == 10


@pytest.mark.parametrize("values", [[4, 4, 4], ["a", "b", "c"], [True, False, True], [(1, 2), (3, 4), (5, 6)]])
def test_facts_without_order_or_spread_give_no_bands(values: list[object]) -> None:
    assert difficulty(values, [True, False, True]).entries() == ()
