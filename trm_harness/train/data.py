"""Training batches by step number. A batch is a function of (seed, step), so workers may make it ahead of time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_start_method
from threading import Thread

import numpy as np
from torch.utils.data import DataLoader, Dataset

from trm_harness.contracts import TrainingRows, TrainingSource
from trm_harness.inference.interrupt import leave_stopping_to_parent
from trm_harness.machine import cores
from trm_harness.train.recipe import Recipe

AHEAD = 4
"""Batches that each worker keeps ready."""

WAITED = 0.02
"""Share of the time that a training may wait for batches drawn in its own process."""

WAITED_SECONDS = 1.0
"""What it may wait in any case: a process is not worth starting for less."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A global batch and the bucket of equal lengths that it is from."""

    bucket: str
    rows: TrainingRows


class Draws(Dataset):
    """``draws[step]`` is the global batch of optimizer step ``step`` (counted from 1)."""

    def __init__(self, source: TrainingSource, recipe: Recipe) -> None:
        self.source, self.recipe, self.seed, self.size = source, recipe, recipe.seed, recipe.batch_size

    def __getitem__(self, step: int) -> Drawn:
        random = np.random.Generator(np.random.Philox(key=[self.seed, step]))
        stage, _ = self.recipe.stage_at(step)
        # Stages of a mixture may have shares of their own.
        buckets = self.source.mixed(stage.shares) if stage.shares else self.source.buckets
        bucket = str(random.choice(list(buckets), p=list(buckets.values())))
        return Drawn(bucket, self.source.draw(bucket, step, self.size))


def batches(draws: Draws, first: int, last: int, workers: int | None) -> Iterator[Drawn]:
    """The batches of steps ``first..last``, made by ``workers`` processes ahead of time (0: here, one by one).

    ``None`` draws here for as long as that takes next to no time, and leaves it to a process from then on.
    """
    steps = range(first, last + 1)
    if workers is None:
        return _as_needed(draws, steps)
    return _ahead(draws, steps, workers) if workers and steps else (draws[step] for step in steps)


def _as_needed(draws: Draws, steps: range) -> Iterator[Drawn]:
    """Each step's batch, drawn here until the caller has waited more than :data:`WAITED` for it."""
    # Elsewhere a process starts from nothing, takes seconds and may not get at what a session registered.
    may_share = get_start_method() == "fork" and cores() > 1
    waited, began = 0.0, time.monotonic()
    for step in steps:
        asked = time.monotonic()
        if may_share and waited > max(WAITED_SECONDS, WAITED * (asked - began)):
            yield from _ahead(draws, range(step, steps.stop), 1)
            return
        drawn = draws[step]
        waited += time.monotonic() - asked
        yield drawn


def _ahead(draws: Draws, steps: range, workers: int) -> Iterator[Drawn]:
    loader = DataLoader(
        draws,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
    )
    return iter(loader)


def _begin(worker: int) -> None:
    leave_stopping_to_parent()
    # Without it (macOS) nobody can tell who sent a signal, and torch's own handler stays.
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process at the first SIGTERM from its parent, and let those of others pass.

    `timeout` and batch systems tell a whole group, whose first process is still to save. The parent sends one where its
    loader is still open at its exit, and waits: the exit code 0 keeps torch from calling that a failure.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _as_it_is(drawn: Drawn) -> Drawn:
    return drawn
