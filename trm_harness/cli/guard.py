"""The guard before an evaluation, and ``tasks overlap``: equal puzzles found by content, whatever they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import echo_json, table
from trm_harness.errors import BadInput, HarnessError

if TYPE_CHECKING:
    from trm_harness.cli.eval import Launch
    from trm_harness.contamination import Equal
    from trm_harness.contracts import Task
    from trm_harness.evaluate import InferencePlan
    from trm_harness.record import ContaminationEntry, TrainingEntry
    from trm_harness.types import Puzzle

NAMED = 3
"""Ids in the line that refuses."""

LISTED = 20
"""Puzzles that ``tasks overlap`` prints as text."""


def guard(
    task: Task, plan: InferencePlan, launch: Launch, declared: Mapping[str, Any], allowed: bool
) -> ContaminationEntry:
    """What the record says of contamination. ``BadInput`` for a contaminated evaluation that is not ``allowed``.

    ``declared`` is the weights' card, or what their file says of their training; empty if nothing is known. Nothing is
    downloaded for it.
    """
    from trm_harness.contamination import NOTHING_TRAINED, UNKNOWN, Asked, check
    from trm_harness.evaluate import select
    from trm_harness.hub import cache_only
    from trm_harness.record import training_of
    from trm_harness.registry import default

    if launch.untrained or default().models.spec(launch.model).family in ("solver", "trivial"):
        return NOTHING_TRAINED
    if not declared:
        return UNKNOWN
    training = training_of(declared)
    asked = Asked(task, plan.split, tuple(select(task, plan)))
    with cache_only():
        found = check(asked, training, tuple(_relatives(task, training, own_data=bool(launch.data))), allowed)
    if found.status == "contaminated" and not allowed:
        raise BadInput(_refusal(found, declared["name"], f"{task.spec.id} {plan.split}"))
    return found


def run_overlap(first: str, second: str, as_json: bool) -> None:
    """Print the puzzles of ``TASK[:split]`` ``first`` that ``second`` has too."""
    from trm_harness.contamination import overlap

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


def _relatives(task: Task, training: TrainingEntry, own_data: bool) -> Iterator[Task]:
    """Registered tasks with their published data that could share a puzzle with ``task``: of its family and size.

    ``task`` itself is one of them, unless it was given data of the user's own.
    """
    from trm_harness.cli.tasks import load_task
    from trm_harness.registry import default

    registry, named = default(), {use.task for use in training.data}
    sizes = (task.spec.family, task.spec.vocab_size, task.spec.seq_len)
    for spec in registry.tasks:
        if (spec.family, spec.vocab_size, spec.seq_len) != sizes:
            continue
        try:
            relative = task if spec.id == task.spec.id and not own_data else load_task(registry, spec.id)
        except HarnessError:
            continue
        # Large files from a hub are read only where the declaration says that they were trained on.
        if not hasattr(relative, "pull") or spec.id in named | {task.spec.id}:
            yield relative


def _refusal(found: ContaminationEntry, weights: str, evaluated: str) -> str:
    """One line: how many, where, which, and what to do."""
    sources = ", ".join(entry.name for entry in found.checked if entry.counted and entry.puzzles)
    more = ", ..." if found.puzzles > NAMED else ""
    return (
        f"{found.puzzles:,} of {found.compared:,} puzzles of {evaluated} are in what {weights} was trained on "
        f"({sources}): {', '.join(found.ids[:NAMED])}{more}; evaluate other weights or puzzles, "
        "or run it flagged and unranked with --allow-contaminated"
    )


def _named_split(text: str) -> tuple[str, Sequence[Puzzle]]:
    """``TASK[:split]`` as its full name and its puzzles."""
    from trm_harness.cli.tasks import checked_split, load_task
    from trm_harness.registry import default

    name, _, split = text.partition(":")
    registry = default()
    split = checked_split(registry.tasks.spec(name), split or None)
    return f"{name}:{split}", load_task(registry, name).puzzles(split)


def _listing(found: Sequence[Equal]) -> str:
    # Whole puzzles are the plain case: the others come first, so that they show.
    shown = sorted(found, key=lambda equal: equal.kind == "puzzle")[:LISTED]
    rows = [(equal.id, equal.kind, ", ".join(equal.others)) for equal in shown]
    left = f"\nand {len(found) - LISTED:,} more (--json lists them all)" if len(found) > LISTED else ""
    return table(rows, ("PUZZLE", "SAME", "THERE")) + left
