"""A training run from names to weights: what the command line, Python and every worker process go through."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from trm_harness import machine
from trm_harness.contracts import HasTraining, ModelRequest, Trainable, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.files.lock import alone
from trm_harness.files.names import METRICS_FILE, RUNS, TRAINING_FILE
from trm_harness.files.paths import zoo
from trm_harness.files.write import write_text
from trm_harness.fingerprint import file_sha256
from trm_harness.record import environment
from trm_harness.registry import Registry, default
from trm_harness.specs import ModelSpec, TaskSpec
from trm_harness.train.declared import continued, from_files
from trm_harness.train.learner import check_auxiliary
from trm_harness.train.log import write_curve
from trm_harness.train.loop import CHECKPOINTS
from trm_harness.train.mixture import ManyValidators, mixture, part_validators
from trm_harness.train.recipe import Recipe, read_recipe, recipe_from_mapping, with_settings
from trm_harness.train.trainer import Settings, Trainer, TrainerJob, Watch, call
from trm_harness.train.validate import Validator, validator

WEIGHTS_FILES = "weights*.safetensors"


@dataclass(frozen=True)
class Job:
    """What to train, in plain data: enough for another process to build the same thing.

    ``weights`` are where training starts (else random ones by the recipe's seed); ``threads`` 0 leaves torch's own.
    """

    task: str
    model: str
    recipe: Recipe
    trainer: str = "torch"
    data: str = ""
    device: str = "auto"
    threads: int = 0
    weights: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**dataclasses.asdict(self), "recipe": self.recipe.as_dict()}

    @staticmethod
    def of(data: Mapping[str, Any], where: str) -> Job:
        """Undo :meth:`as_dict`; ``BadInput`` naming ``where`` for anything else."""
        try:
            values = dict(data)
            values["recipe"] = recipe_from_mapping(values["recipe"], where)
            return Job(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{where}: does not say what to train ({error}): was it written by `trm-harness train`?"
            ) from None


@dataclass(frozen=True, eq=False)
class Parts:
    """A job's objects. ``spec`` has the recipe's changes to the model in it."""

    task: TaskSpec
    spec: ModelSpec
    source: TrainingSource
    model: Trainable
    validator: Validator | ManyValidators | None


def build(job: Job) -> Parts:
    """Task, training source, model and validator of a job. ``BadInput`` for whatever does not go together."""
    registry, recipe = default(), job.recipe
    task_spec, spec = registry.tasks.spec(job.task), registry.models.spec(job.model)
    given = registry.models.given(job.model)
    if not (spec.trainable if given is None else isinstance(given, Trainable)):
        raise BadInput(_untrainable(spec, task_spec, registry, given is not None))
    registry.trainers.spec(job.trainer)
    task = registry.task(job.task, Path(job.data) if job.data else None)
    if not recipe.parts and not isinstance(task, HasTraining):
        raise BadInput(f"task {job.task} offers no training examples: choose another task")
    if job.threads:
        machine.use_threads(job.threads)
    spec = dataclasses.replace(spec, config={**spec.config, **recipe.model})
    encoding = spec.config.get("encoding", {})
    if recipe.parts:
        source: Any = mixture(task_spec, recipe, encoding)
    else:
        source = task.training_source(recipe.seed, encoding, recipe.source)
        source = from_files(source, task_spec, Path(job.data) if job.data else None)
    request = ModelRequest(
        spec,
        task_spec,
        weights=Path(job.weights) if job.weights else None,
        device=machine.resolve_device(job.device),
        dtype=recipe.dtype,
        seed=recipe.seed,
        identities=source.identities,
        changes=recipe.model if job.weights else {},
    )
    if given is not None and (job.weights or recipe.model):
        raise BadInput(f"{job.model} is a model object: weights and [model] settings are those it was made with")
    model = registry.models.resolve(spec.id, "trainable")(request)
    if given is not None:
        # Perhaps it was loaded to answer: without gradients.
        model.network.float().train().requires_grad_(True)
    has, config = getattr(model.network, "auxiliary_classes", 0), model.facts().config
    for name, value in request.changes.items():
        if config.get(name, value) != value:
            raise BadInput(
                f"{Path(job.weights).name}: its network has {name} {config[name]!r}, the recipe says model.{name} = "
                f"{value!r}: leave it out, or begin without these weights"
            )
    # Before anything is written, where there is a head to be wrong about.
    for bucket in source.buckets if has else ():
        check_auxiliary(source.draw(bucket, 1, 1), has)
    if job.weights:
        source = continued(source, Path(job.weights))
    check = _check(task, source, recipe)
    return Parts(task_spec, spec, source, model, check)


def _check(task: Any, source: Any, recipe: Recipe) -> Validator | ManyValidators | None:
    """The validator of a run, of every part of a mixture."""
    if not recipe.validate_every:
        return None
    if recipe.parts:
        return part_validators(source, recipe.validation_limit)
    return validator(task, source, recipe.validation_limit)


def _untrainable(spec: ModelSpec, task: TaskSpec, registry: Registry, is_object: bool) -> str:
    """Why a model cannot be trained, and which can be."""
    others = [other.id for other in registry.models if other.trainable and other.answers(task)]
    why = "its plugin declares no network to train" if spec.needs_weights else "it has no weights"
    why = "the object keeps no network to train (contract Trainable)" if is_object else why
    return f"model {spec.id} ({spec.family}) cannot be trained: {why}; for {task.id} take one of {', '.join(others)}"


def run(
    job: Job,
    out: Path,
    *,
    resume: bool = False,
    settings: Settings | None = None,
    watch: Watch | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Carry a job out in this process (one of several, where the trainer says so); returns what ``train.json`` holds.

    Everything is checked before anything is written. ``BadInput`` if ``out`` holds another run, or none to resume.
    """
    settings, watch = settings or Settings(), watch or Watch()
    trainer = default().trainers.resolve(job.trainer)
    parts = build(job)
    if not resume:
        prepare(out)
    with alone(out) if os.environ.get("RANK", "0") == "0" else nullcontext():
        return _carry_out(job, parts, trainer, out, resume, settings, watch, command)


def _carry_out(
    job: Job,
    parts: Parts,
    trainer: Trainer,
    out: Path,
    resume: bool,
    settings: Settings,
    watch: Watch,
    command: str,
) -> dict[str, Any]:
    kept = read_run(out) if resume else {}
    declared = _declared(job, parts, settings, command, kept)

    def announce(rank: int) -> None:
        if rank == 0:
            _save(out, declared)
        watch.started(rank)

    told = dataclasses.replace(watch, started=announce)
    given = TrainerJob(parts.model, parts.source, job.recipe, out, resume, parts.validator, settings, told)
    result = call(trainer, given, job.trainer)
    done = result.as_dict()
    declared["result"] = done
    declared["sessions"] = [
        *declared["sessions"][:-1],
        declared["sessions"][-1] | {"ended": _now(), **_sitting(done, kept)},
    ]
    if result.rank == 0:
        declared["weights"] = _weights(out)
        _save(out, declared)
        # Last: whatever is wrong with the log, the result is kept.
        write_curve(out)
    return declared


def prepare(out: Path) -> None:
    """Make the folder; ``BadInput`` if it cannot be made, or holds a run or anything that training would write over."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = sorted(path.name for path in out.iterdir())
    except OSError as error:
        raise BadInput(f"{out}: cannot be made ({error.strerror}): choose another --out") from error
    if METRICS_FILE in there or TRAINING_FILE in there:
        raise BadInput(f"{out}: holds a training run already: --resume {out} goes on with it, or give another --out")
    taken = [name for name in there if name == CHECKPOINTS or fnmatchcase(name, WEIGHTS_FILES)]
    if taken:
        raise BadInput(f"{out / taken[0]} is there already and training would write over it: give another --out")


def read_run(out: Path) -> dict[str, Any]:
    """A run's ``train.json``; ``BadInput`` if there is none or it is damaged."""
    path = out / TRAINING_FILE
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: cannot be read ({reason}): give the folder of a training run") from None
    if not isinstance(found, dict) or not isinstance(found.get("job"), dict):
        raise BadInput(f"{path}: does not say what to train: was it written by `trm-harness train`?")
    return found


def resumed_job(
    out: Path, *, recipe: str | None = None, changes: Sequence[str] = (), steps: int | None = None, **changed: Any
) -> Job:
    """The job of a run to go on with; one that was stopped before its first checkpoint begins again.

    ``recipe``, ``changes`` and ``steps`` are as for :func:`new_job`, over the run's own; ``changed`` are other fields
    of :class:`Job`. ``BadInput`` if the checkpoints of a run that got further are gone.
    """
    job = Job.of(read_run(out)["job"], str(out / TRAINING_FILE))
    got_further = read_run(out).get("result") or any(out.glob(WEIGHTS_FILES))
    if got_further and not any((out / CHECKPOINTS).glob("step-*")):
        raise BadInput(f"{out}: holds no checkpoint to resume from: delete it and start the run again")
    plan = find_recipe(recipe, job.model, job.task)[1] if recipe else job.recipe
    return dataclasses.replace(job, recipe=with_settings(plan, changes, steps), **changed)


def last_engine(out: Path) -> dict[str, Any]:
    """The trainer's own settings in a run's last session: without them it would, for one, stop clipping gradients."""
    last = (read_run(out).get("sessions") or [{}])[-1]
    return dict(last.get("settings", {}).get("engine", {}))


def find_recipe(name: str | None, model: str, task: str) -> tuple[Path, Recipe]:
    """A recipe by path, by card, by name under ``zoo/recipes``, or by tag (``paper``) for this model and task.

    The folder of a training run stands for the recipe that it was trained by.

    A tag that has no recipe for this very task means the one for another task of its family: generated boards of any
    size train by the settings published for the large ones. Without a name: the shipped one of the model and the task.
    ``BadInput`` lists what there is.
    """
    usual = f"{model}.{task}"
    folder = zoo()
    if name is None:
        places = [*sorted(folder.glob(f"{usual}*/recipe.toml")), *sorted(folder.glob(f"recipes/{usual}*.toml"))]
        if not places:
            raise BadInput(f"no recipe for {usual} is shipped: give one with --recipe FILE ({_shipped(folder)})")
        return places[0], read_recipe(places[0])
    if (Path(name) / TRAINING_FILE).is_file():
        return Path(name), Job.of(read_run(Path(name))["job"], str(Path(name) / TRAINING_FILE)).recipe
    stems = (name, f"{usual}.{name}")
    places = [Path(name), *(folder / stem / "recipe.toml" for stem in stems)]
    places += [folder / "recipes" / f"{stem}.toml" for stem in stems]
    for path in [*places, *_of_the_family(folder, name, model, task)]:
        if path.is_file():
            return path, read_recipe(path)
    raise BadInput(f"recipe {name!r} is neither a file nor one that is shipped: {_shipped(folder)}")


def _of_the_family(folder: Path, tag: str, model: str, task: str) -> Iterator[Path]:
    """Recipes ``tag`` of ``model`` for other tasks of the family of ``task``."""
    tasks = default().tasks
    family = tasks.spec(task).family
    names = (spec.id for spec in tasks if family and spec.family == family)
    return (folder / "recipes" / f"{model}.{other}.{tag}.toml" for other in names)


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe by name: those of cards, and those under ``zoo/recipes``."""
    found = {path.parent.name: path for path in zoo().glob("*/recipe.toml")}
    found |= {path.stem: path for path in (zoo() / "recipes").glob("*.toml")}
    return dict(sorted(found.items()))


def new_folder(job: Job) -> Path:
    """A fresh place for a run nobody named."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{stamp}-train-{job.task}-{job.model}"


def new_job(
    task: str,
    model: str,
    recipe: str | Path | Recipe | None = None,
    *,
    changes: Sequence[str] = (),
    steps: int | None = None,
    seed: int | None = None,
    **job: Any,
) -> Job:
    """A job of what a user asks for. ``UnknownName`` or ``BadInput`` for what does not exist.

    ``recipe`` is as for :func:`find_recipe`, or one itself; ``changes`` are ``KEY=VALUE`` settings over it, ``steps``
    stretches or shortens it. ``job`` holds the other fields of :class:`Job`.
    """
    task_spec, spec = default().tasks.spec(task), default().models.spec(model)
    if not spec.trainable and default().models.given(model) is None:
        raise BadInput(_untrainable(spec, task_spec, default(), is_object=False))
    plan = recipe if isinstance(recipe, Recipe) else find_recipe(recipe and str(recipe), model, task)[1]
    return Job(task, model, with_settings(plan, changes, steps, seed), **job)


def _shipped(folder: Path) -> str:
    return f"shipped are {', '.join(shipped_recipes())}"


def _declared(job: Job, parts: Parts, settings: Settings, command: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's own record says before it starts; a resumed one keeps its earlier sittings."""
    facts = parts.model.facts()
    device = str(parts.model.network.device)
    session = {
        "started": _now(),
        "command": command,
        "device": machine.device_name(device),
        "threads": environment.snapshot().threads,
        "settings": _plain(settings),
        "environment": environment.snapshot().model_dump(),
    }
    return {
        "job": job.as_dict(),
        "parameters": dataclasses.asdict(facts.parameters),
        "config": dict(facts.config),
        "training": dict(parts.source.declaration),
        "validation": parts.validator.described() if parts.validator else {},
        "sessions": [*kept.get("sessions", ()), session],
        "result": {},
    }


def _sitting(done: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    before = kept.get("result", {})
    return {name: done[name] - before.get(name, 0) for name in ("steps", "seconds", "cpu_seconds") if name in done}


def _weights(out: Path) -> dict[str, str]:
    """sha256 of every weights file that the run left."""
    return {path.name: file_sha256(path) for path in sorted(out.glob(WEIGHTS_FILES))}


def _plain(settings: Settings) -> dict[str, Any]:
    values = dataclasses.asdict(settings)
    return {name: None if isinstance(v, float) and math.isinf(v) else v for name, v in values.items()}


def _save(out: Path, declared: Mapping[str, Any]) -> None:
    write_text(out / TRAINING_FILE, json.dumps(declared, indent=1, default=_jsonable, allow_nan=False))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
