"""A training run from names to weights: what the command line, Python and every worker process go through."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trm_harness import environment
from trm_harness.contracts import ModelRequest, Trainable, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.fingerprint import file_sha256
from trm_harness.lock import alone
from trm_harness.paths import zoo
from trm_harness.record import write_text
from trm_harness.registry import default, import_target
from trm_harness.specs import ModelSpec, TaskSpec
from trm_harness.train.log import METRICS
from trm_harness.train.loop import CHECKPOINTS, Settings, Watch
from trm_harness.train.recipe import Recipe, read_recipe, recipe_from_mapping
from trm_harness.train.validate import Validator, validator
from trm_harness.untrusted import parse_json
from trm_harness.zoo import safetensors_metadata

RECORD = "train.json"


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
    validator: Validator | None


class Continued:
    """A training source whose declaration also names what the weights that training starts from were trained on."""

    def __init__(self, source: TrainingSource, weights: Path) -> None:
        self._source = source
        before = training_declaration(weights)
        own = source.declaration
        order = ("joint", "per-task", "unknown", "inductive")
        said = [part.get("demonstrations", "unknown") for part in (before, own)]
        self.declaration: Mapping[str, Any] = {
            **own,
            "data": [*before.get("data", ()), *own.get("data", ())],
            "demonstrations": min(said, key=lambda one: order.index(one) if one in order else 2),
            "notes": f"began from weights {file_sha256(weights)[:12]}",
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def training_declaration(weights: Path) -> dict[str, Any]:
    """What a weights file says it was trained on; empty where it says nothing. ``BadInput`` for a damaged one."""
    found = parse_json(safetensors_metadata(weights).get("training", "{}"), f"{weights}: its training declaration")
    return found if isinstance(found, dict) else {}


def build(job: Job) -> Parts:
    """Task, training source, model and validator of a job. ``BadInput`` for whatever does not go together."""
    registry, recipe = default(), job.recipe
    task_spec, spec = registry.tasks.spec(job.task), registry.models.spec(job.model)
    if not spec.trainable:
        raise BadInput(
            f"model {job.model} cannot be trained: choose one that `trm-harness models list` calls recursive"
        )
    registry.trainers.spec(job.trainer)
    task = registry.tasks.resolve(job.task)(task_spec, Path(job.data) if job.data else None)
    if not hasattr(task, "training_source"):
        raise BadInput(f"task {job.task} offers no training examples: choose another task")
    if job.threads:
        environment.use_threads(job.threads)
    spec = dataclasses.replace(spec, config={**spec.config, **recipe.model})
    source = task.training_source(recipe.seed, spec.config.get("encoding", {}), recipe.source)
    request = ModelRequest(
        spec,
        task_spec,
        weights=Path(job.weights) if job.weights else None,
        device=environment.resolve_device(job.device),
        dtype=recipe.dtype,
        seed=recipe.seed,
        identities=source.identities,
    )
    model = import_target(spec.trainable)(request)
    if job.weights:
        source = Continued(source, Path(job.weights))
    check = validator(task, source, recipe.validation_limit) if recipe.validate_every else None
    return Parts(task_spec, spec, source, model, check)


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
    trainer: Callable[..., dict[str, Any]],
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

    done = trainer(
        parts.model,
        parts.source,
        job.recipe,
        out,
        resume=resume,
        seconds=settings.seconds,
        report=watch.report,
        say=watch.say,
        validate=parts.validator,
        settings=settings,
        started=announce,
    )
    declared["result"] = done
    declared["sessions"] = [
        *declared["sessions"][:-1],
        declared["sessions"][-1] | {"ended": _now(), **_sitting(done, kept)},
    ]
    if done.get("rank", 0) == 0:
        declared["weights"] = _weights(out)
        _save(out, declared)
    return declared


def prepare(out: Path) -> None:
    """Make the folder; ``BadInput`` if it holds a run already or cannot be made."""
    if (out / METRICS).exists() or (out / RECORD).exists():
        raise BadInput(f"{out}: holds a training run already: --resume {out} goes on with it, or give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: cannot be made ({error.strerror}): choose another --out") from error


def read_run(out: Path) -> dict[str, Any]:
    """A run's ``train.json``; ``BadInput`` if there is none or it is damaged."""
    path = out / RECORD
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: cannot be read ({reason}): give the folder of a training run") from None
    if not isinstance(found, dict) or not isinstance(found.get("job"), dict):
        raise BadInput(f"{path}: does not say what to train: was it written by `trm-harness train`?")
    return found


