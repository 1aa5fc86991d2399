"""From many views' answers to a ranked list of candidates. Pure and replayable: the same rows give the same list.

Ranking follows the reference's ARC evaluator (``parity/arc_eval``): number of votes first, then the mean sigmoid of
the halting logits in float64, both descending; exact ties keep the order in which the answers first appeared. That is
``mode``; ``halt`` ranks by the surest single answer instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from trm_harness.types import Candidate, Grid


def tally(rows: Iterable[tuple[Grid, float]]) -> list[Candidate]:
    """Ranked candidates of one puzzle from ``(answer, halting logit)`` rows in stream order.

    Answers are ``uint8 [height, width]`` grids in the puzzle's own frame; equal shape and values make one candidate,
    and an empty ``(0, 0)`` grid is a candidate like any other. Views without an answer are left out by the caller.
    A NaN logit counts as an unfinished answer (sigmoid 0), so that it can never win a tie.
    """
    places: dict[tuple[tuple[int, ...], bytes], int] = {}
    answers: list[Grid] = []
    first_seen: list[int] = []
    index: list[int] = []
    logits: list[float] = []
    for position, (answer, logit) in enumerate(rows):
        # Bytes alone would take 2x3 and 3x2 grids of the same cells for one answer.
        grid = np.asarray(answer, dtype=np.uint8)
        place = places.setdefault((grid.shape, grid.tobytes()), len(answers))
        if place == len(answers):
            answers.append(grid)
            first_seen.append(position)
        index.append(place)
        logits.append(logit)
    votes, halts, peaks = _totals(index, logits, len(answers))
    # Python's sort is stable, which is what keeps exact ties in their first order.
    order = sorted(range(len(answers)), key=lambda place: (-votes[place], -halts[place]))
    return [
        Candidate(answers[place], int(votes[place]), float(halts[place]), first_seen[place], float(peaks[place]))
        for place in order
    ]


def ranked(candidates: Sequence[Candidate], select: str) -> list[Candidate]:
    """The candidates of :func:`tally` in the order of ``select``: ``mode`` as they stand, ``halt`` by highest logit.

    With ``halt`` the first candidate is what the one view with the highest halting logit answered; exact ties keep the
    order of first appearance.
    """
    if select == "mode":
        return list(candidates)
    return sorted(candidates, key=lambda candidate: (-candidate.peak, candidate.first_seen))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / (1 + exp(-x))`` in float64, elementwise; NaN gives 0."""
    with np.errstate(over="ignore"):
        values = 1.0 / (1.0 + np.exp(-np.asarray(logits, dtype=np.float64)))
    return np.where(np.isnan(values), 0.0, values)


def _totals(
    index: list[int], logits: list[float], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Votes, mean sigmoid and highest logit per candidate."""
    peaks = np.full(count, -np.inf)
    if not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0), peaks
    values = np.asarray(logits, dtype=np.float64)
    # fmax passes over what is not a number.
    np.fmax.at(peaks, index, values)
    votes = np.bincount(index, minlength=count)
    # bincount adds one weight after the other, as the reference does: the sums agree to the last bit.
    return votes, np.bincount(index, weights=sigmoid(values), minlength=count) / votes, peaks
