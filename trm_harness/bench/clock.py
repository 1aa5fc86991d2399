"""Repeats by turns: whoever is measured beside another meets the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from trm_harness.progress import progress, say

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """``seconds`` of every repeat, in order: of the wall clock, or of the CPU where one thread does all."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, which a single disturbance does not move."""
        return median(self.seconds)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "median_s": self.median,
            "low_s": min(self.seconds),
            "high_s": max(self.seconds),
            "seconds": self.seconds,
        }


def by_turns(
    work: Mapping[str, Work],
    repeats: int,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    tell: Callable[[str], None] = say,
) -> dict[str, Timing]:
    """Each one once unmeasured, then all of them ``repeats`` times in turn.

    ``wait`` returns when the device has nothing left to do; ``clock``, in seconds, is read after it. ``tell`` is told
    what is being warmed up.
    """
    for name, one in work.items():
        tell(f"once unmeasured: {name}")
        one()
    wait()
    taken: dict[str, list[float]] = {name: [] for name in work}
    with progress("turns") as show:
        for turn in range(repeats):
            show(turn, repeats)
            for name, one in work.items():
                began = clock()
                one()
                wait()
                taken[name].append(clock() - began)
    return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}


def ratio(first: Timing, second: Timing) -> float:
    """How many times as long ``second`` took as ``first``: the median over the turns, each its own comparison."""
    return median(b / a for a, b in zip(first.seconds, second.seconds, strict=True))
