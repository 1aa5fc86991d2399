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
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.evaluate import Watchers, evaluate
from trm_harness.files import write
from trm_harness.files.names import CURVE_FILE, PLAN_FILE, RUN_FILES, TRAINING_FILE, WEIGHTS_FILE
from trm_harness.files.paths import board_beside
from trm_harness.files.read import parse_json, read_json
from trm_harness.files.write import write_text
from trm_harness.fingerprint import file_sha256
from trm_harness.inference import InferencePlan, select
from trm_harness.loading import Launch, guard, load, task_of
from trm_harness.loading.choices import as_mapping
from trm_harness.machine import resolve_device, usual_dtype
from trm_harness.progress import duration
from trm_harness.publish import file_run
from trm_harness.publish.golden import FILE as GOLDEN
from trm_harness.publish.golden import make_golden
from trm_harness.record import RunRecord
from trm_harness.registry import default
from trm_harness.specs import ModelSpec
from trm_harness.types import ModelFacts
from trm_harness.zoo import CARD_FILE, Card, Expected, Learning, Size, Source, Training, TrainingData, refuse_taken
from trm_harness.zoo.cards import is_file_name
from trm_harness.zoo.write import change_card, write_card

LICENSE = "Apache-2.0"
AUTHORS = ("The trm-harness developers",)


@dataclass(frozen=True)
class Addition:
    """What a card is made of. ``run`` is a training run's folder (its ``train.json``), ``record`` an evaluation's.

    Empty texts and ``None`` are found out: the architecture from the training run or the configuration, the task from
    the training run, the name from both. ``dtype`` converts the stored tensors. ``license``, ``authors`` and
    ``trained_on`` (data in words, ``unknown`` too) must be said for weights of somebody else's model.
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
    license: str = ""
    authors: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    hardware: str = ""
    checkpoint_choice: str = ""
    notes: str = ""
    recipe: Path | None = None
    golden: int = 8
    golden_steps: int | None = None


def add_card(addition: Addition, folder: Path, replace: bool = False, watchers: Watchers | None = None) -> Card:
    """Make ``folder/<name>`` with card, weights, recipe and golden outputs, all at once or not at all.

    The score is that of ``record``, which must be one of these very weights, or of a new run if ``evaluate``; without
    either the card is ``unverified``. The record goes into the leaderboards of the checkout whose zoo ``folder`` is,
    else into the card's folder. With ``replace`` a card of that name goes; what is no part of it stays. ``BadInput``
    for what does not fit together.
    """
    told = _training_run(addition.run)
    ending = _own_ending(addition, told)
    metadata = {} if ending else our_metadata(addition.weights)
    task = addition.task or told.get("task", "")
    if not task:
        raise BadInput("which task the weights answer is not known: give --task, or the training run's folder")
    architecture = addition.architecture or told.get("model", "")
    spec = default().models.spec(architecture) if ending else spec_of(metadata, architecture)
    name = addition.name or f"{spec.id}.{task}"
    if not is_file_name(name):
        raise BadInput(f"{name!r} is no name for a card's folder: use --name architecture.tag")
    if (folder / name).exists() and not replace:
        raise BadInput(f"{folder / name} is there already: choose another --name, or say --replace")
    refuse_taken(name, folder)
    addition = _with_authors(addition, spec, metadata)
    with write.folder(folder / name, replace=replace) as stage:
        weights = stage / (f"{Path(WEIGHTS_FILE).stem}{ending}" if ending else WEIGHTS_FILE)
        _place_weights(addition, weights, name)
        card = _card(addition, weights, spec, task, metadata, told)
        _place_recipe(addition, stage, told)
        if addition.run and card.training.curve:
            shutil.copyfile(addition.run / CURVE_FILE, stage / CURVE_FILE)
        if addition.golden:
            make_golden(card, addition.golden, addition.golden_steps)
            card = dataclasses.replace(card, golden=GOLDEN)
        found = _score(addition, card, watchers)
        # Last, for it may write into the leaderboards: nothing after it can fail for the user's sake.
        if found is not None:
            card = _claimed(card, *found, board_beside(folder))
        if replace and (folder / name).is_dir():
            _keep_others(folder / name, stage)
        write_card(card)
    return dataclasses.replace(card, folder=folder / name)


def _own_ending(addition: Addition, told: Mapping[str, Any]) -> str:
    """How a weights file ends that only its model can read (``.npz``); empty for safetensors."""
    name = addition.architecture or told.get("model", "")
    spec = default().models.spec(name) if name else None
    if spec is None or not spec.reads_itself(addition.weights.name):
        return ""
    if addition.dtype:
        raise BadInput(f"{addition.weights.name}: --dtype converts safetensors alone: leave it out")
    return max((ending for ending in spec.reads if addition.weights.name.endswith(ending)), key=len)


def _with_authors(addition: Addition, spec: ModelSpec, metadata: Mapping[str, str]) -> Addition:
    """Whose the weights are: ours for a model that ships with the harness; of any other it has to be said."""
    if default().models.owner(spec.id).in_tree:
        ours = {"license": addition.license or LICENSE, "authors": addition.authors or AUTHORS}
        return dataclasses.replace(addition, **ours)
    declares = parse_json(metadata.get("training", "{}"), "their metadata").get("data")
    asked = {
        "--author (whose the weights are)": addition.authors,
        "--license": addition.license,
        "--trained-on (in words)": addition.trained_on or declares,
    }
    missing = [option for option, given in asked.items() if not given]
    if missing:
        raise BadInput(
            f"{addition.weights.name} is of {spec.id}, which does not ship with the harness: say "
            f"{', '.join(missing)}; unknown, if nobody can say"
        )
    return addition


def file_record(card: Card, run: Path) -> Card:
    """State a run's score on a card that is in place, and file the run; the card as it is now."""
    card = _claimed(card, run, _own_record(run, card), board_beside(card.folder.parent))
    return change_card(card, status=card.status, expected=card.expected, adaptation=card.adaptation)


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
    if family in models:
        return models.spec(family)
    return nearest(architecture_named(family)[1], parse_json(metadata["config"], "their metadata"))


