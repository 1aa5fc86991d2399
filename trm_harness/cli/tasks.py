"""``trm-harness tasks``: what puzzles there are, where they come from, and what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import (
    SuggestingGroup,
    beside,
    complete,
    data_option,
    echo_json,
    facts,
    grid_lines,
    json_option,
    plain,
    printable,
    provenance,
    table,
)

if TYPE_CHECKING:
    from trm_harness.contracts import Task
    from trm_harness.registry import Registry
    from trm_harness.specs import TaskSpec
    from trm_harness.types import DataSource, Puzzle


@click.group(cls=SuggestingGroup)
def command() -> None:
    """The puzzles: list, show, sample, pull, overlap."""


@command.command("list")
@json_option
def list_tasks(as_json: bool) -> None:
    """List the tasks that plugins register."""
    from trm_harness.registry import default

    registry = default()
    if as_json:
        echo_json([_described(registry, spec) for spec in registry.tasks])
        return
    rows = [
        (spec.id, spec.version, spec.headline, ",".join(spec.splits), registry.tasks.owner(spec.id).name, spec.title)
        for spec in registry.tasks
    ]
    click.echo(table(rows, ("TASK", "VERSION", "HEADLINE", "SPLITS", "PLUGIN", "TITLE")))


@command.command("show")
@click.argument("task", shell_complete=complete("task"))
@data_option
@json_option
def show_task(task: str, data: Path | None, as_json: bool) -> None:
    """Show TASK's facts and, for each split, where its puzzles come from. Downloads nothing."""
    from trm_harness.registry import default

    registry = default()
    spec = registry.tasks.spec(task)
    loaded = registry.task(task, data)
    sources = _sources(loaded, data)
    if as_json:
        echo_json({**_described(registry, spec), "sources": sources})
        return
    click.echo(facts({**plain(spec), "plugin": registry.tasks.owner(task).label}))
    for split, source in sources.items():
        absent = f"not on this machine yet: trm-harness tasks pull {task} fetches it, --data DIR takes files by hand"
        absent = f"not among {data}" if data else absent
        click.echo(f"\nsplit {split}\n{absent if source is None else facts(plain(source))}")


@command.command("pull")
@click.argument("task", shell_complete=complete("task"))
@json_option
def pull_task(task: str, as_json: bool) -> None:
    """Bring TASK's data onto this machine, so that later runs need no network, and say what came.

    Hub data goes into the hub client's cache; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE mean what they mean to it.
    """
    from trm_harness.registry import default

    loaded = default().task(task)
    sources = {split: loaded.source(split) for split in loaded.spec.splits}
    if as_json:
        echo_json(sources)
        return
    rows = [(split, s.name, s.version, s.n_puzzles, s.sha256[:12]) for split, s in sources.items()]
    click.echo(table(rows, ("SPLIT", "DATA", "VERSION", "PUZZLES", "SHA256")))


@command.command("sample")
@click.argument("task", shell_complete=complete("task"))
@click.option("-n", "--n", "count", type=click.IntRange(min=1), default=1, show_default=True, help="How many puzzles.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which ones: the same seed, the same puzzles.")
@click.option("--split", default=None, help="Which split.  [default: the task's own]")
@data_option
@json_option
def sample_task(task: str, count: int, seed: int, split: str | None, data: Path | None, as_json: bool) -> None:
    """Print random puzzles of TASK with their answers."""
    from trm_harness.registry import default

    registry = default()
    split = registry.tasks.spec(task).checked_split(split)
    puzzles = _drawn(registry.task(task, data), split, count, seed)
    if as_json:
        echo_json(puzzles)
        return
    click.echo("\n\n".join(_drawing(puzzle) for puzzle in puzzles))


@command.command("overlap")
@click.argument("first", metavar="TASK_A[:SPLIT]")
@click.argument("second", metavar="TASK_B[:SPLIT]")
@json_option
def overlap_tasks(first: str, second: str, as_json: bool) -> None:
    """List the puzzles of TASK_A that TASK_B has too, found by content up to symmetry.

    Example: trm-harness tasks overlap arc1:evaluation arc2:training
    """
    from trm_harness.cli.overlap import run_overlap

    run_overlap(first, second, as_json)


def _sources(task: Task, data: Path | None) -> dict[str, DataSource | None]:
    """Where each split is from; ``None`` for one that is not here. ``BadInput`` if ``data`` hold none of them."""
    from trm_harness.errors import NoSplit

    sources: dict[str, DataSource | None] = {}
    missing: list[NoSplit] = []
    for split in task.spec.splits:
        try:
            sources[split] = _source_at_hand(task, split, data)
        except NoSplit as error:
            sources[split] = None
            missing.append(error)
    if len(missing) == len(sources):
        raise missing[0]
    return sources


def _source_at_hand(task: Task, split: str, data: Path | None) -> DataSource | None:
    """Where ``split`` is from; ``None`` for files of a hub that are not in its client's cache."""
    from trm_harness.contracts import Pulls
    from trm_harness.errors import BadInput
    from trm_harness.files.hub import cache_only

    try:
        with cache_only():
            return task.source(split)
    except BadInput:
        if data is not None or not isinstance(task, Pulls):
            raise
        return None


def _described(registry: Registry, spec: TaskSpec) -> dict[str, Any]:
    return {**plain(spec), **provenance(registry.tasks.owner(spec.id))}


def _drawn(task: Task, split: str, count: int, seed: int) -> list[Puzzle]:
    from random import Random

    puzzles = task.puzzles(split)
    return [puzzles[i] for i in Random(seed).sample(range(len(puzzles)), min(count, len(puzzles)))]


def _drawing(puzzle: Puzzle) -> str:
    lines = [click.style(printable(puzzle.id), bold=True)]
    lines += [f"{name}: {value}" for name, value in puzzle.facts.items() if isinstance(value, str | int | float)]
    for number, (given, wanted) in enumerate(puzzle.demonstrations, 1):
        lines += [f"demonstration {number}", *beside(grid_lines(given), grid_lines(wanted))]
    answer = ["?"] if puzzle.answer is None else grid_lines(puzzle.answer)
    return "\n".join([*lines, "puzzle -> answer", *beside(grid_lines(puzzle.input), answer)])
