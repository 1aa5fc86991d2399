"""Cards made from what training and evaluation leave behind: ``trm-harness zoo add``."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_harness import record as records
from trm_harness.convert.importer import architecture_named, nearest
from trm_harness.convert.rewrite import our_metadata, rewrite
from trm_harness.environment import resolve_device
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.evaluate import InferencePlan, Watchers, evaluate
from trm_harness.filing import file_run
from trm_harness.fingerprint import file_sha256
from trm_harness.launch import Choices, Launch, guard, load, task_of
from trm_harness.launch.choices import as_mapping
from trm_harness.paths import leaderboards, zoo
from trm_harness.record import RunRecord, read_json
from trm_harness.registry import default
from trm_harness.specs import ModelSpec
from trm_harness.trust.golden import FILE as GOLDEN
from trm_harness.trust.golden import make_golden
from trm_harness.types import ModelFacts
from trm_harness.untrusted import parse_json
from trm_harness.zoo import Card, Expected, Size, Source, Training, TrainingData, refuse_taken
from trm_harness.zoo.stage import staged
from trm_harness.zoo.write import change_card, write_card

WEIGHTS = "weights.safetensors"
FILED = ("run.json", "plan.json", "journal.jsonl", "journal.jsonl.xz", "puzzles.csv", "candidates.csv")
LICENSE = "Apache-2.0"
AUTHORS = ("The trm-harness developers",)


@dataclass(frozen=True)
class Addition:
    """What a card is made of. ``run`` is a training run's folder (its ``train.json``), ``record`` an evaluation's.

    Empty texts and ``None`` are found out: the architecture from the training run or the configuration, the task from
    the training run, the name from both. ``dtype`` converts the stored tensors.
    """

    weights: Path
    name: str = ""
    architecture: str = ""
    task: str = ""
    run: Path | None = None
    record: Path | None = None
    evaluate: bool = False
    limit: int | None = None
    dtype: str = ""
    description: str = ""
    license: str = LICENSE
    authors: tuple[str, ...] = AUTHORS
    hardware: str = ""
    checkpoint_choice: str = ""
    notes: str = ""
    recipe: Path | None = None
    golden: int = 8
    golden_steps: int | None = None


def add_card(addition: Addition, folder: Path, replace: bool = False, watchers: Watchers | None = None) -> Card:
    """Make ``folder/<name>`` with card, weights, recipe and golden outputs, all at once or not at all.

    The score is that of ``record``, which must be one of these very weights, or of a new run if ``evaluate``; without
    either the card is ``unverified``. The record goes into the leaderboards beside a shipped zoo, else into the card's
    folder. ``BadInput`` for what does not fit together.
    """
    metadata, told = our_metadata(addition.weights), _training_run(addition.run)
    task = addition.task or told.get("task", "")
    if not task:
        raise BadInput("which task the weights answer is not known: give --task, or the training run's folder")
    spec = spec_of(metadata, addition.architecture or told.get("model", ""))
    name = addition.name or f"{spec.id}.{task}"
    if (folder / name).exists() and not replace:
        raise BadInput(f"{folder / name} is there already: choose another --name, or say --replace")
    refuse_taken(name, folder)
    with staged(folder, name) as stage:
        _place_weights(addition, stage / WEIGHTS, name)
        card = _card(addition, stage, spec, task, metadata, told)
        _place_recipe(addition, stage, told)
        if addition.golden:
            make_golden(card, addition.golden, addition.golden_steps)
            card = dataclasses.replace(card, golden=GOLDEN)
        found = _score(addition, card, watchers)
        # Last, for it may write into the leaderboards: nothing after it can fail for the user's sake.
        if found is not None:
            card = _claimed(card, *found, shipped=folder.resolve() == zoo().resolve())
        write_card(card)
    return dataclasses.replace(card, folder=folder / name)


def file_record(card: Card, run: Path) -> Card:
    """State a run's score on a card that is in place, and file the run; the card as it is now."""
    card = _claimed(card, run, _own_record(run, card), shipped=card.folder.parent.resolve() == zoo().resolve())
    return change_card(card, status=card.status, expected=card.expected)


def spec_of(metadata: Mapping[str, str], name: str) -> ModelSpec:
    """The model that weights are of: ``name``, else the one of their family whose settings are nearest to theirs.

    ``BadInput`` if ``name`` is of another family, or nothing fits.
    """
    models, family = default().models, metadata.get("architecture", "")
    if name:
        spec = models.spec(name)
        if spec.id != family and not spec.id.startswith(f"{family}-"):
            raise BadInput(f"the weights are of architecture {family!r}, not of model {name}: leave the model out")
        return spec
    return nearest(architecture_named(family)[1], parse_json(metadata["config"], "their metadata"))


