"""Cards: parsed strictly, found by name, by task, or as the best one that an architecture has for a task."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from trm_harness.errors import BadInput, PluginError, UnknownName
from trm_harness.files.paths import board_beside
from trm_harness.files.read import read_toml

if TYPE_CHECKING:
    from trm_harness.registry import Registry

CARD_FILE = "card.toml"
STATUSES = ("trained", "unverified")
DEMONSTRATIONS = ("joint", "per-task", "inductive", "unknown")
FORMATS = ("safetensors", "reference")
USES = ("", "all pairs", "demonstrations only", "test answers")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


# Plain dataclasses, checked by _build below: `zoo list` may not pay for importing pydantic.
@dataclass(frozen=True)
class Size:
    """Values of the network, of its whole puzzle table, and those of the table that one puzzle touches."""

    network: int
    puzzle_table: int
    touched_per_puzzle: int


@dataclass(frozen=True)
class TrainingData:
    """One body of puzzles that was trained on; ``sha256`` is the content hash that a task's source gives.

    ``task`` and ``split`` say whose source that is, ``use`` (one of :data:`USES`) which of its pairs were trained on.
    """

    name: str
    version: str = ""
    sha256: str = ""
    puzzles: int | None = None
    task: str = ""
    split: str = ""
    use: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Training:
    """How the weights came about. ``demonstrations``: were the evaluation tasks' own demonstrations trained on?

    ``recipe`` and ``curve`` name files beside the card: settings, and loss and validations against steps.
    """

    demonstrations: str
    checkpoint_choice: str
    data: tuple[TrainingData, ...]
    extra_data: tuple[str, ...] = ()
    recipe: str = ""
    curve: str = ""
    hardware: str = ""
    seconds: float | None = None
    steps: int | None = None
    seed: int | None = None
    notes: str = ""


@dataclass(frozen=True)
class Source:
    """Where the weights are: ``file`` beside the card, or ``filename`` of repository ``hub`` at ``revision``.

    ``format`` is ``safetensors`` (the default) or ``reference``: a checkpoint of the reference implementation, which
    ``trm-harness zoo import`` converts.
    """

    file: str = ""
    hub: str = ""
    revision: str = ""
    filename: str = ""
    format: str = "safetensors"


@dataclass(frozen=True)
class Expected:
    """The score a run of these weights gave: ``value`` of ``metric`` (0-1) over ``n``, with its 95 % interval."""

    metric: str
    value: float
    n: int
    low: float
    high: float
    record: str


@dataclass(frozen=True)
class Halting:
    """What ``--halt settled`` asks of these weights: a halting score above ``settled_above``, and how it was chosen."""

    settled_above: float
    chosen_on: str


@dataclass(frozen=True)
class Learning:
    """How the card's score learnt each task first, which is what ``--adapt mode`` does with these weights.

    ``views`` is how many views of each task it learnt from and answered (0: unknown). A run has those of ``--augment``,
    which no card sets: they decide the protocol.
    """

    mode: str
    steps: int
    lr: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    views: int = 0


@dataclass(frozen=True)
class Card:
    """A card as it stands in ``card.toml``; ``folder`` is where it lies."""

    name: str
    architecture: str
    task: str
    task_version: int
    status: str
    description: str
    effective_depth: int
    license: str
    authors: tuple[str, ...]
    paper: str
    sha256: str
    parameters: Size
    config: Mapping[str, Any]
    training: Training
    source: Source
    encoding: Mapping[str, Any] = field(default_factory=dict)
    expected: Expected | None = None
    halting: Halting | None = None
    adaptation: Learning | None = None
    golden: str = ""
    folder: Path = field(default=Path(), metadata={"outside": True})

    def mapping(self) -> dict[str, Any]:
        """The card as nested dictionaries, for a model's request, a record or JSON; without ``folder``."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "folder"}


def read_card(file: Path) -> Card:
    """The card in ``file``. ``BadInput`` names the file and the key that is unknown, missing or wrong."""
    raw = read_toml(file, "the card")
    # The folder comes from where the file lies, never from the file.
    card = dataclasses.replace(_build(Card, raw, str(file)), folder=file.parent)
    for key, complaint in _complaints(card):
        raise BadInput(f"{file}: {key}: {complaint}")
    return card


