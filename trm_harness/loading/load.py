"""Weights found and checked, models made, and the setting of a run's record."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trm_harness.contracts import Compilable, KnowsIdentities, Model, ModelRequest, Task
from trm_harness.errors import BadInput, HarnessError, PluginError
from trm_harness.evaluate import Setting, check_folder
from trm_harness.files.hub import cache_only
from trm_harness.files.read import parse_json
from trm_harness.fingerprint import file_sha256
from trm_harness.inference import InferencePlan, Selection, select
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.inference.workers import Workers
from trm_harness.loading.choices import (
    Choices,
    Launch,
    as_mapping,
    launch_of,
    model_again,
    new_folder,
    stored_launch,
    task_again,
    task_of,
)
from trm_harness.loading.guard import guard
from trm_harness.machine import is_accelerator, own_device, share_cores
from trm_harness.record.describe import counted, is_service
from trm_harness.record.environment import public_command
from trm_harness.registry import default, published
from trm_harness.specs import ModelSpec
from trm_harness.types import BLANK_NAME
from trm_harness.zoo import Card, cards, named, safetensors_metadata, weights_path


@dataclass(frozen=True, eq=False)
class Start:
    """Everything that the evaluator takes; nothing has been written yet."""

    task: Task
    model: Model
    plan: InferencePlan
    selection: Selection
    out: Path
    setting: Setting
    launch: Launch


def prepare(choices: Choices, out: Path | None = None, command: str | None = None) -> Start:
    """A new run, checked in full before anything is written. ``command`` is what its record says began it."""
    launch = launch_of(choices)
    task = task_of(choices.task, choices.data, views=launch.views)
    plan = choices.plan.of(task.spec)
    selection = select(task, plan)
    out = out or new_folder(launch.task, launch.card or launch.model)
    check_folder(out)
    card, weights = weights_of(launch)
    plan = _with_bar(plan, card, task)
    known = declared(card, weights, default().models.spec(launch.model))
    contamination = guard(task, plan.split, selection, launch, known, choices.allow_contaminated)
    model, setting = load(launch, task, plan, card, weights)
    own = _has_own_data(launch, task, plan.split)
    said = public_command(["trm-harness", *sys.argv[1:]]) if command is None else command
    notes = (*setting.notes, *_unknown_identities(task, selection, model))
    setting = dataclasses.replace(setting, contamination=contamination, own_data=own, command=said, notes=notes)
    return Start(task, model, plan, selection, out, setting, launch)


def _with_bar(plan: InferencePlan, card: Card | None, task: Task) -> InferencePlan:
    """The plan with the bar that was chosen for the card's weights, where settled halting is asked for without one."""
    known = card is not None and card.halting is not None and card.task == task.spec.id
    if plan.halt != "settled" or plan.halt_above is not None or not known:
        return plan
    return dataclasses.replace(plan, halt_above=card.halting.settled_above)


def again(folder: Path, processes: int = 1) -> tuple[Task, Model, Workers | None]:
    """Task and model of an interrupted run, from its own ``plan.json``, and the processes that are to answer."""
    stored = StoredPlan.load(folder)
    launch = stored_launch(stored.launch, folder)
    task = task_again(launch, folder)
    model_again(launch, folder)
    model, _ = load(launch, task, stored.plan, *weights_of(launch))
    return task, model, workers(launch, stored.plan, processes)


def workers(launch: Launch, plan: InferencePlan, count: int) -> Workers | None:
    """So many processes that answer what ``launch`` names; ``None`` for one."""
    return Workers(count, partial(_in_process, launch, plan, count)) if count > 1 else None


def _in_process(launch: Launch, plan: InferencePlan, count: int, place: int) -> tuple[Task, Model]:
    """Task and model of one of ``count`` processes: its own GPU, or its share of the cores."""
    task = task_of(launch.task, Path(launch.data) if launch.data else None, views=launch.views)
    uses_torch = bool(launch.weights or launch.card or launch.untrained)
    if uses_torch and is_accelerator(launch.device):
        launch = dataclasses.replace(launch, device=own_device(launch.device.partition(":")[0], place))
    elif uses_torch:
        share_cores(count)
    return task, load(launch, task, plan, *weights_of(launch))[0]


