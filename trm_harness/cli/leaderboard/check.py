"""``leaderboard check``: every record proved, and all of them held against a git commit."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trm_harness.cli.options import printable
from trm_harness.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from trm_harness.leaderboard.check import Finding


def data_folders(pairs: Sequence[str]) -> dict[str, Path]:
    """``TASK=DIR`` pairs; ``BadInput`` for anything else."""
    found = {}
    for pair in pairs:
        task, equals, folder = pair.partition("=")
        if not (equals and task and folder):
            raise BadInput(f"--data {pair}: use TASK=DIR")
        found[task] = Path(folder)
    return found


FOR_A_PROCESS = 16
"""Records that repay the second or two in which a process starts."""


@dataclass
class Report:
    """What a whole check found: findings, records by level, and those that could not be scored again here."""

    findings: list[Finding]
    records: int
    rescored: int


def run_check(root: Path, base: str, data: Mapping[str, Path], only: Sequence[Path], accepted: bool = False) -> Report:
    """Check every record below ``root/records`` and the reported scores, and compare both with a git commit.

    ``accepted``: the second runs that the change brings were made again, or are trusted, by whoever checks.
    """
    from trm_harness.leaderboard import archive
    from trm_harness.leaderboard.check import check_twins

    records, findings = root / "records", []
    folders = [*archive.folders(records)]
    chosen = [folder for folder in folders if not only or any(folder.is_relative_to(one) for one in only)]
    proved: set[str] = set()
    for folder, (found, holds) in zip(chosen, _tried(records, chosen, data), strict=True):
        findings += found
        proved |= {folder.relative_to(records).as_posix()} if holds else set()
    findings += _reported(root)
    if not only:
        findings += check_twins(records, (folder.relative_to(records).as_posix() for folder in folders))
    if base:
        # Of records that were not asked for nothing was tried, so that nothing can be held against them.
        unasked = {folder.relative_to(records).as_posix() for folder in folders} if only else set()
        findings += _against(root, base, proved | unasked, accepted)
    return Report(findings, len(chosen), len(proved))


Tried = tuple[list["Finding"], bool]
"""What was found of a record, and whether its scores were shown to follow from its answers."""


def _tried(records: Path, folders: Sequence[Path], data: Mapping[str, Path]) -> list[Tried]:
    """:data:`Tried` of each of ``folders``; many of them are shared out among processes."""
    from trm_harness import machine
    from trm_harness.inference.interrupt import leave_stopping_to_parent
    from trm_harness.inference.workers import pool_of

    processes = min(machine.cores(), len(folders) // FOR_A_PROCESS)
    if processes < 2:
        return _try(records, folders, data)
    # Records of one task are tried in one process, as far as that leaves work for the others: they share its puzzles.
    ordered = sorted(folders, key=lambda folder: folder.relative_to(records).parts[0])
    size = -(-len(folders) // (4 * processes))
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    died = "a process that checks records died (out of memory?): check some of them at a time"
    with pool_of(processes, died, leave_stopping_to_parent) as pool:
        found = pool.map(_try, repeat(records), parts, repeat(data))
        tried = dict(zip(ordered, chain.from_iterable(found), strict=True))
    return [tried[folder] for folder in folders]


def _try(records: Path, folders: Sequence[Path], data: Mapping[str, Path]) -> list[Tried]:
    """:data:`Tried` of each of ``folders``, one after another."""
    from trm_harness.leaderboard.check import check_filed
    from trm_harness.publish.verify import Shared, prove

    shared, tried = Shared(), []
    for folder in folders:
        found = list(check_filed(folder, records))
        # What cannot even be read cannot be scored again.
        readable = not any(finding.problem for finding in found)
        again = list(prove(folder, folder.relative_to(records).as_posix(), data, shared)) if readable else []
        tried.append((found + again, readable and not again))
    return tried


def _reported(root: Path) -> Iterator[Finding]:
    from trm_harness.leaderboard import archive
    from trm_harness.leaderboard.check import Finding, check_withdrawn, withdrawn
    from trm_harness.leaderboard.rows import read_reported

    try:
        read_reported([root / "reported"])
        gone = withdrawn(root)
    except BadInput as problem:
        yield Finding("reported", str(problem))
        return
    here = (folder.relative_to(root / "records").as_posix() for folder in archive.folders(root / "records"))
    yield from check_withdrawn(here, gone, {})


def _against(root: Path, base: str, proved: Collection[str], accepted: bool) -> Iterator[Finding]:
    """The records, their checks and the reported scores of a git commit beside those in the folder."""
    from trm_harness.leaderboard import check

    withdrawn = check.withdrawn(root)
    before = _git(root, "ls-tree", "--name-only", "--end-of-options", base, "--", check.WITHDRAWN_FILE).strip()
    text = _git(root, "show", f"{base}:./{check.WITHDRAWN_FILE}").decode() if before else ""
    yield from check.check_withdrawn((), withdrawn, check.read_withdrawn(text))
    here, committed = _here(root / "records"), _committed(root / "records", base)
    yield from check.check_base(here, committed, withdrawn)
    brought = check.brought_checks(here, committed)
    yield from check.check_brought(brought, proved, lambda place: _committer(root, place, base), accepted)
    yield from check.check_reported(_here(root / "reported"), _committed(root / "reported", base), withdrawn)


def _committer(root: Path, place: str, base: str) -> str:
    """Who committed a record's checks last since ``base``, and in which commit."""
    file = f"records/{place}/verification.json"
    told = _git(root, "log", "-1", "--format=%an, commit %h", "--end-of-options", f"{base}..HEAD", "--", file)
    return told.decode("utf-8", "replace").strip() or "not committed yet"


def _here(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }


def _committed(folder: Path, base: str) -> dict[str, bytes]:
    """Path below ``folder`` -> content in the commit ``base``. ``BadInput`` where git does not know it."""
    listed = _git(folder, "ls-tree", "-r", "-z", "--end-of-options", base, "--", ".")
    found = {}
    for line in listed.decode().split("\0"):
        facts, _, name = line.partition("\t")
        if name:
            found[name] = _git(folder, "cat-file", "blob", facts.split()[2])
    return found


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or b""
        reason = said.decode("utf-8", "replace").strip().splitlines()
        raise BadInput(f"git cannot read {folder.name} at that commit: {reason[-1] if reason else error}") from None


def show_report(report: Report, strict: bool) -> None:
    """Print the findings; ``CheckFailed`` if one is a problem, or with ``strict`` if anything could not be scored."""
    for finding in report.findings:
        # One line each, whatever somebody wrote into a record: no finding may look like another one.
        click.echo(printable(" ".join(str(finding).split())))
    problems = sum(finding.problem for finding in report.findings)
    click.echo(f"{report.records} records, {report.rescored} scored again from their answers, {problems} problems")
    if problems:
        raise CheckFailed(f"{problems} problems in the leaderboards: each is named above")
    if strict and report.rescored < report.records:
        raise CheckFailed(
            f"{report.records - report.rescored} records could not be scored again: --strict asks for all"
        )
