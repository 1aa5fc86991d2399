"""``leaderboard build``: the site, the README's table and the pictures, from the files and the registry's names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trm_harness.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from trm_harness.leaderboard.board import Board
    from trm_harness.leaderboard.rows import Row
    from trm_harness.leaderboard.site import Site, TaskFacts
    from trm_harness.registry import Registry

SHOWN = 8
"""Stale files that a check names."""


def run_build(root: Path, out: Path, form: str, check: bool) -> None:
    """Write (or with ``check`` compare) the site in ``out``, the table in the file ``out``, or pictures in ``out``."""
    site = made_site(root)
    if form == "md":
        _table(site, out, check)
    elif form == "png":
        _pictures(site, out)
    else:
        _site(site, out, check)


def made_site(root: Path) -> Site:
    """The site of a leaderboards folder. ``BadInput`` for any file that cannot be read."""
    from trm_harness.leaderboard import archive
    from trm_harness.leaderboard.site import Site
    from trm_harness.registry import default

    records = root / "records"
    filed = [archive.read_filed(folder, records) for folder in archive.folders(records)]
    rules = root / "RULES.md"
    reported = _reported(root)
    tasks = tuple(_tasks(default(), {row.task for row in reported}))
    return Site(tasks, reported, filed, rules.read_text(encoding="utf-8") if rules.is_file() else "")


def _reported(root: Path) -> list[Row]:
    """Reported scores of the folder, and of other plugins where it is the shipped one."""
    from trm_harness import paths
    from trm_harness.leaderboard.rows import read_reported
    from trm_harness.registry import default

    registry = default()
    if root != paths.leaderboards():
        return read_reported([root / "reported"])
    return read_reported(Path(registry.claims.resolve(spec.id)()) for spec in registry.claims)


def _tasks(registry: Registry, benchmarks: set[str]) -> Iterator[TaskFacts]:
    """Tasks in the site's order: benchmarks with published scores, then the others by name."""
    from trm_harness.leaderboard.site import TaskFacts

    order = sorted(registry.tasks, key=lambda spec: (spec.id not in benchmarks, _natural(spec.id)))
    for spec in order:
        yield TaskFacts(spec.id, spec.title, spec.description, spec.family, spec.headline, spec.id in benchmarks)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts ``maze-8x8`` before ``maze-10x10``."""
    import re

    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _site(site: Site, out: Path, check: bool) -> None:
    from trm_harness.leaderboard.site import stale, write_site

    pages = site.pages()
    if not check:
        write_site(out, pages)
        click.echo(f"wrote {out}: {len(pages)} files, {sum(map(len, pages.values())):,} bytes")
        return
    if not out.is_dir():
        raise BadInput(f"{out} is no folder: build it first, or name the folder to check with --out")
    found = stale(out, pages)
    if found:
        more = ", ..." if len(found) > SHOWN else ""
        raise CheckFailed(f"{out} is stale: {', '.join(found[:SHOWN])}{more}; build it again")
    click.echo(f"{out} is current: {len(pages)} files")


def _boards(site: Site) -> list[Board]:
    from trm_harness.leaderboard.board import build
    from trm_harness.leaderboard.rows import filed_row

    rows = [*(row for filed in site.filed if (row := filed_row(filed))), *site.reported]
    boards = [build(rows, task.id, task.headline) for task in site.tasks]
    return [board for board in boards if board.lines]


def _table(site: Site, out: Path, check: bool) -> None:
    """The table between the marks of a Markdown file."""
    from trm_harness.leaderboard.readme import filled, table
    from trm_harness.record import write_text

    if not out.is_file():
        raise BadInput(f"{out} is no file: --format md fills in the table between the marks of one")
    text = out.read_text(encoding="utf-8")
    new = filled(text, table(_boards(site)))
    if not check:
        write_text(out, new)
        click.echo(f"wrote the table in {out}")
    elif new != text:
        raise CheckFailed(f"the table in {out} is stale: `leaderboard build --format md --out {out}` makes it anew")
    else:
        click.echo(f"the table in {out} is current")


def _pictures(site: Site, out: Path) -> None:
    from trm_harness.leaderboard.plots import draw

    for board in _boards(site):
        for column in board.columns:
            if any(column in line.ranks for line in board.lines):
                file = out / f"{board.task}-{column}.png"
                draw(board, column, file)
                click.echo(f"wrote {file}")
