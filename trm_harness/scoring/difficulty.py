"""Accuracy by difficulty: what the task knows of each puzzle (rating, path length, clues), cut into bands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trm_harness.record import DifficultyEntry
from trm_harness.types import Puzzle, plain

BANDS = 5
"""Bands at most; about equally full, but puzzles of one value are never torn apart."""


@dataclass
class Difficulty:
    """Numeric facts of the puzzles and whether the single pass was right: lists to add to, or whole arrays."""

    values: Mapping[str, Any] = field(default_factory=lambda: defaultdict(list))
    right: Mapping[str, Any] = field(default_factory=lambda: defaultdict(list))

    def add(self, puzzle: Puzzle, right: bool) -> None:
        """Count one puzzle in, under each of its facts that is a number."""
        for name, value in plain(puzzle.facts).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self.values[name].append(float(value))
                self.right[name].append(right)

    def entries(self) -> tuple[DifficultyEntry, ...]:
        """Every fact's bands, from its lowest values to its highest; none for a fact that all puzzles share."""
        return tuple(entry for name in self.values for entry in self._bands(name))

    def _bands(self, name: str) -> Iterator[DifficultyEntry]:
        values, right = np.array(self.values[name], float), np.array(self.right[name])
        # Inner edges are values of the set itself: a puzzle belongs to the band whose edge is at or above it.
        edges = np.unique(np.quantile(values, np.arange(1, BANDS) / BANDS, method="lower"))
        band = np.searchsorted(edges, values)
        found = np.unique(band)
        if len(found) < 2:
            return
        for place in found:
            inside = values[band == place]
            correct = int(right[band == place].sum())
            yield DifficultyEntry(
                fact=name,
                low=float(inside.min()),
                high=float(inside.max()),
                n=len(inside),
                correct=correct,
                accuracy=correct / len(inside),
            )
