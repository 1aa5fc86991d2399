"""``trm-harness eval``: answer a task's puzzles with a model, and leave a record that anybody can score again."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import data_option, echo_json, json_option
from trm_harness.errors import BadInput, CheckFailed, HarnessError, PluginError, UnknownName

if TYPE_CHECKING:
    from trm_harness.contracts import Model, Task
    from trm_harness.evaluate import InferencePlan, Setting
    from trm_harness.record import RunRecord
    from trm_harness.specs import ModelSpec
    from trm_harness.zoo import Card

RUNS = Path("runs")
TORCHLESS = ("solver", "trivial", "llm")
KEPT_ON_RESUME = {"resumed", "as_json"}
DEBUG = "TRM_HARNESS_DEBUG"


@dataclasses.dataclass(frozen=True)
class Launch:
    """Everything that makes the same task and model again; lies in a run's ``plan.json``."""

    task: str
    model: str
    card: str = ""
    weights: str = ""
    data: str = ""
    untrained: bool = False
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@click.command()
@click.option("--task", "task_name", metavar="TASK", help="What to solve; `tasks list` shows the names.")
@click.option("--model", "model_name", metavar="MODEL", help="An architecture, or a card (architecture.tag).")
@click.option("--split", help="Split of the task.  [default: the task's own]")
@click.option("--limit", type=int, help="Only the first so many groups (ARC tasks).")
@click.option("--puzzles", metavar="ID,...", help="Only these groups or puzzles.")
@click.option(
    "--augment", type=int, default=1, show_default=True, help="Views of each puzzle under the task's symmetries."
)
@click.option(
    "--restarts", type=int, default=1, show_default=True, help="Answers of each view; a network needs --noise."
)
@click.option(
    "--noise", type=float, default=0.0, show_default=True, help="Noise on the latent before each step (std. deviation)."
)
@click.option(
    "--select",
    type=click.Choice(["mode", "halt", "oracle"]),
    default="mode",
    show_default=True,
    help="One answer of all: most votes, or highest halting logit. oracle shows the upper bound beside mode's score.",
)
@click.option("--attempts", type=int, help="Answers that count.  [default: the task's own]")
@click.option("--steps", type=int, help="Supervision steps, also beyond training.  [default: the model's own]")
@click.option(
    "--halt", type=click.Choice(["full", "adaptive"]), default="full", show_default=True, help="When a puzzle stops."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of views, noise and untrained weights.")
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file instead of the zoo's weights.")
@click.option("--untrained", is_flag=True, help="Random weights: shows that everything runs, scores mean nothing.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the model's configuration.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@click.option("--batch-size", type=int, help="Puzzles at once.  [default: what memory allows]")
@click.option("--out", type=click.Path(path_type=Path), help="The run's new folder.  [default: runs/<id>]")
@click.option("--resume", "resumed", metavar="RUN", help="Finish an interrupted run; takes no other choices.")
@click.option(
    "--allow-contaminated", is_flag=True, help="Run on puzzles that the weights were trained on: flagged, never ranked."
)
@data_option
@json_option
@click.pass_context
def command(ctx: click.Context, **choices: Any) -> None:
    """Answer a task's puzzles with a model and score the answers.

    Ctrl-C leaves a run that --resume finishes. Example: trm-harness eval --task arc1 --model trm-7m --limit 2
    """
    from trm_harness.cli import report

    folder, record = _resume(ctx, choices) if choices["resumed"] else _start(choices)
    if record.status == "cancelled":
        raise KeyboardInterrupt(f"{record.message}; `trm-harness eval --resume {folder}` finishes it")
    if choices["as_json"]:
        echo_json(record)
    else:
        click.echo(f"{report.text(record)}\nrecord  {folder / 'run.json'}")


def _start(choices: Mapping[str, Any]) -> tuple[Path, RunRecord]:
    """A new run: everything is checked before anything is written."""
    from trm_harness.cli.guard import guard
    from trm_harness.evaluate import check_folder, evaluate, select

    if not choices["task_name"] or not choices["model_name"]:
        raise click.UsageError("an evaluation needs --task and --model (or --resume RUN)")
    task = _task(choices["task_name"], choices["data"])
    plan = _plan(task, choices)
    plan.check(task)
    select(task, plan)
    launch = _launch(task, choices)
    out = choices["out"] or _new_folder(launch.task, launch.card or launch.model)
    check_folder(out)
    card, weights = _weights(launch)
    declared = _declared(card, weights)
    contamination = guard(task, plan, launch, declared, choices["allow_contaminated"])
    model, setting = _model(launch, task, plan, card, weights)
    own = _has_own_data(launch, task, plan.split)
    setting = dataclasses.replace(setting, contamination=contamination, own_data=own)
    return out, _guarded(out, lambda watchers: evaluate(task, model, plan, out, setting, watchers))


def _resume(ctx: click.Context, choices: Mapping[str, Any]) -> tuple[Path, RunRecord]:
    """An interrupted run, from its own ``plan.json``."""
    from trm_harness.cli.runs import find_run
    from trm_harness.evaluate import resume
    from trm_harness.evaluate.stored import StoredPlan

    default = click.core.ParameterSource.DEFAULT
    extra = [name for name in choices if ctx.get_parameter_source(name) is not default and name not in KEPT_ON_RESUME]
    if extra:
        raise click.UsageError("--resume takes every choice from the run: leave the other options out")
    folder = find_run(choices["resumed"])
    stored = StoredPlan.load(folder)
    launch = stored_launch(stored.launch, folder)
    task = _task(launch.task, Path(launch.data) if launch.data else None)
    model, _ = _model(launch, task, stored.plan, *_weights(launch))
    return folder, _guarded(folder, lambda watchers: resume(folder, task, model, watchers))


def stored_launch(data: Mapping[str, Any], folder: Path) -> Launch:
    """The launch that a plan holds; ``BadInput`` for a run that another program began."""
    try:
        return Launch(**data)
    except TypeError:
        raise BadInput(f"{folder} was not begun by `trm-harness eval`: resume it where it was begun") from None


def _task(name: str, data: Path | None) -> Task:
    from trm_harness.cli.tasks import load_task
    from trm_harness.registry import default

    return load_task(default(), name, data)


def _plan(task: Task, choices: Mapping[str, Any]) -> InferencePlan:
    """The choices that concern inference."""
    from trm_harness.evaluate import InferencePlan

    same = ("limit", "seed", "augment", "attempts", "steps", "halt", "restarts", "noise", "select", "batch_size")
    names = (choices["puzzles"] or "").split(",")
    puzzles = tuple(name.strip() for name in names if name.strip())
    if choices["puzzles"] is not None and not puzzles:
        raise BadInput("--puzzles names none: give ids separated by commas, or leave it out for all")
    return InferencePlan(
        split=choices["split"] or task.spec.default_split,
        puzzles=puzzles,
        **{name: choices[name] for name in same},
    )


def _launch(task: Task, choices: Mapping[str, Any]) -> Launch:
    """The choices that concern task and model, resolved; ``BadInput`` if they do not go together."""
    from trm_harness.environment import resolve_device

    weights, untrained = choices["weights"], choices["untrained"]
    if weights and untrained:
        raise click.UsageError("--weights and --untrained exclude each other")
    spec, card = _spec_and_card(choices["model_name"], task.spec.id, search=not (weights or untrained))
    if spec.needs_weights and not (weights or untrained or card):
        raise BadInput(_no_weights(spec, task.spec.id))
    if weights and not weights.is_file():
        raise BadInput(f"weights file {weights} does not exist: check --weights")
    device = resolve_device(choices["device"], uses_torch=spec.family not in TORCHLESS)
    dtype = choices["dtype"]
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    return Launch(
        task=task.spec.id,
        model=spec.id,
        card=card.name if card else "",
        weights=str(weights or ""),
        data=str(choices["data"] or ""),
        untrained=untrained,
        device=device,
        dtype=dtype,
        seed=choices["seed"],
        settings=_settings(spec, choices["settings"]),
    )


def _spec_and_card(name: str, task: str, search: bool) -> tuple[ModelSpec, Card | None]:
    """The architecture behind a model's or card's name, and its card for the task if weights are to be searched."""
    from fnmatch import fnmatchcase

    from trm_harness.registry import default
    from trm_harness.zoo import cards, find

    registry = default()
    card = find(name, task, registry) if search else cards(registry).get(name)
    if card is None and name not in registry.models.names() and "." in name:
        architecture = name.rpartition(".")[0]
        if architecture in registry.models.names():
            raise UnknownName(f"unknown card {name!r}: `trm-harness zoo list '{architecture}.*'` shows those there are")
    spec = registry.models.spec(card.architecture if card else name)
    if not any(fnmatchcase(task, pattern) for pattern in spec.tasks):
        raise BadInput(f"model {spec.id} answers {', '.join(spec.tasks)} only, not task {task}")
    if search and card and card.task != task:
        raise BadInput(f"card {card.name} holds weights for task {card.task}, not {task}: --weights FILE runs any file")
    return spec, card if search else None


def _model(
    launch: Launch, task: Task, plan: InferencePlan, card: Card | None, weights: Path | None
) -> tuple[Model, Setting]:
    """The loaded model and what its record says of it. ``PluginError`` if its plugin fails to make it."""
    from trm_harness.contracts import ModelRequest
    from trm_harness.evaluate import Setting
    from trm_harness.registry import default

    registry = default()
    spec = registry.models.spec(launch.model)
    spec = dataclasses.replace(spec, config={**spec.config, **launch.settings})
    request = ModelRequest(
        spec=spec,
        task=task.spec,
        weights=weights,
        card=_declared(card, weights),
        device=launch.device,
        dtype=launch.dtype,
        seed=launch.seed,
        identities=_identities(task, plan) if launch.untrained else (),
    )
    try:
        model = registry.models.resolve(launch.model)(request)
    except HarnessError:
        raise
    except Exception as error:
        owner = registry.models.owner(launch.model)
        raise PluginError(f"model {spec.id} of {owner} cannot be made: {type(error).__name__}: {error}") from error
    if weights:
        _check_settings(launch, model)
    owners = (registry.tasks.owner(launch.task), registry.models.owner(launch.model))
    return model, Setting(
        device=launch.device,
        dtype=launch.dtype,
        card_name=card.name if card else "",
        card=request.card,
        untrained=launch.untrained,
        command=_command(),
        launch=dataclasses.asdict(launch),
        distributions=tuple(owner.distribution for owner in owners),
        notes=tuple(_notes(card, task)),
    )


def _check_settings(launch: Launch, model: Model) -> None:
    """``BadInput`` for a setting that the weights overrule: the record's command would claim what was not run."""
    config = model.facts().config
    for key, value in launch.settings.items():
        if config.get(key, value) != value:
            made = f"its weights were made with {config[key]!r}, which no setting changes"
            raise BadInput(f"--set {key} has no effect on {launch.model}: {made}; leave it out, or use --untrained")


def _has_own_data(launch: Launch, task: Task, split: str) -> bool:
    """Whether ``--data`` gave other puzzles than the task's published ones; so counts what cannot be compared here."""
    from trm_harness.hub import cache_only

    if not launch.data:
        return False
    try:
        with cache_only():
            return _task(launch.task, None).source(split).sha256 != task.source(split).sha256
    except HarnessError:
        return True


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


def _weights(launch: Launch) -> tuple[Card | None, Path | None]:
    """Card and weights file, its content checked. A file of the user's own is looked up among the cards by hash."""
    from trm_harness.fingerprint import file_sha256
    from trm_harness.registry import default
    from trm_harness.zoo import cards, named, safetensors_metadata, weights_path

    if launch.card:
        card = named(launch.card)
        return card, weights_path(card)
    if not launch.weights:
        return None, None
    path = Path(launch.weights)
    safetensors_metadata(path)
    sha256 = file_sha256(path)
    return next((card for card in cards(default()).values() if card.sha256 == sha256), None), path


def _declared(card: Card | None, weights: Path | None) -> Mapping[str, Any]:
    """The card as a mapping; without one, what the weights file itself says of its training, if it does."""
    import json

    from trm_harness.zoo import safetensors_metadata

    if card or not weights:
        return card.mapping() if card else {}
    text = safetensors_metadata(weights).get("training", "{}")
    try:
        training = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{weights.name}: its training declaration is damaged ({error}): get the file again") from error
    return {"name": weights.name, "training": training} if training else {}


def _identities(task: Task, plan: InferencePlan) -> tuple[str, ...]:
    """Rows of an untrained puzzle table: the blank, then every puzzle of the split as it stands."""
    if not task.spec.has_identities:
        return ()
    puzzles = task.puzzles(plan.split)
    names = dict.fromkeys(task.encode(puzzle.without_answer(), "", {}).identity for puzzle in puzzles)
    return ("<blank>", *names)


def _no_weights(spec: ModelSpec, task: str) -> str:
    """The ways on where the zoo has nothing."""
    return (
        f"model {spec.id} has no weights for task {task}: fetch some with `trm-harness zoo pull`, make some with "
        f"`trm-harness train --task {task} --model {spec.id}`, name a file with --weights FILE, "
        "or see it run without any by --untrained"
    )


def _settings(spec: ModelSpec, pairs: tuple[str, ...]) -> dict[str, Any]:
    """``--set key=value`` pairs, values as JSON where they are JSON; ``BadInput`` for keys the model does not have."""
    import json

    from trm_harness.plugins import near

    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"--set {pair}: use KEY=VALUE")
        if key not in spec.config:
            known = near(key, spec.config) or f": it has {', '.join(spec.config) or 'none'}"
            # Without the value: somebody may have tried to set a key.
            raise BadInput(f"--set {key}=...: model {spec.id} has no setting {key!r}{known}")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _guarded(folder: Path, work: Any) -> RunRecord:
    """Run ``work(watchers)``; a failure is one line that says where the run lies, or all of it in debug mode."""
    from trm_harness.cli.progress import progress
    from trm_harness.evaluate import Watchers
    from trm_harness.registry import default

    with progress() as show:
        try:
            return work(Watchers(default().host.manager.hook, show, lambda text: click.echo(text, err=True)))
        except HarnessError:
            raise
        except Exception as error:
            if DEBUG in os.environ:
                raise
            small = "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError)
            hint = "a smaller --batch-size may fit" if small else f"`--resume {folder}` tries again from there"
            name = type(error).__name__
            raise CheckFailed(f"the run in {folder} stopped with {name}: {error} ({hint})") from error


def _new_folder(task: str, model: str) -> Path:
    """``runs/<id>``, the id made of the time, the task and the model."""
    from datetime import datetime

    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{task}-{model}".replace("/", "-")
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 1000))
    return next(RUNS / name for name in names if not (RUNS / name).exists())


def _command() -> str:
    from trm_harness.environment import public_command

    return public_command(["trm-harness", *sys.argv[1:]])
