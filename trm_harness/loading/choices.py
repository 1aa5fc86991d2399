"""What a user asks for, checked and resolved: names to specs and cards, ``auto`` to a device, text to settings."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from trm_harness.contracts import Model, Task
from trm_harness.errors import BadInput, UnknownName
from trm_harness.files.names import RUNS
from trm_harness.files.paths import absolute
from trm_harness.inference import InferencePlan
from trm_harness.machine import resolve_device, usual_dtype
from trm_harness.plugins.host import near
from trm_harness.record import read
from trm_harness.registry import Registry, default
from trm_harness.specs import ModelSpec
from trm_harness.types import plain
from trm_harness.zoo import Card, Learning, cards, find, safetensors_metadata

ADAPT_STEPS, ADAPT_LR = 100, 1e-4
"""Steps and the network's rate for learning a task, where neither the user nor the card says others."""

TORCHLESS = ("solver", "trivial", "llm")
_PLANNED = {field.name for field in dataclasses.fields(InferencePlan)}


@dataclass(frozen=True)
class Choices:
    """Every choice of ``trm-harness eval``; those that concern inference are the ``plan``."""

    task: str
    model: str
    plan: InferencePlan = field(default_factory=InferencePlan)
    weights: Path | None = None
    untrained: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    compiled: bool = False
    data: Path | None = None
    allow_contaminated: bool = False
    adapt: str = ""
    adapt_steps: int | None = None
    adapt_lr: float | None = None
    adapt_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("settings", "adapt_steps", "adapt_lr", "adapt_settings"):
            object.__setattr__(self, name, plain(getattr(self, name)))

    @classmethod
    def of(cls, task: str, model: str, **choices: Any) -> Self:
        """Choices under the names of the command's options. ``BadInput`` for one that an evaluation does not have."""
        return cls(task, model).but(**choices)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every name that :meth:`of` takes, besides ``task`` and ``model``."""
        own = (field.name for field in dataclasses.fields(cls) if field.name not in ("task", "model", "plan"))
        return (*(field.name for field in dataclasses.fields(InferencePlan)), *own)

    def but(self, **choices: Any) -> Self:
        """The same with other values for some. ``BadInput`` for an unknown name."""
        for name in choices:
            if name not in (known := ("task", "model", *self.names())):
                raise BadInput(f"unknown choice {name!r}: known are {', '.join(known)}")
        planned = {name: value for name, value in choices.items() if name in _PLANNED}
        own = {name: value for name, value in choices.items() if name not in _PLANNED}
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, **planned), **own)


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
    adapt_lr: float = ADAPT_LR
    adapt_settings: Mapping[str, Any] = field(default_factory=dict)
    compiled: bool = False


def stored_launch(data: Mapping[str, Any], folder: Path) -> Launch:
    """The launch that a plan holds; ``BadInput`` for a run that another program began."""
    try:
        return Launch(**data)
    except TypeError:
        raise BadInput(f"{folder} was not begun by `trm-harness eval`: resume it where it was begun") from None


def task_again(launch: Launch, folder: Path, data: Path | None = None) -> Task:
    """The task that the run in ``folder`` was made with; ``data`` where its data lie elsewhere now."""
    if launch.task not in default().tasks:
        _name_plugins(folder)
    return task_of(launch.task, data or (Path(launch.data) if launch.data else None), views=launch.views)


def model_again(launch: Launch, folder: Path) -> None:
    """``UnknownName`` if the model of the run in ``folder`` came with a plugin that is not in use here."""
    if launch.model not in default().models:
        _name_plugins(folder)


def _name_plugins(folder: Path) -> None:
    """``UnknownName`` that names the plugin files of the command that began the run, if it had any."""
    words = shlex.split(read(folder).command)
    files = [words[index + 1] for index, word in enumerate(words[:-1]) if word == "--plugin"]
    files += [word.partition("=")[2] for word in words if word.startswith("--plugin=")]
    if files:
        given = " ".join(f"--plugin {file}" for file in files)
        raise UnknownName(f"{folder} was begun with {given}: give that again")


def task_of(name: str, data: Path | None = None, registry: Registry | None = None, views: str = "") -> Task:
    """The task object of ``name``, reading ``data`` instead of the bundled puzzles where given.

    ``views`` is as in :class:`Launch`.
    """
    return (registry or default()).task(name, data, views)


@cache
def published_task(name: str, registry: Registry) -> Task:
    """:func:`task_of` of the published puzzles, made once for all who only read them: their hashes take a while."""
    return task_of(name, None, registry)


def launch_of(choices: Choices) -> Launch:
    """The choices that concern task and model, resolved; ``BadInput`` if they do not go together."""
    weights, untrained, task = choices.weights, choices.untrained, default().tasks.spec(choices.task)
    if weights and untrained:
        raise BadInput("--weights and --untrained exclude each other")
    if choices.compiled and choices.adapt:
        raise BadInput("--compile and --adapt exclude each other: what is compiled does not learn")
    how = {"set": choices.adapt_settings or None, "steps": choices.adapt_steps, "lr": choices.adapt_lr}
    if not choices.adapt and (names := [name for name, given in how.items() if given is not None]):
        raise BadInput(f"adapt-{names[0]} says how a task is learnt: give --adapt with it")
    given = default().models.given(choices.model)
    if given is not None and (weights or untrained or choices.settings):
        raise BadInput(f"{choices.model} is a model object: weights, untrained and settings are those it was made with")
    spec, card = _spec_and_card(choices.model, task.id, search=given is None and not (weights or untrained))
    if spec.needs_weights and given is None and not (weights or untrained or card):
        raise BadInput(_no_weights(spec, task.id))
    if weights and not weights.is_file():
        raise BadInput(f"weights file {weights} does not exist: check --weights")
    if weights and spec.reads != (".safetensors",) and not weights.name.endswith(spec.reads):
        raise BadInput(f"{weights}: model {spec.id} reads files that end in {', '.join(spec.reads)}: give one of those")
    device, dtype = _where(choices, spec) if given is None else _where_it_lies(given)
    return Launch(
        task=task.id,
        model=spec.id,
        card=card.name if card else "",
        weights=absolute(weights),
        data=absolute(choices.data),
        untrained=untrained,
        device=device,
        dtype=dtype,
        seed=choices.plan.seed,
        settings=_known_settings(spec, choices.settings),
        views=_views(card, weights, spec, choices),
        compiled=choices.compiled,
        **_learning(choices, card),
    )


def settings_of(pairs: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """``key=value`` pairs of ``option``, values as JSON where they are JSON."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"{option} {pair}: use KEY=VALUE")
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
    registry = default()
    card = find(name, task, registry) if search else cards(registry).get(name)
    if card is None and name not in registry.models.names() and "." in name:
        architecture = name.rpartition(".")[0]
        if architecture in registry.models.names():
            raise UnknownName(f"unknown card {name!r}: `trm-harness zoo list '{architecture}.*'` shows those there are")
    spec = registry.models.spec(card.architecture if card else name)
    if not spec.answers(registry.tasks.spec(task)):
        what = f"{', '.join(spec.tasks)} only" + (f", if they declare {', '.join(spec.needs)}" if spec.needs else "")
        raise BadInput(f"model {spec.id} answers {what}, not task {task}")
    if search and card and card.source.format == "reference":
        made = f"`trm-harness zoo import {card.name}` makes weights of it"
        raise BadInput(f"card {card.name} names a checkpoint of the reference implementation: {made}")
    if search and card and card.task != task:
        raise BadInput(f"card {card.name} holds weights for task {card.task}, not {task}: --weights FILE runs any file")
    return spec, card if search else None