def _training_run(run: Path | None) -> dict[str, Any]:
    """Task, model, recipe, result and hardware of a finished training run; empty without one."""
    if run is None:
        return {}
    told = read_json(run / TRAINING_FILE)
    if not told.get("result"):
        raise BadInput(f"{run / 'train.json'}: this training did not end: finish it with `trm-harness train --resume`")
    # The first runs' files have at the top what a job and its sittings hold now.
    job = told.get("job") or told
    sittings = told.get("sessions") or [{"threads": told.get("environment", {}).get("threads"), **told}]
    hardware = dict.fromkeys(_hardware(session) for session in sittings)
    return {**job, "result": told["result"], "hardware": "; ".join(filter(None, hardware))}


def _hardware(session: Mapping[str, Any]) -> str:
    threads, device = session.get("threads"), session.get("device") or ""
    return f"{device}, {threads} thread{'s' if threads > 1 else ''}" if device and threads else device


def _place_weights(addition: Addition, target: Path, name: str) -> None:
    # A record is of the file's bytes: weights that come with one are copied as they are. So are those of a form that
    # only their model knows.
    if target.name != WEIGHTS_FILE or (addition.record and not addition.dtype):
        shutil.copyfile(addition.weights, target)
    else:
        rewrite(addition.weights, target, addition.dtype, card=name)


def _card(
    addition: Addition, weights: Path, spec: ModelSpec, task: str, metadata: Mapping[str, str], told: Mapping[str, Any]
) -> Card:
    """The card without a score, of the file ``weights`` in the card's folder."""
    facts = _facts(weights, spec, task)
    config = parse_json(metadata["config"], "their metadata") if metadata else facts.config
    sizes, training = (
        facts.parameters,
        _training(addition, parse_json(metadata.get("training", "{}"), "their metadata"), told),
    )
    return Card(
        name=weights.parent.name,
        architecture=spec.id,
        task=task,
        task_version=default().tasks.spec(task).version,
        status="unverified",
        description=addition.description or _description(spec, task, training),
        effective_depth=facts.effective_depth,
        license=addition.license,
        authors=addition.authors,
        paper=spec.paper,
        sha256=file_sha256(weights),
        parameters=Size(sizes.network, sizes.puzzle_table, sizes.touched_per_puzzle),
        config=dict(sorted(config.items())),
        training=training,
        source=Source(file=weights.name),
        encoding=parse_json(metadata.get("encoding", "{}"), "their metadata"),
        folder=weights.parent,
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
        extra_data=(*declared.get("extra_data", ()), *(name for name in addition.trained_on if name != "unknown")),
        recipe="recipe.toml" if recipe or addition.recipe else "",
        curve=CURVE_FILE if addition.run and (addition.run / CURVE_FILE).is_file() else "",
        hardware=addition.hardware or told.get("hardware", ""),
        seconds=round(result["seconds"]) if "seconds" in result else None,
        steps=result.get("steps"),
        seed=recipe.get("seed"),
        notes=addition.notes or declared.get("notes", ""),
    )


def _description(spec: ModelSpec, task: str, training: Training) -> str:
    title = default().tasks.spec(task).title
    told = f", {training.steps:,} steps in {duration(training.seconds)}" if training.seconds else ""
    return f"{spec.title} on {title}{told}."


