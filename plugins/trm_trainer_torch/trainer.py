"""The plain torch trainer: one process, the shared loop, the plain engine."""

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
    """Train to the recipe's end or for ``seconds``; see :func:`trm_harness.train.loop.fit` for what lies in ``out``."""
    learner = Learner(model, source, recipe)
    started(0)
    settings = dataclasses.replace(settings or Settings(), seconds=seconds)
    return fit(learner, out, resume=resume, validate=validate, settings=settings, watch=Watch(report, say))