def _training_run(run: Path | None) -> dict[str, Any]:
    """Task, model, recipe, result and hardware of a finished training run; empty without one."""
    if run is None:
        return {}
    told = read_json(run / "train.json")
    if not told.get("result"):
        raise BadInput(f"{run / 'train.json'}: this training did not end: finish it with `trm-harness train --resume`")
    # The first runs' files have at the top what a job and its sittings hold now.
    job = told.get("job") or told
    sittings = told.get("sessions") or [{"threads": told.get("environment", {}).get("threads"), **told}]
    hardware = dict.fromkeys(_hardware(sitting) for sitting in sittings)
    return {**job, "result": told["result"], "hardware": "; ".join(filter(None, hardware))}


def _hardware(sitting: Mapping[str, Any]) -> str:
    threads, device = sitting.get("threads"), sitting.get("device") or ""
    return f"{device}, {threads} thread{'s' if threads > 1 else ''}" if device and threads else device


def _place_weights(addition: Addition, target: Path, name: str) -> None:
    # A record is of the file's bytes: weights that come with one are copied as they are.
    if addition.record and not addition.dtype:
        shutil.copyfile(addition.weights, target)
    else:
        rewrite(addition.weights, target, addition.dtype, card=name)


def _card(
    addition: Addition, stage: Path, spec: ModelSpec, task: str, metadata: Mapping[str, str], told: Mapping[str, Any]
) -> Card:
    """The card without a score."""
    facts = _facts(stage / WEIGHTS, spec, task)
    sizes, training = (
        facts.parameters,
        _training(addition, parse_json(metadata.get("training", "{}"), "their metadata"), told),
    )
    return Card(
        name=stage.name,
        architecture=spec.id,
        task=task,
        task_version=default().tasks.spec(task).version,
        status="unverified",
        description=addition.description or _description(spec, task, training),
        effective_depth=facts.effective_depth,
        license=addition.license,
        authors=addition.authors,
        paper=spec.paper,
        sha256=file_sha256(stage / WEIGHTS),
        parameters=Size(sizes.network, sizes.puzzle_table, sizes.touched_per_puzzle),
        config=dict(sorted(parse_json(metadata["config"], "their metadata").items())),
        training=training,
        source=Source(file=WEIGHTS),
        encoding=parse_json(metadata.get("encoding", "{}"), "their metadata"),
        folder=stage,
    )


def _facts(weights: Path, spec: ModelSpec, task: str) -> ModelFacts:
    loaded = task_of(task)
    launch = Launch(task, spec.id, weights=str(weights))
    return load(launch, loaded, InferencePlan(split=loaded.spec.default_split), None, weights)[0].facts()


def _training(addition: Addition, declared: Mapping[str, Any], told: Mapping[str, Any]) -> Training:
    """What the file declares, with what its training run tells of time, hardware and recipe."""
    result, recipe = told.get("result", {}), told.get("recipe", {})
    known = {item.name for item in dataclasses.fields(TrainingData)}
    data = tuple(TrainingData(**{k: v for k, v in entry.items() if k in known}) for entry in declared.get("data", ()))
    return Training(
        demonstrations=declared.get("demonstrations", "unknown"),
        checkpoint_choice=addition.checkpoint_choice or declared.get("checkpoint_choice", "unknown"),
        data=data,
        extra_data=tuple(declared.get("extra_data", ())),
        recipe="recipe.toml" if recipe or addition.recipe else "",
        hardware=addition.hardware or told.get("hardware", ""),
        seconds=round(result["seconds"]) if "seconds" in result else None,
        steps=result.get("steps"),
        seed=recipe.get("seed"),
        notes=addition.notes or declared.get("notes", ""),
    )


def _description(spec: ModelSpec, task: str, training: Training) -> str:
    title = default().tasks.spec(task).title
    told = f", {training.steps:,} steps in {training.seconds / 60:.0f} minutes" if training.seconds else ""
    return f"{spec.title} on {title}{told}."


def _place_recipe(addition: Addition, stage: Path, told: Mapping[str, Any]) -> None:
    """``recipe.toml``: the user's own file, else what the training run wrote down."""
    if addition.recipe:
        shutil.copyfile(addition.recipe, stage / "recipe.toml")
    elif told.get("recipe"):
        import tomlkit

        recipe = {key: value for key, value in told["recipe"].items() if value not in ({}, None)}
        stages = recipe.pop("stages")
        plain = {key: value for key, value in recipe.items() if not isinstance(value, Mapping)}
        tables = {key: value for key, value in recipe.items() if isinstance(value, Mapping)}
        records.write_text(stage / "recipe.toml", tomlkit.dumps(plain | tables | {"stage": stages}))


