"""``trm-harness leaderboard``: our records beside the scores that others published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import SuggestingGroup, complete, json_option
from trm_harness.errors import BadInput

if TYPE_CHECKING:
    from trm_harness.leaderboard.rows import Row
    from trm_harness.registry import Registry


filed_data_option = click.option(
    "--data",
    multiple=True,
    metavar="TASK=DIR",
    help="Puzzles of a task whose data does not ship. May be repeated.",
)


root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Leaderboards folder.  [default: the checkout's you stand in, else your own board, else the shipped one]",
)


@click.group(cls=SuggestingGroup, name="leaderboard")
def command() -> None:
    """Our records beside the scores that others published."""


@command.command()
@click.option("--task", required=True, shell_complete=complete("task"), help="Task whose scores to show.")
@click.option("--format", "form", type=click.Choice(["table", "md", "csv", "json"]), default="table", show_default=True)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Also show local runs: a run's folder or one that holds runs. May be given again.",
)
@click.option("--split", default="", help="Only scores on this set of puzzles (public, semi-private, test).")
@json_option
def show(task: str, form: str, runs: tuple[Path, ...], split: str, as_json: bool) -> None:
    """Show the scores of one task: systems under the same metric are ranked, the others are shown and say why not."""
    from trm_harness.files import paths
    from trm_harness.leaderboard.board import build
    from trm_harness.leaderboard.rows import read_records, read_reported
    from trm_harness.leaderboard.tables import render
    from trm_harness.registry import default

    registry = default()
    boards = [paths.board_here()] if paths.here() else [paths.leaderboards(), paths.own_leaderboards()]
    filed = [root / "records" for root in boards if (root / "records").is_dir()]
    ours, problems = read_records([*filed, *runs])
    reported = read_reported(Path(registry.claims.resolve(spec.id)()) for spec in registry.claims)
    # One broken run among many must not hide the others, nor vanish without a word.
    for problem in problems:
        click.echo(f"skipped: {problem}", err=True)
    rows = [*ours, *reported]
    board = build(rows, task, _headline(registry, task, rows), split)
    form = "json" if as_json else form
    text = render(board, form)
    click.echo(_fitted(text) if form == "table" else text)


@command.command()
@click.argument("run")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Records folder.  [default: the checkout's you stand in, else your own board's]",
)
@filed_data_option
@click.option(
    "--self-reported", is_flag=True, help="File it unchecked where its puzzles are not at hand; its row says so."
)
def add(run: str, to: Path | None, data: tuple[str, ...], self_reported: bool) -> None:
    """Check RUN (a folder, an id under ./runs, or "last") and file it among the published records.

    Its scores are recomputed from its answers first; anything wrong leaves nothing behind.
    """
    from trm_harness.cli.leaderboard.check import data_folders
    from trm_harness.cli.runs.commands import find_run
    from trm_harness.publish import file_run
    from trm_harness.record.transcripts import are_kept

    folder = find_run(run)
    filed = file_run(folder, to, data_folders(data), self_reported)
    click.echo(f"filed {filed}")
    if are_kept(folder) and not are_kept(filed):
        click.echo(f"warning: the replies are too large to be filed: keep {folder} for them", err=True)


@command.command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path))
@root_option
@click.option("--base", default="", metavar="REF", help="Also compare with this git commit: nothing may vanish.")
@filed_data_option
@click.option("--strict", is_flag=True, help="Fail if any record's scores cannot be recomputed here.")
@click.option("--accept-checks", "accepted", is_flag=True, help="With --base: the re-runs that it brings are yours.")
def check(
    places: tuple[Path, ...], root: Path | None, base: str, data: tuple[str, ...], strict: bool, accepted: bool
) -> None:
    """Prove the published records (or those below PLACES): hashes, declarations, scores from answers, nothing gone."""
    from trm_harness.cli.leaderboard.check import data_folders, run_check, show_report
    from trm_harness.files import paths

    if accepted and not base:
        raise BadInput("--accept-checks is about the checks that a change brings: give --base as well")
    chosen = [place.resolve() for place in places]
    folder = (root or paths.board_to_read()).resolve()
    for place in chosen:
        if not place.is_relative_to(folder / "records") or not place.exists():
            raise BadInput(f"{place} is no folder below {folder / 'records'}")
    report = run_check(folder, base, data_folders(data), chosen, accepted)
    click.echo(f"checked {folder}", err=True)
    show_report(report, strict)


@command.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The site's folder, a .md file, or a folder."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "png"]),
    default="html",
    show_default=True,
    help="The whole site; the table between the marks of a Markdown file; pictures.",
)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit code 1 if what is there is stale.")
@root_option
@click.option("--shipped", is_flag=True, help="With --root: show the shipped records and published scores as well.")
@click.option("--title", default="", help="Title of the site.  [default: that of the board, or the folder's name]")
@click.option("--repository", default="", metavar="URL", help="Address of the repository, for the pages' headers.")
@click.option("--docs", default="", metavar="URL", help="Address of the documentation, as seen from the site's root.")
@click.option("--address", default="", metavar="URL", help="Where the site will be served, for previews of its pages.")
def build(out: Path, form: str, only_check: bool, root: Path | None, **wishes: Any) -> None:
    """Write the leaderboard as a folder of static pages that opens from a disk: same files in, same bytes out.

    Records that do not check are refused.
    """
    from trm_harness.cli.leaderboard.build import Wishes, run_build
    from trm_harness.files import paths

    if only_check and form == "png":
        raise BadInput("--check compares the site or a table: pictures differ between versions of the plotting library")
    for name in ("repository", "docs", "address"):
        if wishes[name] and not re.match(r"https?://|[\w./-]+$", wishes[name]):
            raise BadInput(f"--{name} {wishes[name]}: give an address that begins with https://, or a path")
    folder = root or paths.board_to_read()
    run_build(folder, out, form, only_check, Wishes(**wishes))
    click.echo(f"built from {folder}", err=True)


@command.command(name="import")
@click.argument("evaluations", type=click.Path(path_type=Path))
@click.option("--models", type=click.Path(path_type=Path), required=True, help="Its file of models, for their names.")
@click.option("--collected", required=True, metavar="DATE", help="Day on which both files were read, YYYY-MM-DD.")
@click.option("--source", required=True, help="Where they were read: an address, or a repository with its commit.")
@root_option
@click.option("--dry-run", is_flag=True, help="Say what would be added and write nothing.")
def import_scores(
    evaluations: Path, models: Path, collected: str, source: str, root: Path | None, dry_run: bool
) -> None:
    """Add the scores of ARC Prize's evaluations file to the reported ones; what is there already stays as it is."""
    from trm_harness.cli.leaderboard.imports import import_arc_prize
    from trm_harness.files import paths

    import_arc_prize(root or paths.board_here(), evaluations, models, collected, source, dry_run)


def _fitted(text: str) -> str:
    """``text`` cut at the edge of the terminal; whole where there is none."""
    import shutil
    import sys

    if not sys.stdout.isatty():
        return text
    edge = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= edge else f"{line[: edge - 1]}…" for line in text.splitlines())


def _headline(registry: Registry, task: str, rows: list[Row]) -> str:
    """The metric that ranks the task, "" where no plugin says so. ``UnknownName`` if nothing knows the task."""
    if task in registry.tasks:
        return registry.tasks.spec(task).headline
    scored = sorted({row.task for row in rows})
    if task not in scored:
        from trm_harness.errors import UnknownName
        from trm_harness.plugins.host import near

        known = sorted({*scored, *registry.tasks.names()})
        raise UnknownName(f"no scores of task {task!r}{near(task, known) or f': there are some of {known}'}")
    return ""
