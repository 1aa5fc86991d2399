"""``trm-harness plugins check``: every law on every object, told one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import echo_json
from trm_harness.errors import BadInput, UnknownName
from trm_harness.plugins.host import near

if TYPE_CHECKING:
    from trm_harness.testing import Check, Outcome

COLOURS = {"ok": "green", "skipped": "yellow", "broken": "red"}


def run(names: tuple[str, ...], data: tuple[str, ...], laws: tuple[str, ...], traceback: bool, as_json: bool) -> int:
    """Check, tell, stamp what passed whole; 1 if a law is broken. ``UnknownName`` for names that nothing has."""
    from trm_harness.testing import check_all, checks_of

    checks = _chosen(checks_of(*names, data=_folders(data)), laws)
    found: list[Outcome] = []
    for outcome in check_all(checks):
        found.append(outcome)
        if not as_json:
            _tell(outcome, traceback)
    broken = sum(outcome.status == "broken" for outcome in found)
    if not laws:
        _stamp(checks, found)
    if as_json:
        echo_json({"ok": not broken, "checks": found})
    else:
        counts = Counter(outcome.status for outcome in found)
        skipped = f", {counts['skipped']} do not apply here" if counts["skipped"] else ""
        click.echo(f"{len(found)} checks: {counts['ok']} kept, {broken} broken{skipped}")
    return int(broken > 0)


def _folders(data: tuple[str, ...]) -> dict[str, Any]:
    folders = {}
    for given in data:
        task, equals, folder = given.partition("=")
        if not equals or not Path(folder).is_dir():
            raise BadInput(f"--data {given}: must be TASK=DIR with an existing folder")
        folders[task] = Path(folder)
    return folders


def _chosen(checks: list[Check], laws: tuple[str, ...]) -> list[Check]:
    known = {check.law.name for check in checks}
    for name in laws:
        if name not in known:
            raise UnknownName(f"no law {name!r} here{near(name, known)} (known are {', '.join(sorted(known))})")
    return [check for check in checks if not laws or check.law.name in laws]


def _tell(outcome: Outcome, traceback: bool) -> None:
    mark = click.style(outcome.status.ljust(7), fg=COLOURS[outcome.status])
    line = f"{mark}  {outcome.kind} {outcome.subject}  {outcome.law}"
    click.echo(f"{line}: {outcome.detail}" if outcome.detail else line)
    if traceback and outcome.traceback:
        click.echo(outcome.traceback)


def _stamp(checks: list[Check], found: list[Outcome]) -> None:
    """Stamp every plugin all of whose objects were checked and kept the laws; unstamp what broke one."""
    from trm_harness.plugins import check_log
    from trm_harness.registry import default

    registry = default()
    catalogs = {"task": registry.tasks, "model": registry.models, "trainer": registry.trainers}
    whole = {check.subject.id for check in checks if check.subject.kind == "plugin"}
    broken = {
        outcome.subject if outcome.kind == "plugin" else catalogs[outcome.kind].owner(outcome.subject).name
        for outcome in found
        if outcome.status == "broken"
    }
    for info in registry.host.healthy():
        if info.name in broken:
            check_log.drop(info)
        elif info.name in whole:
            check_log.put(info)
