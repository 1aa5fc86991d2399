"""Recipes: everything that decides what a training run does, read from TOML."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from trm_harness.errors import BadInput, check_count
from trm_harness.files.read import read_toml
from trm_harness.nn.losses import LOSSES
from trm_harness.types import plain

CHOICES: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("adamatan2", "muon"),
    "loss": tuple(LOSSES),
    "dtype": ("float32", "bfloat16"),
}
"""Settings with few values."""

_NOT_NEGATIVE = (
    "weight_decay",
    "table_lr",
    "table_weight_decay",
    "validate_every",
    "validation_limit",
    "patience",
    "auxiliary_weight",
    "stay_right",
)

_BELOW_ONE = ("ema_rate", "beta1", "beta2")
_SHARES = ("halt_exploration", "deep_share")

_WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


@dataclass(frozen=True)
class Stage:
    """A stretch of ``steps`` optimizer steps.

    The learning rate goes from ``lr`` to ``lr_end`` along a cosine after ``warmup`` steps of linear rise. ``h_cycles``
    and ``l_cycles`` replace the model's own (0 keeps them): early training may think less, which costs less.
    ``supervision_steps`` bounds how long a row stays. ``shares`` are those of the recipe's parts while the stage lasts
    (empty: their own): so one run leads from small boards to large ones.
    """

    steps: int
    lr: float
    lr_end: float
    warmup: int = 0
    h_cycles: int = 0
    l_cycles: int = 0
    supervision_steps: int = 16
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A source of a mixture: draws from ``task`` with weight ``share``, from the files in ``data`` if given.

    ``source`` are options of the task's training source. ``name`` is what stages and validations call it (the task, if
    it says nothing). With ``validate`` the run validates on its held-out puzzles too; the last such part is the one
    whose ``exact`` chooses the best weights.
    """

    task: str
    share: float = 1.0
    name: str = ""
    data: str = ""
    validate: bool = True
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.task)
        if not 0 <= self.share < math.inf or "/" in self.name:
            raise BadInput(f"recipe: part {self.name!r}: share must be a number from 0 up, and the name without /")


@dataclass(frozen=True)
class Recipe:
    """Settings of a run. ``source`` are options of the task's training source; ``model`` overrides of its config.

    ``optimizer`` is ``adamatan2`` (the published one) or ``muon``: Muon for the matrices of the blocks and AdamATan2
    for the rest. ``table_lr`` and ``table_weight_decay`` are those of the puzzle table's sign-SGD;
    ``halt_exploration`` is the share of rows that must think for a random minimum of steps, ``deep_share`` of those
    that may not halt by themselves at all: they leave by chance, at every depth alike. Where a row was right a step
    before, the loss of its answer counts 1 + ``stay_right`` times, so that what was found is kept.
    ``auxiliary_weight`` is that of the loss of auxiliary labels, where the source has some and the network a head for
    them. ``ema_rate`` 0 trains without an average. ``accumulate`` cuts the global batch of ``batch_size`` into so many
    micro-batches, which changes memory and nothing else. With ``parts`` examples come from several tasks or files
    (``source`` is then unused).

    Every ``validate_every`` steps (0: never) the average weights answer the first ``validation_limit`` held-out puzzles
    (0: all of them); ``patience`` stops after so many validations without a better one (0: never).
    """

    stages: tuple[Stage, ...]
    parts: tuple[Part, ...] = ()
    batch_size: int = 768
    optimizer: str = "adamatan2"
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    table_lr: float = 1e-2
    table_weight_decay: float = 0.1
    ema_rate: float = 0.999
    halt_exploration: float = 0.1
    deep_share: float = 0.0
    stay_right: float = 0.0
    auxiliary_weight: float = 0.3
    loss: str = "stablemax_cross_entropy"
    dtype: str = "bfloat16"
    seed: int = 0
    compile: bool = False
    accumulate: int = 1
    validate_every: int = 0
    validation_limit: int = 0
    patience: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise BadInput(f"recipe: {name} {getattr(self, name)!r} is unknown: use one of {', '.join(known)}")
        counts = [("batch_size", self.batch_size), ("accumulate", self.accumulate)]
        counts += [(name, getattr(stage, name)) for stage in self.stages for name in ("steps", "supervision_steps")]
        for name, value in counts:
            if value < 1:
                raise BadInput(f"recipe: {name} must be at least 1, not {value}")
        rates = [(name, getattr(self, name)) for name in _NOT_NEGATIVE]
        rates += [
            (name, getattr(s, name)) for s in self.stages for name in ("lr", "lr_end", "warmup", "h_cycles", "l_cycles")
        ]
        for name, value in rates:
            if not 0 <= value < math.inf:
                raise BadInput(f"recipe: {name} must be a number from 0 up, not {value}")
        for name in _BELOW_ONE:
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"recipe: {name} must be from 0 up and below 1, not {getattr(self, name)}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"recipe: {name} is a share of the rows, from 0 to 1, not {getattr(self, name)}")
        self._check_parts()
        check_count("recipe: seed", self.seed)
        for stage in self.stages:
            check_count("recipe: steps", stage.steps)
        if self.batch_size % self.accumulate:
            raise BadInput(f"recipe: accumulate {self.accumulate} must divide batch_size {self.batch_size}")

    def _check_parts(self) -> None:
        own = {part.name: part.share for part in self.parts}
        if len(own) < len(self.parts):
            raise BadInput(f"recipe: parts {', '.join(part.name for part in self.parts)}: give each a name of its own")
        for stage in self.stages:
            unknown = sorted(set(stage.shares) - set(own))
            if unknown:
                raise BadInput(f"recipe: shares name part {unknown[0]!r}: there are {', '.join(own) or 'none'}")
            shares = (stage.shares or own).values()
            if not all(isinstance(share, int | float) and 0 <= share < math.inf for share in shares):
                raise BadInput(f"recipe: shares must be numbers from 0 up, not {list(shares)}")
            if self.parts and not sum(shares):
                raise BadInput("recipe: every stage needs a part with a share above 0")

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
    return recipe_from_mapping(read_toml(path, "the recipe"), str(path))