def _no_weights(spec: ModelSpec, task: str) -> str:
    """The ways on where the zoo has nothing."""
    made = f"make some with `trm-harness train --task {task} --model {spec.id}`, " if spec.trainable else ""
    return (
        f"model {spec.id} has no weights for task {task}: fetch some with `trm-harness zoo pull`, {made}name a file "
        f"({', '.join(spec.reads)}) with --weights FILE, or see it run without any by --untrained"
    )


def _where(choices: Choices, spec: ModelSpec) -> tuple[str, str]:
    """Device and number format."""
    device = resolve_device(choices.device, uses_torch=spec.family not in TORCHLESS)
    usual = usual_dtype(device) if spec.family not in TORCHLESS and choices.dtype == "auto" else "float32"
    return device, usual if choices.dtype == "auto" else choices.dtype


def _where_it_lies(model: Model) -> tuple[str, str]:
    """Device and number format of a model object: those of its network, if it has one."""
    network = getattr(model, "network", None)
    dtype = str(getattr(network, "dtype", "float32")).removeprefix("torch.")
    return str(getattr(network, "device", "cpu")), dtype


def _learning(choices: Choices, card: Card | None) -> dict[str, Any]:
    """How each task is learnt first: what was asked for, else what the card's score did, else the usual.

    With other steps or another rate than the card's, its warm-up and last rate change in proportion.
    """
    if not choices.adapt:
        return {}
    own = card.adaptation if card is not None else None
    if own is None or own.mode != choices.adapt:
        own = Learning(choices.adapt, ADAPT_STEPS)
    usual = own.lr or ADAPT_LR
    steps = own.steps if choices.adapt_steps is None else choices.adapt_steps
    lr = usual if choices.adapt_lr is None else choices.adapt_lr
    settings = dict(own.settings)
    # Of a wrong kind they stay: whoever learns with them says so.
    if isinstance(settings.get("warmup"), int) and steps != own.steps:
        settings["warmup"] = round(settings["warmup"] * steps / own.steps)
    if isinstance(settings.get("lr_end"), int | float) and lr != usual:
        settings["lr_end"] *= lr / usual
    settings |= choices.adapt_settings
    return {"adapt": choices.adapt, "adapt_steps": steps, "adapt_lr": lr, "adapt_settings": settings}


def _views(card: Card | None, weights: Path | None, spec: ModelSpec, choices: Choices) -> str:
    """The views that card or file want, or the architecture where nothing was trained yet."""
    if choices.untrained:
        encoding = choices.settings.get("encoding", spec.config.get("encoding", {}))
        return str(encoding.get("views", "")) if isinstance(encoding, Mapping) else ""
    if weights and spec.reads_itself(weights.name):
        return ""
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
