"""Recipes: everything that decides what a training run does, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from trm_harness.errors import BadInput

OPTIMIZERS = ("adamatan2", "muon")


@dataclass(frozen=True)
class Stage:
    """A stretch of ``steps`` optimizer steps.

    The learning rate goes from ``lr`` to ``lr_end`` along a cosine after ``warmup`` steps of linear rise. ``h_cycles``
    and ``l_cycles`` replace the model's own (0 keeps them): early training may think less, which costs less.
    ``supervision_steps`` bounds how long a row stays.
    """

    steps: int
    lr: float
    lr_end: float
    warmup: int = 0
    h_cycles: int = 0
    l_cycles: int = 0
    supervision_steps: int = 16


@dataclass(frozen=True)
class Recipe:
    """Settings of a run. ``source`` are options of the task's training source; ``model`` overrides of its config.

    ``optimizer`` is ``adamatan2`` (the published one) or ``muon``: Muon for the matrices of the blocks and AdamATan2
    for the rest. ``table_lr`` and ``table_weight_decay`` are those of the puzzle table's sign-SGD;
    ``halt_exploration`` is the share of rows that must think for a random minimum of steps.
    """

    stages: tuple[Stage, ...]
    batch_size: int = 768
    optimizer: str = "adamatan2"
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    table_lr: float = 1e-2
    table_weight_decay: float = 0.1
    ema_rate: float = 0.999
    halt_exploration: float = 0.1
    loss: str = "stablemax_cross_entropy"
    dtype: str = "bfloat16"
    seed: int = 0
    compile: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise BadInput(f"recipe: optimizer {self.optimizer!r} is unknown: use one of {', '.join(OPTIMIZERS)}")

    @property
    def total_steps(self) -> int:
        """Optimizer steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """Stage of optimizer step ``step`` (counted from 1) and the step's place in it (from 1)."""
        place = step
        for stage in self.stages:
            if place <= stage.steps:
                return stage, place
            place -= stage.steps
        return self.stages[-1], self.stages[-1].steps

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return asdict(self)


def read_recipe(path: Path) -> Recipe:
    """Read a TOML recipe. ``BadInput`` names an unreadable file, an unknown key or a missing stage."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): give an existing recipe file") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: is no TOML ({error}): mend the recipe") from error
    return recipe_from_mapping(data, str(path))


def recipe_from_mapping(data: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from plain data; ``where`` names it in errors."""
    values = dict(data)
    listed = values.pop("stage", values.pop("stages", []))
    if not listed:
        raise BadInput(f"{where}: has no [[stage]]: add one with steps, lr and lr_end")
    stages = tuple(Stage(**_known(Stage, stage, f"{where} [[stage]]")) for stage in listed)
    return Recipe(stages=stages, **_known(Recipe, values, where))


def _known(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    for name in values:
        if name not in names:
            raise BadInput(f"{where}: unknown key {name!r}: known are {', '.join(names)}")
    return dict(values)
