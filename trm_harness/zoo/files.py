"""Weights files: where a card's lie, whether they are the card's, and what their safetensors header says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trm_harness.errors import BadInput
from trm_harness.files.read import is_pickled, parse_json, taken_for_weights
from trm_harness.zoo.cards import Card

# The limit of the safetensors library: a damaged length must not make us read gigabytes.
_HEADER_LIMIT = 100_000_000
# Larger numbers cannot be, and multiplying thousands of them would take hours.
_LONGEST, _DIMENSIONS = 1 << 63, 64
_DTYPE_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F16": 16, "BF16": 16, "U16": 16, "I16": 16}
_DTYPE_BITS |= {"F32": 32, "U32": 32, "I32": 32, "F64": 64, "U64": 64, "I64": 64}


def weights_path(card: Card) -> Path:
    """The card's weights file, its sha256 just checked. ``BadInput`` if it is missing, cut short or another file.

    Of a card that states no hash the one that was recorded at its first download counts.
    """
    from trm_harness.fingerprint import file_sha256

    card = _settled(card)
    path = _location(card)
    found = file_sha256(path)
    if found != card.sha256:
        raise BadInput(
            f"{path}: sha256 is {found[:12]}..., card {card.name} says {card.sha256[:12]}...: "
            "the file is damaged or not the card's; get it again"
        )
    return path


def is_here(card: Card) -> bool:
    """Whether the card's weights lie on this machine, whatever their content."""
    if card.source.file:
        return True
    from trm_harness.files.hub import HubFile

    return HubFile(card.source.hub, card.source.filename, card.source.revision, "model").cached() is not None


def pull(card: Card) -> Path:
    """Weights of ``card`` on this machine, downloaded from its hub repository if need be, their sha256 checked.

    ``BadInput`` if they cannot be had or have another content; nothing of such a file is kept.
    """
    if card.source.file:
        return weights_path(card)
    from trm_harness.files.hub import fetch

    card = _settled(card)
    return fetch(card.source.hub, card.source.filename, card.source.revision, card.sha256, repo_type="model")


def _settled(card: Card) -> Card:
    """The card with hash and commit, its own or the recorded ones. ``BadInput`` if there are none yet."""
    if card.sha256:
        return card
    from trm_harness.zoo.pins import pinned

    pin = pinned(card)
    if pin is None:
        raise BadInput(
            f"card {card.name} states no sha256, for nobody here has held its weights: "
            f"`trm-harness zoo pull --trust-first {card.name}` fetches them and records the one that is found"
        )
    return replace(card, sha256=pin.sha256, source=replace(card.source, revision=pin.revision))


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The ``__metadata__`` strings of a safetensors file, whose whole layout is checked first, without loading it.

    ``BadInput`` if the file is missing, cut short, no safetensors file or has tensors that do not tile its data.
    """
    header, data_size = _header(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadInput(f"{path}: the safetensors metadata is not a table of strings: the file is damaged")
    end = 0
    # Tensors must cover the data without gap or overlap, as the format demands: hidden bytes are not weights.
    for name, begin, stop in sorted(_extents(path, header), key=lambda extent: extent[1:]):
        if begin != end:
            raise BadInput(f"{path}: tensor {name!r} starts at byte {begin}, not {end}: the file is damaged")
        end = stop
    if end != data_size:
        state = "cut short" if end > data_size else "too long"
        raise BadInput(f"{path}: {state}: its tensors take {end} bytes, the file has {data_size}; get it again")
    return metadata


def training_declaration(weights: Path) -> dict[str, Any]:
    """What a weights file says it was trained on; empty where it says nothing. ``BadInput`` for a damaged one."""
    found = parse_json(safetensors_metadata(weights).get("training", "{}"), f"{weights}: its training declaration")
    return found if isinstance(found, dict) else {}


def each_once(uses: Sequence[Any]) -> list[Any]:
    """Without repetitions, in order: trainings that build on each other mostly share their data."""
    return [use for index, use in enumerate(uses) if use not in uses[:index]]


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Header of a safetensors file and the number of bytes behind it."""
    if told := taken_for_weights(path):
        raise BadInput(f"{path}: {told}")
    if is_pickled(path):
        raise BadInput(f"{path}: is a checkpoint of torch (.pt), no safetensors: `trm-harness zoo import` converts it")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_HEADER_LIMIT, size - 8):
                raise BadInput(f"{path}: is cut short or no safetensors file ({size} bytes); get it again")
            header = json.loads(file.read(length))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): check the path") from None
    # Bad UTF-8 and bad JSON are both ValueErrors; deep nesting is somebody's attack or noise.
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: its safetensors header is not JSON: the file is damaged; get it again") from None
    if not isinstance(header, dict):
        raise BadInput(f"{path}: its safetensors header is not a table: the file is damaged; get it again")
    return header, size - 8 - length


def _extents(path: Path, header: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """(name, first byte, end) of every tensor, after checking that shape and dtype take that many bytes."""
    for name, entry in header.items():
        try:
            (begin, end), bits = entry["data_offsets"], _DTYPE_BITS[entry["dtype"]]
            fits = 0 <= begin <= end < _LONGEST and len(entry["shape"]) <= _DIMENSIONS
            fits = fits and all(0 <= side < _LONGEST for side in entry["shape"])
            fits = fits and (end - begin) * 8 == math.prod(entry["shape"]) * bits
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise BadInput(f"{path}: the entry of tensor {name!r} makes no sense: the file is damaged; get it again")
        yield name, begin, end


def _location(card: Card) -> Path:
    """Where the weights lie. ``BadInput`` says what to do when they are not there."""
    if card.source.file:
        path = card.folder / card.source.file
        if not path.is_file():
            raise BadInput(f"{path}: the weights of card {card.name} are missing: restore the file beside its card")
        return path
    from trm_harness.files.hub import HubFile

    cached = HubFile(card.source.hub, card.source.filename, card.source.revision, "model").cached()
    if cached is None:
        raise BadInput(
            f"the weights of card {card.name} are not on this machine: `trm-harness zoo pull {card.name}` fetches them"
        )
    return cached
