"""Hashes of hub weights whose card states none: found at the first download that a user asked for, kept from then on.

``pins.json`` in the user's own zoo holds them by card name, each with the commit that it was found at.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from trm_harness.errors import BadInput
from trm_harness.files.paths import own_zoo
from trm_harness.fingerprint import file_sha256
from trm_harness.zoo.cards import Card


@dataclass(frozen=True)
class Pin:
    """What a card's weights were when they were first fetched."""

    sha256: str
    revision: str


def pinned(card: Card) -> Pin | None:
    """The pin of a card whose own hash is not known; ``None`` before its first download."""
    found = _read().get(card.name)
    return Pin(**found) if found else None


def pin_first(card: Card) -> Pin:
    """Download the card's weights and record their hash and commit. What was recorded before stays as it is."""
    from trm_harness.files.hub import HubFile
    from trm_harness.files.write import write_text

    if (known := pinned(card)) is not None:
        return known
    source = card.source
    path = HubFile(source.hub, source.filename, source.revision, "model").download()
    commit = path.parents[source.filename.count("/")].name
    pin = Pin(file_sha256(path), commit)
    file = _file()
    write_text(file, json.dumps(_read() | {card.name: asdict(pin)}, indent=1) + "\n", parents=True)
    return pin


def _file() -> Path:
    return own_zoo() / "pins.json"


def _read() -> dict[str, dict[str, str]]:
    try:
        return json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(f"{_file()}: is damaged ({error}): delete it, and pull with --trust-first anew") from None