def with_settings(
    recipe: Recipe,
    settings: Sequence[str],
    steps: int | None = None,
    seed: int | None = None,
    option: str = "--set",
) -> Recipe:
    """The recipe with ``KEY=VALUE`` settings of ``option`` over it, values as in TOML or bare words.

    ``stage.2.lr`` is the second stage's rate, ``stage.lr`` and ``lr`` every stage's; ``source.x`` and ``model.x`` reach
    into the tables. ``steps`` stretches or shortens all stages alike to that total. ``BadInput`` names what is wrong.
    """
    data = recipe.as_dict()
    for name in ("stages", "parts"):
        data[name] = [dict(one) for one in data[name]]
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise BadInput(f"{option} {setting}: must be KEY=VALUE, for example batch_size=64")
        for table, name in _places(data, key):
            table[name] = toml_value(text)
    if seed is not None:
        data["seed"] = seed
    changed = recipe_from_mapping(data, option)
    return changed if steps is None else _scaled(changed, steps)


def toml_value(text: str) -> Any:
    """``text`` as a TOML value, or itself where it is none."""
    try:
        found = tomllib.loads(f"value = {text}")
        return found["value"] if len(found) == 1 else text
    except (ValueError, RecursionError):  # numbers of thousands of digits are plain ValueErrors
        return text


def _places(data: dict[str, Any], key: str) -> list[tuple[dict[str, Any], str]]:
    """Tables and names that a dotted key of ``--set`` means."""
    head, *rest = key.split(".")
    if head in ("source", "model") and rest:
        data[head] = table = dict(data[head])
        for part in rest[:-1]:
            table[part] = table = dict(table.get(part, {}))
        return [(table, rest[-1])]
    if head in ("stage", "part") and rest:
        stages = data[f"{head}s"]
        if len(rest) == 1:
            return [(stage, rest[0]) for stage in stages]
        if rest[0].isdecimal() and 1 <= int(rest[0]) <= len(stages) and len(rest) == 2:
            return [(stages[int(rest[0]) - 1], rest[1])]
        raise BadInput(
            f"--set {key}: there is no such {head}: use {head}.1 to {head}.{len(stages)}, or {head}.{rest[-1]}"
        )
    if key == "steps":
        raise BadInput("--set steps: use --steps N, which stretches all stages alike, or --set stage.1.steps=N for one")
    if key in {f.name for f in fields(Stage)} - {f.name for f in fields(Recipe)}:
        return [(stage, key) for stage in data["stages"]]
    return [(data, key)]


def _scaled(recipe: Recipe, steps: int) -> Recipe:
    """The recipe over ``steps`` steps in all, every stage and warm-up in proportion and at least one step long."""
    if steps < len(recipe.stages):
        raise BadInput(f"--steps {steps}: the recipe has {len(recipe.stages)} stages, which need a step each")
    factor, left, stages = steps / recipe.total_steps, steps, []
    for index, stage in enumerate(recipe.stages, start=1):
        behind = len(recipe.stages) - index
        count = min(max(1, round(stage.steps * factor)), left - behind) if behind else left
        left -= count
        stages.append(dataclasses.replace(stage, steps=count, warmup=round(stage.warmup * count / stage.steps)))
    return dataclasses.replace(recipe, stages=tuple(stages))


def recipe_from_mapping(data: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from plain data; ``where`` names it in errors."""
    values = plain(data)
    listed = values.pop("stage", values.pop("stages", []))
    if not listed or not isinstance(listed, list | tuple) or not all(isinstance(stage, Mapping) for stage in listed):
        raise BadInput(f"{where}: has no [[stage]]: add one with steps, lr and lr_end")
    stages = tuple(Stage(**_known(Stage, stage, f"{where} [[stage]]")) for stage in listed)
    mixed = values.pop("part", values.pop("parts", []))
    if not isinstance(mixed, list | tuple) or not all(isinstance(part, Mapping) for part in mixed):
        raise BadInput(f"{where}: parts must be [[part]] tables with a task each")
    parts = tuple(Part(**_known(Part, part, f"{where} [[part]]")) for part in mixed)
    return Recipe(stages=stages, parts=parts, **_known(Recipe, values, where))


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
