"""What the halting head is worth: its calibration, and the steps it would save. From single passes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trm_harness.record import CalibrationBin, HaltingEntry, ThresholdEntry
from trm_harness.scoring.vote import sigmoid

BINS = 10
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
BARS = (0.01, 0.05, *THRESHOLDS)
"""Halting scores that settled halting may ask for beside an answer that stays."""

_LOGITS = np.log(np.array(THRESHOLDS) / (1 - np.array(THRESHOLDS)))


def _zeros() -> NDArray[np.int64]:
    return np.zeros(len(THRESHOLDS), dtype=np.int64)


@dataclass
class Halting:
    """Sums over single passes. ``stopped`` and ``kept`` are steps and right answers had it halted at each threshold."""

    steps: list[int] | NDArray[np.int32] = field(default_factory=list)
    halts: list[float] | NDArray[np.float64] = field(default_factory=list)
    exact: list[bool] | NDArray[np.bool_] = field(default_factory=list)
    stopped: NDArray[np.int64] = field(default_factory=_zeros)
    kept: NDArray[np.int64] = field(default_factory=_zeros)

    def add(self, halts: Sequence[float], right: Sequence[bool]) -> None:
        """One puzzle: logits of its steps, and whether each step's answer was right (empty: nobody here knows)."""
        self.steps.append(len(halts))
        self.halts.append(halts[-1])
        if not right:
            return
        self.exact.append(right[-1])
        above = np.array(halts) > _LOGITS[:, None]
        stops = np.where(above.any(1), above.argmax(1), len(halts) - 1)
        self.stopped += stops + 1
        self.kept += np.array(right)[stops]

    def count(self, halts: NDArray[np.float64], right: NDArray[np.bool_]) -> None:
        """What halting at each threshold had done to many passes of one length, ``[passes, steps]``."""
        # The largest logit so far: it passes a threshold when the first one does, and fmax skips what is no number.
        peaks, rows = np.fmax.accumulate(halts, axis=1), np.arange(len(halts))
        for index, logit in enumerate(_LOGITS):
            stops = np.minimum((~(peaks > logit)).sum(axis=1), halts.shape[1] - 1)
            self.stopped[index] += int(stops.sum()) + len(stops)
            self.kept[index] += int(right[rows, stops].sum())

    def entry(self, full: bool) -> HaltingEntry:
        """Halting statistics; calibration only where every answer is known, thresholds only if every step was run."""
        logits, n = np.array(self.halts), len(self.steps)
        bins = calibration(sigmoid(logits), np.array(self.exact)) if len(self.exact) == n else ()
        gap = sum(entry.n * abs(entry.confidence - entry.accuracy) for entry in bins) / n if bins else None
        thresholds = self._thresholds() if full and len(self.exact) and np.max(self.steps) > 1 else ()
        equal = [entry for entry in thresholds if entry.correct >= np.sum(self.exact)]
        return HaltingEntry(
            n=n,
            mean_steps=float(np.mean(self.steps)),
            share_halted=float(np.mean(logits > 0)),
            calibration=bins,
            calibration_error=gap,
            thresholds=thresholds,
            equal_accuracy=min(equal, key=lambda entry: entry.mean_steps, default=None),
        )

    def _thresholds(self) -> tuple[ThresholdEntry, ...]:
        n = len(self.exact)
        sums = zip(THRESHOLDS, self.stopped.tolist(), self.kept.tolist(), strict=True)
        return tuple(
            ThresholdEntry(threshold=threshold, n=n, mean_steps=steps / n, correct=right, accuracy=right / n)
            for threshold, steps, right in sums
        )


def settled(passes: Iterable[tuple[Sequence[object], Sequence[float], Sequence[bool]]]) -> tuple[ThresholdEntry, ...]:
    """What passes of full depth would be, had each stopped where its answer repeats with a halting score above a bar.

    A pass is the answers, halting logits and correctness of its steps. One entry for each of :data:`BARS`.
    """
    logits, stopped, kept, n = np.log(np.array(BARS) / (1 - np.array(BARS))), np.zeros(len(BARS), int), Counter(), 0
    for answers, halts, right in passes:
        same = np.array([False, *(one == before for before, one in pairwise(answers))])
        stops = same & (np.array(halts) > logits[:, None])
        last = np.where(stops.any(1), stops.argmax(1), len(halts) - 1)
        stopped += last + 1
        kept.update(index for index, step in enumerate(last.tolist()) if right[step])
        n += 1
    return tuple(
        ThresholdEntry(
            threshold=bar, n=n, mean_steps=int(stopped[index]) / n, correct=kept[index], accuracy=kept[index] / n
        )
        for index, bar in enumerate(BARS)
    )


def calibration(confidence: NDArray[np.float64], exact: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    """Confidence against accuracy in equal bins; empty ones are left out."""
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        CalibrationBin(
            low=place / BINS,
            high=(place + 1) / BINS,
            n=int((index == place).sum()),
            confidence=float(confidence[index == place].mean()),
            accuracy=float(exact[index == place].mean()),
        )
        for place in np.unique(index).tolist()
    )