def resumed_job(out: Path) -> Job:
    """The job of a run to go on with. ``BadInput`` if no checkpoint was written yet."""
    job = Job.of(read_run(out)["job"], str(out / RECORD))
    if not any((out / CHECKPOINTS).glob("step-*")):
        raise BadInput(f"{out}: holds no checkpoint to resume from: delete it and start the run again")
    return job


def find_recipe(name: str | None, model: str, task: str) -> tuple[Path, Recipe]:
    """A recipe by path, by card, by name under ``zoo/recipes``, or by tag (``paper``) for this model and task.

    Without a name: the shipped one of the model and the task. ``BadInput`` lists what there is.
    """
    usual = f"{model}.{task}"
    folder = zoo()
    if name is None:
        places = [*sorted(folder.glob(f"{usual}*/recipe.toml")), *sorted(folder.glob(f"recipes/{usual}*.toml"))]
        if not places:
            raise BadInput(f"no recipe for {usual} is shipped: give one with --recipe FILE ({_shipped(folder)})")
        return places[0], read_recipe(places[0])
    stems = (name, f"{usual}.{name}")
    places = [Path(name), *(folder / stem / "recipe.toml" for stem in stems)]
    places += [folder / "recipes" / f"{stem}.toml" for stem in stems]
    for path in places:
        if path.is_file():
            return path, read_recipe(path)
    raise BadInput(f"recipe {name!r} is neither a file nor one that is shipped: {_shipped(folder)}")


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe by name: those of cards, and those under ``zoo/recipes``."""
    found = {path.parent.name: path for path in zoo().glob("*/recipe.toml")}
    found |= {path.stem: path for path in (zoo() / "recipes").glob("*.toml")}
    return dict(sorted(found.items()))


def new_folder(job: Job) -> Path:
    """A fresh place for a run nobody named."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{stamp}-train-{job.task}-{job.model}"


def train_model(
    task: str,
    model: str,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    *,
    trainer: str = "torch",
    data: str | Path = "",
    device: str = "auto",
    seed: int | None = None,
    steps: int | None = None,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train ``model`` on ``task`` in this process; what ``train.json`` says, with ``out`` for where everything lies."""
    from trm_harness.train.recipe import with_settings

    plan = (
        recipe if isinstance(recipe, Recipe) else find_recipe(None if recipe is None else str(recipe), model, task)[1]
    )
    job = Job(task, model, with_settings(plan, (), steps, seed), trainer, str(data), device)
    folder = Path(out) if out else new_folder(job)
    return run(job, folder, settings=settings, watch=watch) | {"out": str(folder)}


def _shipped(folder: Path) -> str:
    return f"shipped are {', '.join(shipped_recipes())}"


def _declared(job: Job, parts: Parts, settings: Settings, command: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's own record says before it starts; a resumed one keeps its earlier sittings."""
    facts = parts.model.facts()
    device = str(parts.model.network.device)
    session = {
        "started": _now(),
        "command": command,
        "device": environment.device_name(device),
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
    return {path.name: file_sha256(path) for path in sorted(out.glob("weights*.safetensors"))}


def _plain(settings: Settings) -> dict[str, Any]:
    values = dataclasses.asdict(settings)
    return {name: None if isinstance(v, float) and math.isinf(v) else v for name, v in values.items()}


def _save(out: Path, declared: Mapping[str, Any]) -> None:
    write_text(out / RECORD, json.dumps(declared, indent=1, default=_jsonable, allow_nan=False))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
