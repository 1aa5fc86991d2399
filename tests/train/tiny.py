"""A model and a recipe that train in seconds, for every test of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from trm_harness import registry
from trm_harness.contracts import ModelRequest, Trainable, TrainingSource
from trm_harness.train.recipe import Recipe, Stage

TINY = {"hidden_size": 32, "heads": 2, "layers": 1, "h_cycles": 2, "l_cycles": 2, "supervision_steps": 4}

RECIPE = """
batch_size = 16
ema_rate = 0.9
dtype = "float32"
halt_exploration = 0.3
validate_every = 10
validation_limit = 20
seed = 3

[model]
hidden_size = 32
heads = 2
layers = 1
supervision_steps = 4

[[stage]]
steps = 10
lr = 2e-3
lr_end = 2e-3
warmup = 3
supervision_steps = 2

[[stage]]
steps = 20
lr = 2e-3
lr_end = 1e-4
supervision_steps = 4
"""
"""As a file: what the command line is given."""


def parts(recipe: Recipe, model: str = "trm-nano", task: str = "sudoku-4x4") -> tuple[Trainable, TrainingSource]:
    """A fresh tiny model and the task's training source."""
    names = registry.default()
    task_spec, spec = names.tasks.spec(task), names.models.spec(model)
    source = names.tasks.resolve(task)(task_spec, None).training_source(recipe.seed, {}, recipe.source)
    small = {key: value for key, value in TINY.items() if key in spec.config}
    spec = replace(spec, config={**spec.config, **small, **recipe.model})
    request = ModelRequest(spec, task_spec, dtype=recipe.dtype, seed=recipe.seed, identities=source.identities)
    return registry.import_target(spec.trainable)(request), source


def recipe(**changes: Any) -> Recipe:
    """Two stages of ten steps in all."""
    stages = (
        Stage(steps=4, lr=1e-3, lr_end=1e-3, warmup=2, h_cycles=1, l_cycles=1, supervision_steps=3),
        Stage(steps=6, lr=1e-3, lr_end=1e-4, supervision_steps=4),
    )
    plain = Recipe(stages=stages, batch_size=8, ema_rate=0.9, dtype="float32", halt_exploration=0.3)
    return replace(plain, **changes)


def recipe_file(folder: Path, text: str = RECIPE) -> Path:
    """:data:`RECIPE` (or another text) as a file in ``folder``."""
    path = folder / "recipe.toml"
    path.write_text(text)
    return path
