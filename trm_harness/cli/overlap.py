"""``tasks overlap``: equal puzzles found by content, whatever they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trm_harness.cli.options import echo_json, table

if TYPE_CHECKING:
    from trm_harness.loading.contamination import Equal
    from trm_harness.types import Puzzle

LISTED = 20
"""Puzzles that ``tasks overlap`` prints as text."""


def run_overlap(first: str, second: str, as_json: bool) -> None:
    """Print the puzzles of ``TASK[:split]`` ``first`` that ``second`` has too."""
    from trm_harness.loading.contamination import overlap

    (name, puzzles), (other, others) = _named_split(first), _named_split(second)
    found = overlap(puzzles, others)
    kinds = Counter(equal.kind for equal in found)
    counts = {"puzzles": len(found), "of_puzzles": len(puzzles)}
    counts |= {"groups": len({equal.group for equal in found}), "of_groups": len({p.group for p in puzzles})}
    if as_json:
        echo_json({"a": name, "b": other, **counts, "kinds": kinds, "equal": found})
        return
    whole = len({equal.group for equal in found if equal.kind == "puzzle"})
    groups = f"{counts['groups']:,} of {counts['of_groups']:,} groups"
    click.echo(
        f"{groups} ({len(found):,} of {len(puzzles):,} puzzles) of {name} are in {other}, "
        "up to turns, reflections and names of symbols"
    )
    if found:
        click.echo(f"{whole:,} groups with all demonstrations, in any order; {counts['groups'] - whole:,} otherwise\n")
        click.echo(_listing(found))


def _named_split(text: str) -> tuple[str, Sequence[Puzzle]]:
    """``TASK[:split]`` as its full name and its puzzles."""
    from trm_harness.registry import default

    name, _, split = text.partition(":")
    registry = default()
    split = registry.tasks.spec(name).checked_split(split or None)
    return f"{name}:{split}", registry.task(name).puzzles(split)


def _listing(found: Sequence[Equal]) -> str:
    # Whole puzzles are the plain case: the others come first, so that they show.
    shown = sorted(found, key=lambda equal: equal.kind == "puzzle")[:LISTED]
    rows = [(equal.id, equal.kind, ", ".join(equal.others)) for equal in shown]
    left = f"\nand {len(found) - LISTED:,} more (--json lists them all)" if len(found) > LISTED else ""
    return table(rows, ("PUZZLE", "SAME", "THERE")) + left
