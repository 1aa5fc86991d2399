"""``leaderboard check``: every record proved, and all of them held against a git commit."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

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


@dataclass
class Report:
    """What a whole check found: findings, records by level, and those that could not be scored again here."""

    findings: list[Finding]
    records: int
    rescored: int


def run_check(root: Path, base: str, data: Mapping[str, Path], only: Sequence[Path]) -> Report:
    """Check every record below ``root/records`` and the reported scores, and compare both with a git commit."""
    from trm_harness.filing import prove
    from trm_harness.leaderboard import archive, check

    records, findings = root / "records", []
    folders = [*archive.folders(records)]
    chosen = [folder for folder in folders if not only or any(folder.is_relative_to(one) for one in only)]
    done = 0
    for folder in chosen:
        alone = list(check.check_filed(folder, records))
        findings += alone
        # What cannot even be read cannot be scored again.
        if not any(finding.problem for finding in alone):
            again = list(prove(folder, folder.relative_to(records).as_posix(), data))
            findings += again
            done += not again
    findings += _reported(root)
    if base:
        findings += _against(root, base)
    return Report(findings, len(chosen), done)


def _reported(root: Path) -> Iterator[Finding]:
    from trm_harness.leaderboard.check import Finding, read_withdrawn
    from trm_harness.leaderboard.rows import read_reported

    try:
        read_reported([root / "reported"])
        read_withdrawn(_withdrawn(root))
    except BadInput as problem:
        yield Finding("reported", str(problem))


def _withdrawn(root: Path) -> str:
    file = root / "withdrawn.csv"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _against(root: Path, base: str) -> Iterator[Finding]:
    """The records and reported scores of a git commit beside those in the folder."""
    from trm_harness.leaderboard import check

    withdrawn = check.read_withdrawn(_withdrawn(root))
    for name, compare in (("records", check.check_base), ("reported", check.check_reported)):
        yield from compare(_here(root / name), _committed(root / name, base), withdrawn)


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
        click.echo(str(finding))
    problems = sum(finding.problem for finding in report.findings)
    click.echo(f"{report.records} records, {report.rescored} scored again from their answers, {problems} problems")
    if problems:
        raise CheckFailed(f"{problems} problems in the leaderboards: each is named above")
    if strict and report.rescored < report.records:
        raise CheckFailed(
            f"{report.records - report.rescored} records could not be scored again: --strict asks for all"
        )
