"""Training batches by step number. A batch is a function of (seed, step), so workers may make it ahead of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader, Dataset

from trm_harness.contracts import TrainingRows, TrainingSource
from trm_harness.train.recipe import Recipe

AHEAD = 4
"""Batches that each worker keeps ready."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A global batch and the bucket of equal lengths that it is from."""

    bucket: str
    rows: TrainingRows


class Draws(Dataset):
    """``draws[step]`` is the global batch of optimizer step ``step`` (counted from 1)."""

    def __init__(self, source: TrainingSource, recipe: Recipe) -> None:
        self.source, self.seed, self.size = source, recipe.seed, recipe.batch_size

    def __getitem__(self, step: int) -> Drawn:
        random = np.random.Generator(np.random.Philox(key=[self.seed, step]))
        bucket = str(random.choice(list(self.source.buckets), p=list(self.source.buckets.values())))
        return Drawn(bucket, self.source.draw(bucket, step, self.size))


def batches(draws: Draws, first: int, last: int, workers: int) -> Iterator[Drawn]:
    """The batches of steps ``first..last``, made by ``workers`` processes ahead of time (0: here, one by one)."""
    steps = range(first, last + 1)
    if not workers or not steps:
        return (draws[step] for step in steps)
    loader = DataLoader(
        draws, batch_size=None, sampler=steps, num_workers=workers, prefetch_factor=AHEAD, collate_fn=_as_it_is
    )
    return iter(loader)


def _as_it_is(drawn: Drawn) -> Drawn:
    return drawn
