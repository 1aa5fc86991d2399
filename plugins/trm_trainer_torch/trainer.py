"""The plain torch trainer: one process, the shared loop, the plain engine."""

from __future__ import annotations

from trm_harness.train.loop import fit_job
from trm_harness.train.trainer import TrainerJob, TrainResult


def train(job: TrainerJob) -> TrainResult:
    """Train to the recipe's end or until time is over; see :func:`trm_harness.train.loop.fit` for what it leaves."""
    return fit_job(job)