def load(
    launch: Launch, task: Task, plan: InferencePlan, card: Card | None, weights: Path | None
) -> tuple[Model, Setting]:
    """The loaded model and what its record says of it. ``PluginError`` if its plugin fails to make it."""
    registry = default()
    spec = registry.models.spec(launch.model)
    spec = dataclasses.replace(spec, config={**spec.config, **launch.settings})
    request = ModelRequest(
        spec=spec,
        task=task.spec,
        weights=weights,
        weights_sha256=_sha256(card, weights),
        card=declared(card, weights, spec),
        device=launch.device,
        dtype=launch.dtype,
        seed=launch.seed,
        identities=_identities(task, plan) if launch.untrained else (),
    )
    try:
        model = registry.models.resolve(launch.model, "trainable" if launch.adapt else "target")(request)
    except HarnessError:
        raise
    except Exception as error:
        owner = registry.models.owner(launch.model)
        raise PluginError(f"model {spec.id} of {owner} cannot be made: {type(error).__name__}: {error}") from error
    if weights:
        _check_settings(launch, model)
        _check_hash(request, model)
    if launch.adapt:
        model = _adapted(launch, task, plan, model)
    failures = _compile(launch, model) if launch.compiled else []
    owners = (registry.tasks.owner(launch.task), registry.models.owner(launch.model))
    return model, Setting(
        device=launch.device,
        dtype=launch.dtype,
        card_name=card.name if card else "",
        card=_with_adaptation(request.card, launch, task, plan) if launch.adapt else request.card,
        untrained=launch.untrained,
        launch=as_mapping(launch),
        distributions=tuple(owner.distribution for owner in owners),
        notes=(*_notes(card, task), *_other_views(card, launch, plan), *_sampling(spec, plan), *failures),
        compiled=launch.compiled and not failures,
        adapt=launch.adapt,
        adapt_steps=launch.adapt_steps,
        # The table has a rate of its own, which falls as the network's does.
        adapt_lr=launch.adapt_lr if launch.adapt == "full" or "lr_end" in launch.adapt_settings else None,
        adapt_settings=launch.adapt_settings,
    )


def _compile(launch: Launch, model: Model) -> list[str]:
    """Let the model compile itself; why it could not, if so."""
    if not isinstance(model, Compilable):
        raise BadInput(f"model {launch.model} has nothing to compile: leave --compile out")
    failures: list[str] = []
    model.compile(failures.append)
    return failures


def _adapted(launch: Launch, task: Task, plan: InferencePlan, model: Model) -> Model:
    """The model that learns each task before it answers it."""
    from trm_harness.train.adapt import Adaptation, AdaptedModel

    settings = launch.adapt_settings
    wanted = Adaptation(launch.adapt, launch.adapt_steps, plan.augment, plan.seed, launch.adapt_lr, settings=settings)
    return AdaptedModel(model, task, wanted)


def _with_adaptation(told: Mapping[str, Any], launch: Launch, task: Task, plan: InferencePlan) -> Mapping[str, Any]:
    """The declaration with what is learnt during the run: the evaluated tasks' demonstrations, task by task."""
    training = dict(told.get("training", {}))
    source = task.source(plan.split)
    used = {"name": f"{source.name} {plan.split} (demonstrations, each task by itself)", "version": source.version}
    used |= {"sha256": source.sha256, "task": task.spec.id, "split": plan.split, "use": "demonstrations only"}
    before = training.get("demonstrations", "unknown")
    note = f"adapted ({launch.adapt}, {launch.adapt_steps} steps a task); the weights themselves: {before}"
    training["demonstrations"] = "per-task"
    training["data"] = [*training.get("data", ()), used]
    training["notes"] = "; ".join(filter(None, [training.get("notes", ""), note]))
    return {**told, "training": training}


def weights_of(launch: Launch) -> tuple[Card | None, Path | None]:
    """Card and weights file, its content checked. A file of the user's own is looked up among the cards by hash."""
    if launch.card:
        card = named(launch.card)
        return card, weights_path(card)
    if not launch.weights:
        return None, None
    path = Path(launch.weights)
    if not default().models.spec(launch.model).reads_itself(path.name):
        safetensors_metadata(path)
    sha256 = file_sha256(path)
    return next((card for card in cards(default()).values() if card.sha256 == sha256), None), path


def declared(card: Card | None, weights: Path | None, spec: ModelSpec | None = None) -> Mapping[str, Any]:
    """The card as a mapping; without one, what the weights file itself says of its training, if it does.

    A file that only the model can read says nothing here: what it was trained on is unknown.
    """
    if card or not weights or (spec and spec.reads_itself(weights.name)):
        return card.mapping() if card else {}
    training = parse_json(safetensors_metadata(weights).get("training", "{}"), f"{weights.name}: its declaration")
    if not isinstance(training, dict):
        raise BadInput(f"{weights.name}: its training declaration is damaged: get the file again")
    return {"name": weights.name, "training": training} if training else {}


