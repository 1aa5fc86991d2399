"""What a user asks for, checked and resolved: names to specs and cards, ``auto`` to a device, text to settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm_harness.contracts import Task
from trm_harness.environment import resolve_device
from trm_harness.errors import BadInput, UnknownName
from trm_harness.evaluate import InferencePlan
from trm_harness.plugins import near
from trm_harness.registry import Registry, default
from trm_harness.specs import ModelSpec
from trm_harness.zoo import Card, cards, find, safetensors_metadata

RUNS = Path("runs")
TORCHLESS = ("solver", "trivial", "llm")
OF_THE_PLAN = ("limit", "seed", "augment", "attempts", "steps", "halt", "halt_above")
OF_THE_PLAN += ("restarts", "noise", "select", "batch_size")


@dataclass(frozen=True)
class Choices:
    """Every choice of ``trm-harness eval``, under the names of its options; the defaults are the command's."""

    task: str
    model: str
    split: str | None = None
    limit: int | None = None
    puzzles: tuple[str, ...] = ()
    augment: int = 1
    restarts: int = 1
    noise: float = 0.0
    select: str = "mode"
    attempts: int | None = None
    steps: int | None = None
    halt: str = "full"
    halt_above: float = 0.5
    seed: int = 0
    weights: Path | None = None
    untrained: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    compiled: bool = False
    batch_size: int | None = None
    data: Path | None = None
    allow_contaminated: bool = False
    adapt: str = ""
    adapt_steps: int = 100


@dataclass(frozen=True)
class Launch:
    """Everything that makes the same task and model again; lies in a run's ``plan.json``.

    ``views`` is the kind of views that the weights want of the task: ``reference`` for a released table, which knows
    the augmentations that it was trained under and no others.
    """

    task: str
    model: str
    card: str = ""
    weights: str = ""
    data: str = ""
    untrained: bool = False
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    views: str = ""
    adapt: str = ""
    adapt_steps: int = 0
    compiled: bool = False


def stored_launch(data: Mapping[str, Any], folder: Path) -> Launch:
    """The launch that a plan holds; ``BadInput`` for a run that another program began."""
    try:
        return Launch(**data)
    except TypeError:
        raise BadInput(f"{folder} was not begun by `trm-harness eval`: resume it where it was begun") from None


def task_of(name: str, data: Path | None = None, registry: Registry | None = None, views: str = "") -> Task:
    """The task object of ``name``, reading ``data`` instead of the bundled puzzles where given.

    ``views`` is as in :class:`Launch`.
    """
    registry = registry or default()
    spec = registry.tasks.spec(name)
    if views:
        spec = dataclasses.replace(spec, options={**spec.options, "views": views})
    return registry.tasks.resolve(name)(spec, data)


def plan_of(task: Task, choices: Choices) -> InferencePlan:
    """The choices that concern inference."""
    return InferencePlan(
        split=choices.split or task.spec.default_split,
        puzzles=choices.puzzles,
        **{name: getattr(choices, name) for name in OF_THE_PLAN},
    )


def launch_of(task: Task, choices: Choices) -> Launch:
    """The choices that concern task and model, resolved; ``BadInput`` if they do not go together."""
    weights, untrained = choices.weights, choices.untrained
    if weights and untrained:
        raise BadInput("--weights and --untrained exclude each other")
    if choices.compiled and choices.adapt:
        raise BadInput("--compile and --adapt exclude each other: what is compiled does not learn")
    spec, card = _spec_and_card(choices.model, task.spec.id, search=not (weights or untrained))
    if spec.needs_weights and not (weights or untrained or card):
        raise BadInput(_no_weights(spec, task.spec.id))
    if weights and not weights.is_file():
        raise BadInput(f"weights file {weights} does not exist: check --weights")
    device = resolve_device(choices.device, uses_torch=spec.family not in TORCHLESS)
    dtype = choices.dtype
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    return Launch(
        task=task.spec.id,
        model=spec.id,
        card=card.name if card else "",
        weights=str(weights or ""),
        data=str(choices.data or ""),
        untrained=untrained,
        device=device,
        dtype=dtype,
        seed=choices.seed,
        settings=_known_settings(spec, choices.settings),
        views=_views(card, weights),
        adapt=choices.adapt,
        adapt_steps=choices.adapt_steps if choices.adapt else 0,
        compiled=choices.compiled,
    )


def settings_of(pairs: Iterable[str]) -> dict[str, Any]:
    """``key=value`` pairs of ``--set``, values as JSON where they are JSON."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"--set {pair}: use KEY=VALUE")
        try:
            settings[key] = json.loads(value)
        except (ValueError, RecursionError):
            settings[key] = value
    return settings


def new_folder(task: str, model: str) -> Path:
    """``runs/<id>``, the id made of the time, the task and the model."""
    from datetime import datetime

    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{task}-{model}".replace("/", "-")
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 1000))
    return next(RUNS / name for name in names if not (RUNS / name).exists())


def _spec_and_card(name: str, task: str, search: bool) -> tuple[ModelSpec, Card | None]:
    """The architecture behind a model's or card's name, and its card for the task if weights are to be searched."""
    from fnmatch import fnmatchcase

    registry = default()
    card = find(name, task, registry) if search else cards(registry).get(name)
    if card is None and name not in registry.models.names() and "." in name:
        architecture = name.rpartition(".")[0]
        if architecture in registry.models.names():
            raise UnknownName(f"unknown card {name!r}: `trm-harness zoo list '{architecture}.*'` shows those there are")
    spec = registry.models.spec(card.architecture if card else name)
    if not any(fnmatchcase(task, pattern) for pattern in spec.tasks):
        raise BadInput(f"model {spec.id} answers {', '.join(spec.tasks)} only, not task {task}")
    if search and card and card.source.format == "reference":
        made = f"`trm-harness zoo import {card.name}` makes weights of it"
        raise BadInput(f"card {card.name} names a checkpoint of the reference implementation: {made}")
    if search and card and card.task != task:
        raise BadInput(f"card {card.name} holds weights for task {card.task}, not {task}: --weights FILE runs any file")
    return spec, card if search else None


def _no_weights(spec: ModelSpec, task: str) -> str:
    """The ways on where the zoo has nothing."""
    return (
        f"model {spec.id} has no weights for task {task}: fetch some with `trm-harness zoo pull`, make some with "
        f"`trm-harness train --task {task} --model {spec.id}`, name a file with --weights FILE, "
        "or see it run without any by --untrained"
    )


def _views(card: Card | None, weights: Path | None) -> str:
    """The views that card or file want."""
    if card is not None:
        return str(card.encoding.get("views", ""))
    try:
        return str(json.loads(safetensors_metadata(weights).get("encoding", "{}")).get("views", "")) if weights else ""
    except (ValueError, AttributeError, RecursionError):
        # Whoever loads the file says what is wrong with it.
        return ""


def _known_settings(spec: ModelSpec, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings; ``BadInput`` for keys the model does not have."""
    for key in settings:
        if key not in spec.config:
            known = near(key, spec.config) or f": it has {', '.join(spec.config) or 'none'}"
            # Without the value: somebody may have tried to set a key.
            raise BadInput(f"--set {key}=...: model {spec.id} has no setting {key!r}{known}")
    return dict(settings)


def as_mapping(launch: Launch) -> dict[str, Any]:
    """The launch as it goes into ``plan.json``."""
    return dataclasses.asdict(launch)
