"""``replies.jsonl``: what was asked and what came back, one line an answer, beside the journal.

In a filed run it is compressed, as the journal is.
A line is a JSON object with ``puzzle``, ``view``, ``transform`` and ``restart``, as in the journal, and the model's own
entries. Lines stand in the order in which the answers came. Where an item has several, the last one counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trm_harness.errors import BadInput
from trm_harness.files.names import ARCHIVED_REPLIES_FILE, REPLIES_FILE
from trm_harness.files.read import lines, open_either
from trm_harness.record.journal import Entry, Grown, Row
from trm_harness.types import plain

Key = tuple[str, int, int]
"""Puzzle, view and restart: an item of a run."""


def key_of(row: Row | Entry) -> Key:
    """The item that a row answers."""
    return row.puzzle, row.view, row.restart


class Transcripts(Grown):
    """The open file, which only grows."""

    def append(self, row: Row, transcript: Mapping[str, Any]) -> None:
        """Add what led to ``row``; on the disk when this returns."""
        item = {"puzzle": row.puzzle, "view": row.view, "transform": row.transform, "restart": row.restart}
        self.write(json.dumps(item | plain(transcript)).encode("ascii") + b"\n")


def are_kept(folder: Path) -> bool:
    """Whether a run's folder holds transcripts."""
    return any((folder / name).is_file() for name in (REPLIES_FILE, ARCHIVED_REPLIES_FILE))


def read_transcripts(folder: Path) -> dict[Key, dict[str, Any]]:
    """The transcripts of a run by item; empty where it has none. ``BadInput`` names a damaged line.

    A last line that a crash cut short is passed over.
    """
    return {(line["puzzle"], line["view"], line["restart"]): line for line in _lines(folder)}


def mend(folder: Path) -> None:
    """Cut off a last line that a crash cut short, so that the next one does not run into it."""
    path = folder / REPLIES_FILE
    if not path.is_file():
        return
    whole = 0
    with path.open("rb") as file:
        for _, line in lines(file, path):
            whole += len(line) if line.endswith(b"\n") else 0
    if whole < path.stat().st_size:
        os.truncate(path, whole)


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    if not are_kept(folder):
        return
    path = folder / REPLIES_FILE
    with open_either(path, folder / ARCHIVED_REPLIES_FILE) as file:
        for number, line in lines(file, path):
            if line.endswith(b"\n"):
                yield _checked(line, f"{path}, line {number}")


def _checked(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
        right = all(type(found[name]) is kind for name, kind in (("puzzle", str), ("view", int), ("restart", int)))
    except (ValueError, LookupError, TypeError, RecursionError):
        right = False
    if not right:
        raise BadInput(f"{where}: is damaged: take the line out")
    return dict(found)