def cards(registry: Registry) -> dict[str, Card]:
    """Every card of every registered folder by name, sorted.

    A folder that is registered twice (``$TRM_HARNESS_ZOO`` may name the checkout's own) counts once. ``BadInput`` for a
    broken card; ``PluginError`` when two folders hold one name.
    """
    found: dict[str, Card] = {}
    folders = [Path(registry.cards.resolve(spec.id)()) for spec in registry.cards]
    for folder in {folder.resolve(): folder for folder in folders}.values():
        for file in card_files(folder):
            card = read_card(file)
            if card.name in found:
                raise PluginError(f"card {card.name!r} is in two folders: {found[card.name].folder} and {card.folder}")
            found[card.name] = card
    return dict(sorted(found.items()))


def card_files(folder: Path) -> list[Path]:
    """The cards in a folder, sorted; none where it may not be looked into: those are somebody else's."""
    try:
        return sorted(folder.glob(f"*/{CARD_FILE}"))
    except OSError:
        return []


def find(name: str, task_id: str, registry: Registry | None = None) -> Card | None:
    """The card called ``name``, else the best card of architecture ``name`` for the task; ``None`` if there is none.

    A card's own name wins whatever its task is: the caller judges whether the two fit.
    """
    from trm_harness.registry import default

    known = cards(registry or default())
    return known.get(name) or best(known.values(), name, task_id)


def named(name: str, registry: Registry | None = None) -> Card:
    """The card called ``name``. ``UnknownName`` with the nearest known ones."""
    from trm_harness.plugins.host import near
    from trm_harness.registry import default

    known = cards(registry or default())
    if name not in known:
        hint = near(name, known) or ": `trm-harness zoo list` shows the known ones"
        raise UnknownName(f"unknown card {name!r}{hint}")
    return known[name]


def refuse_taken(name: str, folder: Path, registry: Registry | None = None) -> None:
    """``BadInput`` if a card of that name lies elsewhere than in ``folder``: a second one would stop every command."""
    from trm_harness.registry import default

    other = cards(registry or default()).get(name)
    # Two checkouts' zoos never meet: only one of them runs.
    if other is not None and board_beside(folder) and board_beside(other.folder.parent):
        return
    if other is not None and other.folder.resolve() != (folder / name).resolve():
        raise BadInput(f"a card {name!r} is in {other.folder.parent} already: choose another name")


def best(known: Iterable[Card], architecture: str, task_id: str) -> Card | None:
    """The default card of an architecture for a task: highest expected value, then first by name."""
    # A checkpoint that has to be converted first answers nothing yet.
    ready = (card for card in known if card.source.format == "safetensors")
    fitting = [card for card in ready if (card.architecture, card.task) == (architecture, task_id)]
    # An unverified card without a score stands behind one that scored nothing.
    return min(fitting, key=lambda card: (-(card.expected.value if card.expected else -1.0), card.name), default=None)


