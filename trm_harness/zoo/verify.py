"""Whether a card's weights are what the card says, as far as their file tells: nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trm_harness.errors import BadInput
from trm_harness.files.read import parse_json
from trm_harness.zoo.cards import Card
from trm_harness.zoo.files import safetensors_metadata, weights_path


@dataclass(frozen=True)
class Check:
    """One thing that ``verify`` looked at, or ``skipped`` because its puzzles are not here, which is no failure."""

    what: str
    passed: bool
    detail: str
    skipped: bool = False

    @property
    def status(self) -> str:
        """``ok``, ``skip`` or ``FAILED``."""
        return "skip" if self.skipped else "ok" if self.passed else "FAILED"


def verify(card: Card) -> list[Check]:
    """Hash of the weights, form of the safetensors file, and whether its metadata tells the same as the card."""
    try:
        path = weights_path(card)
    except BadInput as error:
        return [Check("sha256", False, str(error))]
    told = f"is {card.sha256[:12]}..." if card.sha256 else "is what was recorded when it was first fetched"
    checks = [Check("sha256", True, f"{path.name} {told}")]
    if card.source.format == "reference":
        return [
            *checks,
            Check("format", True, f"a reference checkpoint: `trm-harness zoo import {card.name}` converts"),
        ]
    if not path.name.endswith(".safetensors"):
        return [*checks, Check("format", True, f"{path.suffix}: only its model can read it")]
    try:
        metadata = safetensors_metadata(path)
    except BadInput as error:
        return [*checks, Check("safetensors", False, str(error))]
    return [*checks, Check("safetensors", True, "header and data fit the file"), *_metadata_checks(card, metadata)]


def _metadata_checks(card: Card, metadata: Mapping[str, str]) -> Iterator[Check]:
    """Card name, architecture and configuration as the weights file tells them."""
    name, architecture = metadata.get("card", ""), metadata.get("architecture", "")
    # A file that names no card has lived under another name or none; its sha256 says whose it is.
    told = f"says {name!r}, the card is {card.name!r}" if name else "names no card"
    yield Check("card", name in ("", card.name), f"the file {told}")
    # A file may name the model family ("trm") whose variants ("trm-7m") differ in configuration only.
    same = architecture == card.architecture or (architecture and card.architecture.startswith(f"{architecture}-"))
    yield Check("architecture", bool(same), f"the file says {architecture!r}, the card {card.architecture!r}")
    try:
        config = parse_json(metadata.get("config", "null"), "its configuration")
    except BadInput:
        config = None
    if not isinstance(config, dict):
        yield Check("config", False, "the file has no configuration in its metadata")
        return
    # The file may know more settings (vocabulary, length) than a card repeats.
    wrong = [key for key, value in card.config.items() if key not in config or config[key] != value]
    told = ", ".join(f"{key} = {config.get(key)!r}, the card says {card.config[key]!r}" for key in wrong)
    yield Check("config", not wrong, f"the file has {told}" if wrong else f"{len(card.config)} settings agree")
