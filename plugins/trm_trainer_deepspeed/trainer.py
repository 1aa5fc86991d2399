"""The DeepSpeed trainer: the shared loop, DeepSpeed's engine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trm_harness.contracts import Trainable, TrainingSource
from trm_harness.train.learner import Learner
from trm_harness.train.loop import Settings, Validate, Watch, fit
from trm_harness.train.recipe import Recipe
from trm_trainer_deepspeed.config import read_config
from trm_trainer_deepspeed.engine import DeepSpeedEngine


def train(
    model: Trainable,
    source: TrainingSource,
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    seconds: float = math.inf,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
    say: Callable[[str], None] = lambda message: None,
    validate: Validate | None = None,
    settings: Settings | None = None,
    started: Callable[[int], None] = lambda rank: None,
) -> dict[str, Any]:
    """Train as one of the processes that a launcher started, or alone; see :func:`trm_harness.train.loop.fit`."""
    settings = dataclasses.replace(settings or Settings(), seconds=seconds)
    where = str(settings.engine.get("config", ""))
    engine = DeepSpeedEngine(model.network, recipe, read_config(where), where or "DeepSpeed")
    learner = Learner(model, source, recipe, engine)
    started(engine.rank)
    watch = Watch(report, say if engine.rank == 0 else lambda message: None)
    done = fit(learner, out, resume=resume, validate=validate, settings=settings, watch=watch)
    engine.leave()
    return done | {"rank": engine.rank, "zero_stage": engine.stage}
