"""What a training says that it trains on, where the task's own word is not all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_harness.contracts import TrainingSource
from trm_harness.errors import HarnessError
from trm_harness.files.hub import cache_only
from trm_harness.fingerprint import file_sha256
from trm_harness.record.describe import OWN_FILES
from trm_harness.registry import default
from trm_harness.specs import TaskSpec
from trm_harness.zoo import each_once, training_declaration


class Declared:
    """A training source with another declaration; everything else is the source's own."""

    def __init__(self, source: TrainingSource, declaration: Mapping[str, Any]) -> None:
        self._source, self.declaration = source, declaration

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made (pickle) has no source yet.
        if name == "_source":
            raise AttributeError(name)
        return getattr(self._source, name)


def continued(source: TrainingSource, weights: Path) -> Declared:
    """``source``, whose declaration also names what the weights that training starts from were trained on."""
    before, own = training_declaration(weights), source.declaration
    order = ("joint", "per-task", "unknown", "inductive")
    said = [part.get("demonstrations", "unknown") for part in (before, own)]
    declaration = {
        **own,
        "data": each_once([*before.get("data", ()), *own.get("data", ())]),
        "demonstrations": min(said, key=lambda one: order.index(one) if one in order else 2),
        "notes": f"began from weights {file_sha256(weights)[:12]}",
    }
    return Declared(source, declaration)


def from_files(source: TrainingSource, spec: TaskSpec, data: Path | None) -> TrainingSource | Declared:
    """``source``, whose declaration names the folder or file ``data`` wherever it holds other puzzles than ``spec``'s.

    A task names its data after itself, whosever files it reads: without this, four lists of a user's own look alike.
    """
    uses = source.declaration.get("data", ())
    if data is None or not uses:
        return source
    told = [
        use if use.get("sha256") == _published(spec, use.get("split", "train")) else _named(use, data.name)
        for use in uses
    ]
    return Declared(source, {**source.declaration, "data": told})


def _named(use: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**use, "name": f"{use['name']}{OWN_FILES}{name})"}


def _published(spec: TaskSpec, split: str) -> str:
    """Content hash of the task's published split, empty if it cannot be had here."""
    try:
        with cache_only():
            return str(default().tasks.resolve(spec.id)(spec, None).source(split).sha256)
    except HarnessError:
        return ""