def _place_recipe(addition: Addition, stage: Path, told: Mapping[str, Any]) -> None:
    """``recipe.toml``: the user's own file, else what the training run wrote down."""
    if addition.recipe:
        shutil.copyfile(addition.recipe, stage / "recipe.toml")
    elif told.get("recipe"):
        import tomlkit

        recipe = {key: value for key, value in told["recipe"].items() if value not in ({}, [], None)}
        rows = {name: [_said(row) for row in recipe.pop(f"{name}s", ())] for name in ("part", "stage")}
        plain = {key: value for key, value in recipe.items() if not isinstance(value, Mapping)}
        tables = {key: value for key, value in recipe.items() if isinstance(value, Mapping)}
        write_text(stage / "recipe.toml", tomlkit.dumps(plain | tables | {k: v for k, v in rows.items() if v}))


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """A table's keys that say something."""
    return {key: value for key, value in row.items() if value not in ({}, "", None)}


def _score(addition: Addition, card: Card, watchers: Watchers | None) -> tuple[Path, RunRecord] | None:
    """The run behind the card's score: the one given, or a new one in a folder of its own beside the card."""
    if addition.record:
        return addition.record, _own_record(addition.record, card)
    if not addition.evaluate:
        return None
    task = task_of(card.task)
    device = resolve_device("auto")
    launch = Launch(card.task, card.architecture, card.name, device=device, dtype=usual_dtype(device))
    plan = InferencePlan(split=task.spec.default_split, limit=addition.limit)
    selection = select(task, plan)
    found = guard(task, plan.split, selection, launch, card.mapping(), allowed=False)
    model, setting = load(launch, task, plan, card, card.folder / card.source.file)
    command = f"trm-harness eval --task {card.task} --model {card.name}"
    command += f" --limit {addition.limit}" if addition.limit else ""
    setting = dataclasses.replace(setting, contamination=found, command=command, notes=())
    out = card.folder.parent / _run_name(card)
    record = evaluate(task, model, plan, out, setting, watchers, selection=selection)
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


def _keep_others(old: Path, stage: Path) -> None:
    """Take along what lies in the folder of a card that is replaced and is no part of a card: it is the user's."""
    for file in old.rglob("*"):
        place = file.relative_to(old)
        own = place.parts[0] in (CARD_FILE, "recipe.toml", CURVE_FILE, GOLDEN, "record")
        own |= place.name == place.as_posix() and place.stem == Path(WEIGHTS_FILE).stem
        if not own and file.is_file() and not (stage / place).exists():
            (stage / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, stage / place)


def _claimed(card: Card, run: Path, record: RunRecord, board: Path | None) -> Card:
    """The card with the record's score, the run filed in ``board`` or, without one, in the card's folder."""
    place = f"{card.task}/{card.name}/{card.sha256[:8]}/{record.id}" if board else f"record/{record.id}"
    if board:
        _file_shipped(run, board / "records", place, card, record)
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
        record=f"leaderboards/records/{place}" if board else place,
    )
    told = record.protocol
    how = (told.adapt, told.adapt_steps, told.adapt_lr, told.adapt_settings, told.augment)
    learning = Learning(*how) if told.adapt else None
    return dataclasses.replace(card, status="trained", expected=expected, adaptation=learning)


def _file_shipped(run: Path, filed: Path, place: str, card: Card, record: RunRecord) -> None:
    """File a run among the published records, which proves it first; one that lies there already stays as it is."""
    if run.resolve() == (filed / place).resolve():
        return
    launch = read_json(run / PLAN_FILE).get("launch") or {}
    data = {card.task: Path(launch["data"])} if launch.get("data") else {}
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch) / record.id
        _file(run, stage, card, record)
        file_run(stage, filed, data)


def _file(run: Path, target: Path, card: Card, record: RunRecord) -> None:
    """Copy a run's files; the launch and the record name the card instead of a file on somebody's disk."""
    target.mkdir(parents=True, exist_ok=True)
    for name in RUN_FILES:
        if (run / name).is_file() and (run / name).resolve() != (target / name).resolve():
            shutil.copyfile(run / name, target / name)
    plan = read_json(target / PLAN_FILE)
    launch = Launch(**plan["launch"]) if plan["launch"] else Launch(card.task, card.architecture)
    plan["launch"] = as_mapping(dataclasses.replace(launch, card=card.name, weights="", data=""))
    write_text(target / PLAN_FILE, json.dumps(plan, indent=1) + "\n")
    model = record.model.model_copy(update={"card": card.name, "weights_source": card.source.file or WEIGHTS_FILE})
    records.write(target, record.model_copy(update={"model": model}))
