"""Recipes: everything that decides what a training run does, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from trm_harness.errors import BadInput
from trm_harness.nn.losses import LOSSES

CHOICES: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("adamatan2", "muon"),
    "loss": tuple(LOSSES),
    "dtype": ("float32", "bfloat16"),
}
"""Settings with few values."""

_WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


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
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise BadInput(f"recipe: {name} {getattr(self, name)!r} is unknown: use one of {', '.join(known)}")
        counts = [("batch_size", self.batch_size)]
        counts += [(name, getattr(stage, name)) for stage in self.stages for name in ("steps", "supervision_steps")]
        for name, value in counts:
            if value < 1:
                raise BadInput(f"recipe: {name} must be at least 1, not {value}")

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
    """Read a TOML recipe. ``BadInput`` names an unreadable file, a missing stage, or the key that is wrong."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): give an existing recipe file") from error
    except ValueError as error:  # bad UTF-8 is one too
        raise BadInput(f"{path}: is no TOML ({error}): mend the recipe") from error
    return recipe_from_mapping(data, str(path))


def recipe_from_mapping(data: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from plain data; ``where`` names it in errors."""
    values = dict(data)
    listed = values.pop("stage", values.pop("stages", []))
    if not listed or not isinstance(listed, list | tuple) or not all(isinstance(stage, Mapping) for stage in listed):
        raise BadInput(f"{where}: has no [[stage]]: add one with steps, lr and lr_end")
    stages = tuple(Stage(**_known(Stage, stage, f"{where} [[stage]]")) for stage in listed)
    return Recipe(stages=stages, **_known(Recipe, values, where))


def _known(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    for name in values:
        if name not in names:
            raise BadInput(f"{where}: unknown key {name!r}: known are {', '.join(names)}")
    for f in fields(kind):
        if f.name not in values and f.name != "stages" and f.default is f.default_factory is MISSING:
            raise BadInput(f"{where}: key {f.name!r} is missing")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise BadInput(f"{where}: {name} must be {_WORDS.get(hints[name], 'a table')}, not {value!r}")
    return dict(values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a TOML value is of a setting's kind; whole numbers do for numbers, and no truth value for either."""
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, hint if hint in _WORDS else Mapping)