def _sha256(card: Card | None, weights: Path | None) -> str:
    """Hash of a weights file; empty without one."""
    if not weights:
        return ""
    return card.sha256 if card and card.sha256 else file_sha256(weights)


def _check_hash(request: ModelRequest, model: Model) -> None:
    """``PluginError`` if the model states another hash than its file's: the record would name other weights."""
    stated, found = model.facts().weights_sha256, request.weights_sha256
    if stated != found:
        name = request.weights.name if request.weights else "no weights"
        raise PluginError(
            f"model {request.spec.id} states the sha256 {stated[:12] or '(none)'} for {name}, which has {found[:12]}: "
            "let facts() give request.weights_sha256"
        )


def _check_settings(launch: Launch, model: Model) -> None:
    """``BadInput`` for a setting that the weights overrule: the record's command would claim what was not run."""
    config = model.facts().config
    for key, value in launch.settings.items():
        if config.get(key, value) != value:
            made = f"its weights were made with {config[key]!r}, which no setting changes"
            raise BadInput(f"--set {key} has no effect on {launch.model}: {made}; leave it out, or use --untrained")


def _has_own_data(launch: Launch, task: Task, split: str) -> bool:
    """Whether the puzzles are others than the task's published ones; so counts what cannot be compared here."""
    source, given = task.source(split), default().tasks.given(launch.task) is not None
    # A source names the hub's repository only where it knows the file for the published one, byte for byte.
    if not (launch.data or given) or source.name == task.spec.options.get("repository"):
        return False
    try:
        with cache_only():
            return task_of(launch.task, None, published()).source(split).sha256 != source.sha256
    except HarnessError:
        return True


def _sampling(spec: ModelSpec, plan: InferencePlan) -> Iterator[str]:
    """What a reader should know of samples that a service was asked for."""
    if is_service(spec.family) and plan.restarts > 1 and spec.config.get("temperature") == 0:
        same = f"{plan.restarts} samples at temperature 0 are mostly the same"
        yield f"{same}: --set temperature=0.7, say, makes them differ"


def _notes(card: Card | None, task: Task) -> Iterator[str]:
    """What a reader should know of a card's weights."""
    if card is None:
        return
    if card.status != "trained":
        yield f"card {card.name} is {card.status}: no score of it was measured with this harness"
    if card.task != task.spec.id:
        yield f"the weights are those of card {card.name}, trained for task {card.task}"
    elif card.task_version != task.spec.version:
        made, here = card.task_version, task.spec.version
        yield f"card {card.name} was made with version {made} of task {card.task}, this is version {here}"


def _other_views(card: Card | None, launch: Launch, plan: InferencePlan) -> Iterator[str]:
    """That the card's score came of other views of each task than this run's."""
    own = card.adaptation if card is not None and launch.card else None
    if own is not None and launch.adapt == own.mode and own.views not in (0, plan.augment):
        views = f"{counted(plan.augment, 'view')}, the score of card {card.name} from {own.views}"
        yield f"this run learns each task from {views}: see --augment"


def _unknown_identities(task: Task, selection: Selection, model: Model) -> Iterator[str]:
    """How many evaluated groups have no row in the model's table of identities, and the way to give them one."""
    if not task.spec.has_identities or not isinstance(model, KnowsIdentities):
        return
    each = {puzzle.group: puzzle for puzzle in reversed(selection)}
    names = [task.encode(puzzle.without_answer(), "", model.encoding).identity for puzzle in each.values()]
    unknown = len(model.unknown(names))
    if unknown:
        lacks = f"{unknown:,} of {len(names):,} evaluated {task.spec.id} groups have no row in the puzzle table"
        yield f"{lacks} of these weights and read its blank one: --adapt puzzle-embedding learns a row for each"


def _identities(task: Task, plan: InferencePlan) -> tuple[str, ...]:
    """Rows of an untrained puzzle table: the blank, then every puzzle of the split as it stands."""
    if not task.spec.has_identities:
        return ()
    puzzles = task.puzzles(plan.split)
    names = dict.fromkeys(task.encode(puzzle.without_answer(), "", {}).identity for puzzle in puzzles)
    return (BLANK_NAME, *names)
