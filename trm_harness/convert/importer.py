"""Reference checkpoints to weights and a card of ours: names mapped, configuration found, table rows named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_harness.contracts import ModelRequest, NamesRows, Task
from trm_harness.convert.infer import Setting, from_file, from_shapes, settle
from trm_harness.convert.unpickle import read_checkpoint
from trm_harness.errors import BadInput
from trm_harness.files import write
from trm_harness.files.names import WEIGHTS_FILE
from trm_harness.files.read import TABLE_LIMIT, is_safetensors, parse_json, read_text
from trm_harness.fingerprint import file_sha256
from trm_harness.nn.checkpoint import FORMAT, load_state, save_weights
from trm_harness.nn.identities import SEPARATOR
from trm_harness.nn.model import DTYPES, TorchModel
from trm_harness.nn.network import Architecture, Network
from trm_harness.nn.reference import ARCHITECTURES, from_reference
from trm_harness.registry import default
from trm_harness.specs import ModelSpec
from trm_harness.types import BLANK_NAME
from trm_harness.zoo import Card, Size, Source, Training, refuse_taken, safetensors_metadata
from trm_harness.zoo.write import write_card

LARGE = 10_000
"""Table rows above which only those of the evaluated split are kept, unless all are asked for."""

EMBEDDING = "frame.token_embedding.weight"
"""A tensor that every network has under this name of ours."""

PUBLISHED = {
    "trm": "https://arxiv.org/abs/2510.04871",
    "hrm": "https://arxiv.org/abs/2506.21734",
    "direct": "https://arxiv.org/abs/2510.04871",
}


@dataclass(frozen=True)
class Import:
    """What to import and what the file does not say.

    ``arch`` is the reference's architecture file, or a model id. ``config`` is its ``all_config.yaml``; ``settings``
    are ours by name and go before it. ``rows`` of the puzzle table: ``all``, those of the ``evaluation`` split, the
    ``blank`` one, or ``auto``; ``views`` bounds how many augmentations of each task. ``identifiers`` is the reference's
    ``identifiers.json``, for a table that no task knows. ``which`` is ``ema`` or ``raw`` for a file with both.
    ``format`` says whose names the tensors have, the ``reference``'s or ``trm-harness``' (``auto``: as they look).
    ``trained_on`` names data in words, where there is no ``training``.
    """

    file: Path
    arch: str
    task: str
    name: str = ""
    config: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: str = "auto"
    views: int | None = None
    identifiers: Path | None = None
    which: str = "auto"
    dtype: str = "float32"
    license: str = "unknown"
    authors: tuple[str, ...] = ("unknown",)
    training: Training | None = None
    format: str = "auto"
    trained_on: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Imported:
    """The card, every setting with its origin, and what a user should know, one line each."""

    card: Card
    settings: Sequence[Setting]
    notes: Sequence[str]


def import_checkpoint(wanted: Import, folder: Path) -> Imported:
    """Convert a checkpoint into ``folder/<name>``: weights and an ``unverified`` card, all at once or not at all.

    ``BadInput`` for a file that is no checkpoint of the architecture, for a configuration that contradicts it, and for
    table rows that nobody can name.
    """
    task = default().task(wanted.task)
    raw, where = read_checkpoint(wanted.file, wanted.which)
    ask_whose(wanted)
    # A card is called by its model, so that a given name decides for one.
    told = wanted.name.rpartition(".")[0]
    arch = told if told in default().models.names() and family_of(told) == family_of(wanted.arch) else wanted.arch
    spec, architecture = architecture_named(arch)
    state = _our_names(architecture, raw, wanted)
    shapes = from_shapes(architecture, state, task.spec.seq_len)
    if shapes["vocab_size"] != task.spec.vocab_size:
        own = f"the checkpoint has {shapes['vocab_size']} symbols, task {task.spec.id} {task.spec.vocab_size}"
        raise BadInput(f"{wanted.file.name}: {own}: name the task it was made for")
    given = {**_variant(wanted.arch), **wanted.settings}
    file = from_file(architecture, wanted.config) if wanted.config else {}
    if spec.id != arch:
        spec = nearest(architecture, shapes | file | given)
    usual = {item.name: item.default for item in dataclasses.fields(architecture.config)} | dict(spec.config)
    unknown = sorted(given.keys() - usual.keys())
    if unknown:
        raise BadInput(f"--set {unknown[0]}: {architecture.name} has no such setting: it has {', '.join(usual)}")
    settings = settle(architecture, shapes, file, given, usual)
    names, kept, told = _rows(wanted, task, state.get("table.weight"))
    if kept is not None:
        state["table.weight"] = state["table.weight"][torch.tensor(kept)]
    network = _network(architecture, settings, len(names), state, wanted.file.name)
    encoding = {"views": "reference"} if len(names) > 1 and isinstance(task, NamesRows) else {}
    notes = [f"weights: {where}", *told]
    return Imported(_written(wanted, folder, spec, architecture, network, names, encoding, notes), settings, notes)


def ask_whose(wanted: Import) -> None:
    """``BadInput`` unless authors and licence of foreign safetensors are told: nobody else will ask for them."""
    if not is_safetensors(wanted.file):
        return
    if safetensors_metadata(wanted.file).get("format") == FORMAT:
        raise BadInput(f"{wanted.file}: holds weights of this harness already: `trm-harness zoo add` makes a card")
    if wanted.license == "unknown" or wanted.authors == ("unknown",):
        raise BadInput(
            f"{wanted.file}: whose weights are these? give --author NAME (once for each) and --license ID, as their "
            "publishers state them"
        )


def not_said(card: Card) -> list[str]:
    """The options of what an imported card does not tell: whose the weights are and what they were trained on."""
    training = card.training
    told = {
        "--author NAME": card.authors != ("unknown",),
        "--license ID": card.license != "unknown",
        "--trained-on TEXT": bool(training.data or training.extra_data),
    }
    return [option for option, known in told.items() if not known]


def _our_names(architecture: Architecture, raw: Mapping[str, Tensor], wanted: Import) -> dict[str, Tensor]:
    """The state under our names. ``BadInput`` if the names are of no form that is known, or not of the one given."""
    ours = EMBEDDING in raw
    if wanted.format == "auto":
        return dict(raw) if ours else from_reference(architecture, raw)
    if ours != (wanted.format == FORMAT):
        found = FORMAT if ours else "reference"
        raise BadInput(f"{wanted.file.name}: its tensors are not named in format {wanted.format}: try --format {found}")
    return dict(raw) if ours else from_reference(architecture, raw)


def family_of(arch: str) -> str:
    """The family (``trm``) of a reference architecture file or a model id. ``BadInput`` if it is neither."""
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch][0]
    families = {spec.id.partition("-")[0] for spec in default().models if spec.trainable}
    if arch in default().models.names() or arch in families:
        return arch.partition("-")[0]
    known = ", ".join(ARCHITECTURES)
    raise BadInput(f"architecture {arch!r} is unknown: use one of {known}, or a model (`trm-harness models list`)")


def nearest(architecture: Architecture, known: Mapping[str, Any]) -> ModelSpec:
    """The model of the family whose settings are nearest to what is known: what is not will be assumed as its.

    ``BadInput`` if none has what its name promises (mixer, positions, ...).
    """

    def promised(spec: ModelSpec) -> bool:
        return all(spec.config.get(key, known.get(key)) == known.get(key, spec.config.get(key)) for key in variant)

    variant = architecture.config.variant
    of_family = [s for s in default().models if s.trainable and s.id.startswith(f"{architecture.name}-")]
    # One family's name may begin another's: trm and trm-conv.
    of_family = [s for s in of_family if s.trainable == of_family[0].trainable]
    fitting = [spec for spec in of_family if promised(spec)]
    if not fitting:
        told = ", ".join(f"{key} {known[key]!r}" for key in variant if key in known)
        raise BadInput(
            f"no registered model of architecture {architecture.name!r} has {told}: is its plugin installed?"
        )
    return max(fitting, key=lambda spec: sum(spec.config.get(key) == value for key, value in known.items()))


def architecture_of(spec: ModelSpec) -> Architecture:
    """The torch architecture behind a trainable model. ``BadInput`` for a model that has none."""
    # As small a network as there is: only what kind it is of is asked for.
    small = {"hidden_size": 2 * spec.config.get("heads", 1), "puzzle_dim": 0}
    task = next(iter(default().tasks))
    request = ModelRequest(dataclasses.replace(spec, config={**spec.config, **small}), task)
    model = default().models.resolve(spec.id, "trainable")(request) if spec.trainable else None
    if not isinstance(model, TorchModel):
        raise BadInput(f"model {spec.id} is no torch network of this harness: there is nothing to convert")
    return model.architecture


def _variant(arch: str) -> Mapping[str, Any]:
    return ARCHITECTURES[arch][1] if arch in ARCHITECTURES else {}


def architecture_named(arch: str) -> tuple[ModelSpec, Architecture]:
    """A model of the architecture (a family, a reference file or a model id), and the architecture itself."""
    models, family = default().models, family_of(arch)
    if arch in models.names():
        spec = models.spec(arch)
    else:
        spec = next((spec for spec in models if spec.trainable and spec.id.startswith(f"{family}-")), None)
    if spec is None:
        raise BadInput(f"no registered model is of architecture {family!r}: is its plugin installed?")
    return spec, architecture_of(spec)


def _rows(wanted: Import, task: Task, table: Tensor | None) -> tuple[tuple[str, ...], list[int] | None, list[str]]:
    """Names of the rows to keep, their numbers (``None``: all), and what to tell of it."""
    count = 0 if table is None else table.shape[0]
    if count <= 1 or wanted.rows == "blank":
        note = ["puzzle table: the blank row only, every puzzle reads it"] if count > 1 else []
        return (BLANK_NAME,) if count else (), [0] if count > 1 else None, note
    names = _names(wanted, task, count)
    rows = wanted.rows if wanted.rows != "auto" else ("evaluation" if count > LARGE else "all")
    if rows == "all" and len(names) == count and wanted.views is None:
        return tuple(names), None, [f"puzzle table: all {count:,} rows"]
    groups = {puzzle.group for puzzle in task.puzzles(task.spec.default_split)} if rows == "evaluation" else None
    seen: dict[str, int] = {}
    kept = [0]
    for row, name in enumerate(names[1:], start=1):
        base = name.split(SEPARATOR)[0]
        seen[base] = seen.get(base, 0) + 1
        if (groups is None or base in groups) and (wanted.views is None or seen[base] <= wanted.views):
            kept.append(row)
    if len(kept) == 1:
        raise BadInput(f"none of the {len(names):,} named rows is of a task of {task.spec.id}: name its own task")
    which = "all that have a name" if groups is None else "evaluation tasks"
    return tuple(names[row] for row in kept), kept, [f"puzzle table: {len(kept):,} of {count:,} rows ({which})"]


def _names(wanted: Import, task: Task, count: int) -> Sequence[str]:
    """Names of the first rows of a table of ``count``."""
    if wanted.identifiers is None:
        if not isinstance(task, NamesRows):
            raise BadInput(
                f"the puzzle table has {count:,} rows and task {task.spec.id} does not know whose: give the data set's "
                "identifiers.json with --identifiers, or keep the blank row only with --rows blank"
            )
        return task.reference_identifiers(count)
    names = parse_json(read_text(wanted.identifiers, TABLE_LIMIT, "a list of names"), f"{wanted.identifiers}")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) != count:
        raise BadInput(f"{wanted.identifiers}: must be a list of {count:,} names, one for each row of the table")
    return names


def _network(
    architecture: Architecture, settings: Sequence[Setting], rows: int, state: Mapping[str, Tensor], where: str
) -> Network:
    """The network, its configuration checked against the tensors."""
    values = {setting.name: setting.value for setting in settings}
    # How identities become rows is no choice of the file's: one row each is the published form.
    values |= {"identities": "table", "table_rows": max(1, rows)}
    network = architecture.network(architecture.config.from_mapping(values), torch.float32)
    load_state(network, state, where)
    return network


def _written(
    wanted: Import,
    folder: Path,
    spec: ModelSpec,
    architecture: Architecture,
    network: Network,
    names: tuple[str, ...],
    encoding: Mapping[str, Any],
    notes: Sequence[str],
) -> Card:
    name = wanted.name or f"{spec.id}.{wanted.file.stem.lower().replace('_', '-')}"
    if (folder / name).exists():
        raise BadInput(f"{folder / name} is there already: choose another --name")
    refuse_taken(name, folder)
    named = tuple(name for name in wanted.trained_on if name != "unknown")
    training = wanted.training or Training("unknown", "unknown", (), extra_data=named)
    training = dataclasses.replace(training, notes="; ".join(filter(None, [training.notes, *notes])))
    with write.folder(folder / name) as stage:
        path = stage / WEIGHTS_FILE
        declared = {key: value for key, value in dataclasses.asdict(training).items() if value not in (None, "", ())}
        save_weights(path, architecture, network, names, name, DTYPES[wanted.dtype], encoding, declared)
        config = network.config
        table = 0 if network.table is None else network.table.weight.numel()
        card = Card(
            name=name,
            architecture=spec.id,
            task=wanted.task,
            task_version=default().tasks.spec(wanted.task).version,
            status="unverified",
            description=f"Imported from a reference checkpoint, {wanted.file.name}.",
            effective_depth=config.effective_depth,
            license=wanted.license,
            authors=wanted.authors,
            paper=PUBLISHED.get(architecture.name, spec.paper),
            sha256=file_sha256(path),
            parameters=Size(network.network_parameters(), table, config.rows_per_puzzle * config.puzzle_dim),
            config=dict(sorted(config.as_dict().items())),
            training=training,
            source=Source(file=WEIGHTS_FILE),
            encoding=encoding,
            folder=stage,
        )
        write_card(card)
    return dataclasses.replace(card, folder=folder / name)
