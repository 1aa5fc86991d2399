"""Cards to TOML: a new one in full, or one key of an old one with everything else left as it stands."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_harness.files.write import write_text
from trm_harness.zoo.cards import CARD_FILE, Card, read_card


def write_card(card: Card) -> Path:
    """Write ``card.folder/card.toml`` and read it back: what is on disk is a valid card. ``BadInput`` if not."""
    import tomlkit

    file = write_text(card.folder / CARD_FILE, tomlkit.dumps(_plain(card, top=True)))
    read_card(file)
    return file


def change_card(card: Card, **changes: Any) -> Card:
    """Set top-level keys of a card's file (``None`` removes one), its comments and order kept; the card read again."""
    import tomlkit

    file = card.folder / CARD_FILE
    text = file.read_text(encoding="utf-8")
    for key, value in changes.items():
        document = tomlkit.parse(text)
        entry = _plain(value)
        if entry is None:
            document.pop(key, None)
            text = tomlkit.dumps(document)
        elif key in document or isinstance(entry, Mapping):
            document[key] = entry
            text = tomlkit.dumps(document)
        else:
            # Before the first table: behind one, a plain value would be a part of it.
            place = re.search(r"^\s*\[", text, re.MULTILINE)
            at = place.start() if place else len(text)
            text = f"{text[:at]}{key} = {tomlkit.item(entry).as_string()}\n{text[at:]}"
    write_text(file, text)
    return read_card(file)


def _plain(value: Any, top: bool = False) -> Any:
    """TOML's own types: what is empty or ``None`` is left out, tables come after plain values."""
    if dataclasses.is_dataclass(value):
        items = [(item, getattr(value, item.name)) for item in dataclasses.fields(value)]
        kept = {item.name: _plain(entry) for item, entry in items if not _left_out(item, entry)}
        return dict(sorted(kept.items(), key=lambda pair: isinstance(pair[1], dict))) if top else kept
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items() if entry is not None}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def _left_out(item: dataclasses.Field[Any], value: Any) -> bool:
    if item.metadata.get("outside") or value is None:
        return True
    optional = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
    return optional and value in ("", (), {}, item.default)
