"""A card as a folder that a hub takes as it is, and such a folder taken from a hub as a card."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from trm_harness.errors import BadInput
from trm_harness.files import write
from trm_harness.files.hub import HubFile
from trm_harness.files.names import RUN_FILES
from trm_harness.files.read import read_toml
from trm_harness.files.write import write_text
from trm_harness.fingerprint import file_sha256
from trm_harness.plugins.host import LOOSE
from trm_harness.record import read
from trm_harness.registry import default
from trm_harness.zoo import Card, Source, read_card, refuse_taken, weights_path
from trm_harness.zoo.cards import CARD_FILE, is_file_name
from trm_harness.zoo.write import write_card

MODEL_FILE = "model.safetensors"
LIBRARY = "trm-harness"
MOST = 64 * 2**20
"""Bytes that a file beside the weights may have: cards and records are small."""


def export_hub(card: Card, out: Path, record: Path | None) -> Path:
    """Write the new folder ``out``: weights, ``config.json``, a model card with results, our card, golden, ``record``.

    ``out/card.toml`` makes the folder a zoo card again wherever it is pulled to. ``BadInput`` if ``out`` exists or the
    weights are not the card's.
    """
    weights = weights_path(card)
    if out.exists():
        raise BadInput(f"{out} is there already: give --out a new folder")
    with write.folder(out, name=card.name) as stage:
        file = MODEL_FILE if weights.name.endswith(".safetensors") else f"{Path(MODEL_FILE).stem}{weights.suffix}"
        shutil.copyfile(weights, stage / file)
        told = {"architecture": card.architecture, "config": dict(card.config), "encoding": dict(card.encoding)}
        write_text(stage / "config.json", json.dumps({"library_name": LIBRARY, **told}, indent=2) + "\n")
        for name in _beside(card):
            if (card.folder / name).is_file():
                shutil.copyfile(card.folder / name, stage / name)
        shared = dataclasses.replace(_with_record(card, stage, record), folder=stage, source=Source(file=file))
        write_card(shared)
        write_text(stage / "README.md", model_card(shared))
    return out


def _with_record(card: Card, stage: Path, record: Path | None) -> Card:
    """The card whose record travels in its folder."""
    if record is None or card.expected is None:
        return card
    place = f"record/{read(record).id}"
    (stage / place).mkdir(parents=True)
    for name in RUN_FILES:
        if (record / name).is_file():
            shutil.copyfile(record / name, stage / place / name)
    return dataclasses.replace(card, expected=dataclasses.replace(card.expected, record=place))


def model_card(card: Card) -> str:
    """``README.md`` of a hub repository: a metadata block with the results, and the card in words."""
    from huggingface_hub import EvalResult, ModelCardData

    results = None
    if card.expected:
        best = card.expected
        results = [
            EvalResult(
                task_type="other",
                task_name="grid puzzles",
                dataset_type=card.task,
                dataset_name=card.task,
                metric_type=best.metric,
                metric_value=best.value,
                metric_name=f"{best.metric} over {best.n} (95 % interval {best.low:.4f} to {best.high:.4f})",
            )
        ]
    tags = [LIBRARY, card.architecture, card.task, "recursive-reasoning"]
    data = ModelCardData(
        license=card.license.lower() if card.license != "unknown" else "other",
        library_name=LIBRARY,
        tags=tags,
        model_name=card.name,
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_words(card)}"


def _words(card: Card) -> str:
    training, size, best = card.training, card.parameters, card.expected
    trained = [*(data.name for data in training.data), *training.extra_data]
    score = ""
    if best:
        score = f"{best.metric} {best.value:.4f} over {best.n}, 95 % interval {best.low:.4f} to {best.high:.4f}"
    facts = {
        "Task": f"{card.task}, version {card.task_version}",
        "Score": score or f"none measured: {card.status}",
        "Parameters": f"{size.network:,}, and a puzzle table of {size.puzzle_table:,} values",
        "Evaluation tasks' demonstrations": training.demonstrations,
        "Checkpoint": training.checkpoint_choice,
        "Trained on": "; ".join(dict.fromkeys(trained)) or "not declared",
        "Hardware": training.hardware,
        "Paper": card.paper,
        "sha256 of the weights": card.sha256,
    }
    lines = "\n".join(f"- **{name}**: {value}" for name, value in facts.items() if value)
    use = "".join(f"{line}\n" for line in _needed(card))
    use += f"trm-harness zoo pull OWNER/REPOSITORY\ntrm-harness eval --task {card.task} --model {card.name}"
    return f"# {card.name}\n\n{card.description}\n\n{lines}\n\n```sh\n{use}\n```\n"


def held_folder(repo_id: str, revision: str, folder: Path) -> Card:
    """The card of hub repository ``repo_id`` in ``folder``: the one that lies there, else as :func:`pull_folder`.

    What lies there counts only if it is the same card as the repository's, weights included.
    """
    brought = HubFile(repo_id, CARD_FILE, revision, "model").download()
    held = folder / _name_in(brought) / CARD_FILE
    if held.is_file() and (card := read_card(held)).sha256 == read_toml(brought, "the card").get("sha256"):
        return card
    return pull_folder(repo_id, revision, folder)


def pull_folder(repo_id: str, revision: str, folder: Path) -> Card:
    """The card in hub repository ``repo_id`` at ``revision``, with its weights, in ``folder``.

    Every file comes through the hub client's cache, which resumes what was cut short; the weights count only under the
    card's sha256. ``BadInput`` if the repository has no card, or the weights are not the card's; nothing stays then.
    """
    brought = HubFile(repo_id, CARD_FILE, revision, "model").download()
    commit = brought.parent.name
    name = _name_in(brought)
    if (folder / name).exists():
        raise BadInput(f"{folder / name} is there already: remove it, or rename it and its card, to pull it anew")
    refuse_taken(name, folder)
    with write.folder(folder / name) as stage:
        shutil.copyfile(brought, stage / CARD_FILE)
        card = read_card(stage / CARD_FILE)
        if not card.source.file:
            return dataclasses.replace(card, folder=folder / name)
        _bring(repo_id, commit, card.source.file, stage, limit=None)
        found = file_sha256(stage / card.source.file)
        if found != card.sha256:
            raise BadInput(
                f"{card.source.file} of {repo_id} has sha256 {found[:12]}..., its card says {card.sha256[:12]}...: "
                "nothing of it was kept"
            )
        for extra in _extras(card):
            _bring(repo_id, commit, extra, stage, limit=MOST, optional=True)
    return dataclasses.replace(card, folder=folder / name)


def _needed(card: Card) -> list[str]:
    """How to get what model and task come from, besides the harness: packages by name, single files in words."""
    registry = default()
    owners = [
        catalog.owner(name)
        for catalog, name in ((registry.models, card.architecture), (registry.tasks, card.task))
        if name in catalog
    ]
    # The path of a file is its author's own business.
    lines = (
        f"# with the plugin {Path(owner.distribution).name}: add --plugin FILE to each command"
        if owner.version == LOOSE
        else f"pip install {owner.distribution}"
        for owner in owners
        if not owner.in_tree and owner.module
    )
    return list(dict.fromkeys(lines))


def _name_in(file: Path) -> str:
    """The name a card gives itself, before the card is trusted with anything: it becomes the folder's."""
    name = read_toml(file, "the card").get("name", "")
    if not isinstance(name, str) or not name or set(name) & set("/\\:\0") or name.startswith("."):
        raise BadInput(f"{file.name}: {name!r} is no name for a card's folder")
    return name


def _extras(card: Card) -> list[str]:
    place = card.expected.record if card.expected else ""
    safe = place.startswith("record/") and ".." not in Path(place).parts
    return _beside(card) + ([f"{place}/{name}" for name in RUN_FILES] if safe else [])


def _beside(card: Card) -> list[str]:
    """Files that a card names beside it; a recipe may also be told in words, which name none."""
    return [name for name in (card.golden, card.training.recipe, card.training.curve) if name and is_file_name(name)]


def _bring(repo_id: str, commit: str, name: str, stage: Path, limit: int | None, optional: bool = False) -> None:
    try:
        file = HubFile(repo_id, name, commit, "model").download()
    except BadInput:
        if optional:
            return
        raise
    if limit is not None and file.stat().st_size > limit:
        raise BadInput(f"{name} of {repo_id} is larger than {limit // 2**20} MiB: that is no part of a card")
    (stage / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, stage / name)
