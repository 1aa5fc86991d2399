"""What a run's model was told and said: shown for a puzzle, and read again for its score."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import printable
from trm_harness.errors import HarnessError

if TYPE_CHECKING:
    from trm_harness.contracts import Task
    from trm_harness.evaluate.run import Reader

_FIRST = ("prompt", "thoughts", "reply")
"""Texts, in the order of what happened; everything else is a fact of one line."""
_ITEM = ("puzzle", "view", "transform", "restart", "halt")


def reader_of(folder: Path, task: Task) -> Reader | None:
    """What reads a run's transcripts now; ``None`` for a run without them or a model that is not here."""
    from trm_harness.contracts import Rereads
    from trm_harness.record import read
    from trm_harness.record.transcripts import are_kept
    from trm_harness.registry import default

    if not are_kept(folder):
        return None
    try:
        target = default().models.resolve(read(folder).model.id)
    except HarnessError:
        return None
    return (lambda transcript: target.reread(task.spec, transcript)) if isinstance(target, Rereads) else None


def transcripts_of(folder: Path, puzzles: Collection[str]) -> list[dict[str, Any]]:
    """The transcripts of some puzzles, in the order in which they came."""
    from trm_harness.record.transcripts import read_transcripts

    return [said for (puzzle, _, _), said in read_transcripts(folder).items() if puzzle in puzzles]


def show(transcripts: list[dict[str, Any]]) -> None:
    """Print transcripts: a line of facts, then the texts. Samples are numbered where a puzzle was asked for several."""
    several = any(said["restart"] for said in transcripts)
    for said in transcripts:
        facts = [f"{name} {value}" for name, value in said.items() if name not in (*_ITEM, *_FIRST) and _says(value)]
        where = f"{said['puzzle']}, view {said['view']}" + (f" ({said['transform']})" if said.get("transform") else "")
        where += f", sample {said['restart'] + 1}" if several else ""
        click.echo(printable(f"asked for {where}" + (f": {', '.join(facts)}" if facts else "")))
        for name in _FIRST:
            if said.get(name):
                click.echo(f"--- {name}\n{printable(str(said[name]))}")
        click.echo()


def _says(value: Any) -> bool:
    return value not in (None, "", False)