def _score(addition: Addition, card: Card, watchers: Watchers | None) -> tuple[Path, RunRecord] | None:
    """The run behind the card's score: the one given, or a new one in a folder of its own beside the card."""
    if addition.record:
        return addition.record, _own_record(addition.record, card)
    if not addition.evaluate:
        return None
    task = task_of(card.task)
    device = resolve_device("auto")
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    launch = Launch(card.task, card.architecture, card.name, device=device, dtype=dtype)
    plan = InferencePlan(split=task.spec.default_split, limit=addition.limit)
    choices = Choices(card.task, card.name)
    found = guard(task, plan, launch, card.mapping(), choices.allow_contaminated)
    model, setting = load(launch, task, plan, card, card.folder / WEIGHTS)
    command = f"trm-harness eval --task {card.task} --model {card.name}"
    command += f" --limit {addition.limit}" if addition.limit else ""
    setting = dataclasses.replace(setting, contamination=found, command=command, notes=())
    out = card.folder.parent / _run_name(card)
    record = evaluate(task, model, plan, out, setting, watchers)
    if record.status != "success":
        raise CheckFailed(f"the evaluation stopped ({record.message}): nothing was added")
    return out, record


def _run_name(card: Card) -> str:
    from datetime import datetime

    return f"{datetime.now():%Y%m%d-%H%M%S}-{card.task}-{card.name}".replace("/", "-")


def _own_record(run: Path, card: Card) -> RunRecord:
    """The record of a finished run of the card's weights on the card's task. ``BadInput`` for any other."""
    record = records.read(run)
    if record.status != "success" or record.headline is None:
        raise BadInput(f"{run}: this run has no score (status {record.status}): finish it with `eval --resume`")
    if record.task.id != card.task:
        raise BadInput(f"{run}: is a run on task {record.task.id}, not on {card.task}: give one on it")
    if record.model.weights_sha256 != card.sha256:
        raise BadInput(
            f"{run}: is of weights {record.model.weights_sha256[:12]}..., the card's are {card.sha256[:12]}...: "
            "evaluate the card's own (--evaluate does), or leave --dtype out"
        )
    if record.task.own_data:
        raise BadInput(f"{run}: was made with own data, not the task's published puzzles: evaluate on those")
    return record


def _claimed(card: Card, run: Path, record: RunRecord, shipped: bool) -> Card:
    """The card with the record's score, the run filed where the card says it is."""
    place = f"{card.task}/{card.name}/{card.sha256[:8]}/{record.id}" if shipped else f"record/{record.id}"
    if shipped:
        _file_shipped(run, leaderboards() / "records" / place, card, record)
    else:
        _file(run, card.folder / place, card, record)
    best = record.headline
    assert best is not None
    expected = Expected(
        metric=best.name,
        value=best.value,
        n=best.denominator,
        low=best.low or 0.0,
        high=1.0 if best.high is None else best.high,
        record=f"leaderboards/records/{place}" if shipped else place,
    )
    return dataclasses.replace(card, status="trained", expected=expected)


def _file_shipped(run: Path, target: Path, card: Card, record: RunRecord) -> None:
    """File a run among the published records, which proves it first; one that lies there already stays as it is."""
    if run.resolve() == target.resolve():
        return
    launch = read_json(run / "plan.json").get("launch") or {}
    data = {card.task: Path(launch["data"])} if launch.get("data") else {}
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch) / record.id
        _file(run, stage, card, record)
        file_run(stage, leaderboards() / "records", data)


def _file(run: Path, target: Path, card: Card, record: RunRecord) -> None:
    """Copy a run's files; the launch and the record name the card instead of a file on somebody's disk."""
    target.mkdir(parents=True, exist_ok=True)
    for name in FILED:
        if (run / name).is_file() and (run / name).resolve() != (target / name).resolve():
            shutil.copyfile(run / name, target / name)
    plan = read_json(target / "plan.json")
    launch = Launch(**plan["launch"]) if plan["launch"] else Launch(card.task, card.architecture)
    plan["launch"] = as_mapping(dataclasses.replace(launch, card=card.name, weights="", data=""))
    records.write_text(target / "plan.json", json.dumps(plan, indent=1) + "\n")
    model = record.model.model_copy(update={"card": card.name, "weights_source": WEIGHTS})
    records.write(target, record.model_copy(update={"model": model}))
