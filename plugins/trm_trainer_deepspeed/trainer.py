"""The DeepSpeed trainer: the shared loop, DeepSpeed's engine."""

from __future__ import annotations

import dataclasses

from trm_harness.train.loop import fit_job
from trm_harness.train.trainer import TrainerJob, TrainResult
from trm_trainer_deepspeed.config import read_config
from trm_trainer_deepspeed.engine import DeepSpeedEngine


def train(job: TrainerJob) -> TrainResult:
    """Train as one of the processes that a launcher started, or alone; see :func:`trm_harness.train.loop.fit`."""
    where = str(job.settings.engine.get("config", ""))
    engine = DeepSpeedEngine(job.model.network, job.recipe, read_config(where), where or "DeepSpeed")
    done = fit_job(job, engine)
    engine.leave()
    return dataclasses.replace(done, own={"rank": engine.rank, "zero_stage": engine.stage})
