"""``leaderboard build``: the site, the README's table and the pictures, from the files and the registry's names."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trm_harness.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from trm_harness.leaderboard.board import Board
    from trm_harness.leaderboard.rows import Row
    from trm_harness.leaderboard.site import Frame, Site, TaskFacts
    from trm_harness.registry import Registry

SHOWN = 8
"""Stale files that a check names."""


@dataclass(frozen=True)
class Wishes:
    """What a build is told besides where to write: a title, addresses of its neighbours, shipped rows beside local."""

    title: str = ""
    repository: str = ""
    docs: str = ""
    address: str = ""
    shipped: bool = False


def run_build(root: Path, out: Path, form: str, check: bool, wishes: Wishes | None = None) -> None:
    """Write (or with ``check`` compare) the site in ``out``, the table in the file ``out``, or pictures in ``out``.

    ``CheckFailed`` if a record does not hold what its own files can show: nothing is built of it.
    """
    refuse_unchecked(root)
    site = made_site(root, wishes)
    if form == "md":
        _table(site, out, check)
    elif form == "png":
        _pictures(site, out)
    else:
        _site(site, out, check)


def refuse_unchecked(root: Path) -> None:
    """``CheckFailed`` names the records that do not check, as far as files alone can tell."""
    from trm_harness.leaderboard import archive, check

    records = root / "records"
    found = [one for folder in archive.folders(records) for one in check.check_filed(folder, records) if one.problem]
    here = (folder.relative_to(records).as_posix() for folder in archive.folders(records))
    found += [one for one in check.check_withdrawn(here, check.withdrawn(root), {}) if one.problem]
    if found:
        more = f"; and {len(found) - SHOWN} more: `leaderboard check` names all" if len(found) > SHOWN else ""
        told = "; ".join(f"{one.place}: {one.text}" for one in found[:SHOWN])
        raise CheckFailed(f"nothing was built, {root / 'records'} does not check: {told}{more}")


def made_site(root: Path, wishes: Wishes | None = None) -> Site:
    """The site of a leaderboards folder. ``BadInput`` for any file that cannot be read."""
    from trm_harness.files import paths
    from trm_harness.leaderboard import archive, check
    from trm_harness.leaderboard.site import Site
    from trm_harness.registry import default

    wishes = wishes or Wishes()
    own = root.resolve() in {paths.leaderboards().resolve(), *([paths.board_here().resolve()] if paths.here() else [])}
    roots = [root] if own or not wishes.shipped else [root, paths.leaderboards()]
    filed = [
        archive.read_filed(folder, one / "records") for one in roots for folder in archive.folders(one / "records")
    ]
    reported = [row for one in roots for row in _reported(one)]
    tasks = tuple(_tasks(default(), {row.task for row in reported}))
    gone = tuple(check.withdrawn(root).values())
    return Site(
        tasks, reported, filed, _text(root / "RULES.md"), _text(root / "SUBMIT.md"), gone, _frame(root, wishes, own)
    )


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _frame(root: Path, wishes: Wishes, own: bool) -> Frame:
    """What stands around every page; a board of somebody's own records bears its folder's name."""
    from trm_harness.leaderboard.site import NAME, SHIPPED_TITLE, Frame

    name = NAME if own else f"Local leaderboard: {root.resolve().name}"
    title = wishes.title or (SHIPPED_TITLE if own else name)
    return Frame(
        wishes.title or name, title, not own, wishes.repository, wishes.docs, wishes.address, _last_commit(root)
    )


def _last_commit(root: Path) -> str:
    """The commit that changed the folder last, with its date; empty where git knows nothing of it."""
    command = ["git", "-C", str(root), "log", "-1", "--format=%h of %cs", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _reported(root: Path) -> list[Row]:
    """Reported scores of the folder, and of other plugins where it is the shipped one."""
    from trm_harness.files import paths
    from trm_harness.leaderboard.rows import read_reported
    from trm_harness.registry import default

    registry = default()
    if root.resolve() != paths.leaderboards().resolve():
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
    from trm_harness.leaderboard.site import PAGE_BYTES, heavy, stale, write_site

    pages = site.pages()
    if not check:
        write_site(out, pages)
        click.echo(f"wrote {out}: {len(pages)} files, {sum(map(len, pages.values())):,} bytes")
        for name, size in heavy(pages):
            click.echo(f"warning: {name} holds {size:,} bytes: over {PAGE_BYTES:,} a page loads slowly", err=True)
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
    from trm_harness.leaderboard.rows import filed_rows

    rows = [*filed_rows(site.filed), *site.reported]
    boards = [build(rows, task.id, task.headline) for task in site.tasks]
    return [board for board in boards if board.lines]


def _table(site: Site, out: Path, check: bool) -> None:
    """The table between the marks of a Markdown file."""
    from trm_harness.files.write import write_text
    from trm_harness.leaderboard.readme import filled, table

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