def _build(kind: type, raw: Mapping[str, Any], where: str, prefix: str = "") -> Any:
    """An instance of the dataclass ``kind`` from a TOML table; ``where`` and ``prefix`` name the place in messages."""
    known = {item.name: item for item in dataclasses.fields(kind) if not item.metadata.get("outside")}
    for key in raw:
        if key not in known:
            raise BadInput(f"{where}: unknown key {prefix + key!r}: known here are {', '.join(known)}")
    for name, item in known.items():
        if name not in raw and item.default is item.default_factory is dataclasses.MISSING:
            raise BadInput(f"{where}: key {prefix + name!r} is missing")
    hints = _hints(kind)
    return kind(**{key: _convert(value, hints[key], where, prefix + key) for key, value in raw.items()})


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The resolved annotations of a dataclass: resolving them again for each card takes a third of `zoo list`."""
    return get_type_hints(kind)


def _convert(value: Any, hint: Any, where: str, key: str) -> Any:
    """A TOML value as the annotation ``hint`` wants it."""
    if isinstance(hint, types.UnionType):
        hint = next(choice for choice in get_args(hint) if choice is not types.NoneType)
    origin = get_origin(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, get_args(hint)[0], where, f"{key}[{index}]") for index, item in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, value, where, f"{key}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # In Python a bool is an int, on a card it is a mistake.
    plain = {tuple: list, Mapping: dict}.get(origin, hint)
    if dataclasses.is_dataclass(plain) or not isinstance(value, plain) or (isinstance(value, bool) and plain is int):
        wanted = {list: "a list", dict: "a table", str: "a string", int: "a whole number", float: "a number"}
        raise BadInput(f"{where}: key {key!r} must be {wanted.get(plain, 'a table')}, not {value!r}")
    return value


def _complaints(card: Card) -> Iterator[tuple[str, str]]:
    """What is wrong with a card whose types are right: (key, what is wrong)."""
    if card.name != card.folder.name:
        yield "name", f"is {card.name!r} but the folder is called {card.folder.name!r}"
    if not card.name.startswith(f"{card.architecture}.") or card.name == f"{card.architecture}.":
        yield "name", f"{card.name!r} is not architecture.tag with architecture {card.architecture!r}"
    if card.status not in STATUSES:
        yield "status", f"{card.status!r} is not one of {', '.join(STATUSES)}"
    # Of somebody else's file that nobody here has held, the hash is not known; whoever fetches it says so and pins it.
    unseen = card.status == "unverified" and card.source.hub and not card.sha256
    if not unseen and not _SHA256.fullmatch(card.sha256):
        yield "sha256", "must be the 64 lower-case hex digits of the weights file's sha256 (empty: unseen hub weights)"
    if card.golden and not is_file_name(card.golden):
        yield "golden", f"{card.golden!r} must be the name of a file beside the card"
    if min(dataclasses.astuple(card.parameters)) < 0:
        yield "parameters", "cannot be negative"
    if card.halting and not 0 < card.halting.settled_above < 1:
        yield "halting.settled_above", f"must lie between 0 and 1, not be {card.halting.settled_above}"
    if card.adaptation and card.adaptation.steps < 1:
        yield "adaptation.steps", f"must be at least 1, not {card.adaptation.steps}"
    if card.adaptation and card.adaptation.views < 0:
        yield "adaptation.views", f"cannot be negative, not {card.adaptation.views}"
    yield from _source_complaints(card.source, pinned=bool(card.sha256))
    yield from _training_complaints(card)
    yield from _expected_complaints(card)


def _source_complaints(source: Source, pinned: bool) -> Iterator[tuple[str, str]]:
    hub = (source.hub, source.revision, source.filename)
    if source.format not in FORMATS:
        yield "source.format", f"{source.format!r} is not one of {', '.join(FORMATS)}"
    if bool(source.file) == any(hub):
        yield "source", "give either 'file' or all of 'hub', 'revision' and 'filename'"
    elif source.file and not is_file_name(source.file):
        yield "source.file", f"{source.file!r} must be the name of a file beside the card"
    elif not source.file and not (source.hub and source.filename and source.revision):
        yield "source", "a hub source needs 'hub', 'filename' and 'revision'"
    elif not source.file and pinned and not _COMMIT.fullmatch(source.revision):
        yield "source.revision", "a hub source whose sha256 is known needs a 40-digit commit as 'revision'"


def _training_complaints(card: Card) -> Iterator[tuple[str, str]]:
    if card.training.demonstrations not in DEMONSTRATIONS:
        yield "training.demonstrations", f"{card.training.demonstrations!r} is not one of {', '.join(DEMONSTRATIONS)}"
    for index, data in enumerate(card.training.data):
        if not _SHA256.fullmatch(data.sha256) and (data.sha256 or card.status == "trained"):
            yield f"training.data[{index}].sha256", "must be 64 lower-case hex digits (a trained card states them)"
        if data.use not in USES:
            yield f"training.data[{index}].use", f"{data.use!r} is not one of {', '.join(USES[1:])}"


def _expected_complaints(card: Card) -> Iterator[tuple[str, str]]:
    expected = card.expected
    if expected is None:
        if card.status == "trained":
            yield "expected", "a trained card states the score its weights gave (else its status is 'unverified')"
    elif not 0 <= expected.low <= expected.value <= expected.high <= 1:
        yield "expected", f"needs 0 <= low <= value <= high <= 1, not {expected.low}, {expected.value}, {expected.high}"
    elif expected.n < 1:
        yield "expected.n", "a score is over at least one puzzle"


def is_file_name(text: str) -> bool:
    """Whether ``text`` names a file in the same folder and cannot lead out of it."""
    return text not in (".", "..") and not set(text) & set("/\\:\0")
