"""A finished run becomes a filed record: checked, packed, and put in its place whole or not at all."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path, PurePath
from typing import Any

from trm_harness import paths
from trm_harness.contracts import Task
from trm_harness.errors import BadInput, HarnessError
from trm_harness.filing.films import films
from trm_harness.filing.scores import Data, differing, rescored, scored_check
from trm_harness.leaderboard import archive
from trm_harness.leaderboard.check import check_filed, check_record
from trm_harness.record import PLAN_FILE, RECORD_FILE, RunRecord, read, read_json, write_text


def file_run(run: Path, to: Path | None = None, data: Data | None = None, self_reported: bool = False) -> Path:
    """File the finished run in the folder ``run`` below ``to`` (default: the project's records); its new folder.

    Its scores are recomputed first unless it is ``self_reported``. ``BadInput`` if anything is wrong with it or it is
    there already, and then nothing is left behind.
    """
    record, root = read(run), to or _records_root()
    problem = next(check_record(record), None)
    if problem:
        raise BadInput(f"run {record.id} cannot be filed: {problem}")
    out = root / archive.place_of(record)
    if out.exists():
        raise BadInput(f"{out} is there already: a filed run stays as it is")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".add-") as scratch:
        inside = Path(scratch) / archive.place_of(record)
        inside.mkdir(parents=True)
        _pack(run, record, inside, data or {}, self_reported)
        found = next((finding for finding in check_filed(inside, Path(scratch)) if finding.problem), None)
        if found:
            raise BadInput(f"run {record.id} cannot be filed: {found.text}")
        out.parent.mkdir(parents=True, exist_ok=True)
        inside.replace(out)
    return out


def _records_root() -> Path:
    if paths.checkout() is None:
        raise BadInput("this installation is no checkout: say where the records lie with --to DIR")
    return paths.records()


def _pack(run: Path, record: RunRecord, into: Path, data: Data, self_reported: bool) -> None:
    """Write everything that a filed run holds into the new folder ``into``."""
    (into / RECORD_FILE).write_bytes((run / RECORD_FILE).read_bytes())
    write_text(into / PLAN_FILE, json.dumps(_public_plan(run), indent=1) + "\n")
    archive.pack_journal(run, into)
    for check in archive.holding_checks(run):
        archive.add_check(into, check)
    if not self_reported:
        found, task = _scores_again(into, record, data)
        archive.write_films(into, films(into, task))
        if not archive.read_checks(into):
            archive.add_check(into, scored_check(into, found))
    archive.write_manifest(into)


def _scores_again(folder: Path, record: RunRecord, data: Data) -> tuple[RunRecord, Task]:
    try:
        found, task = rescored(folder, data)
    except HarnessError as error:
        hint = f"name its data with --data {record.task.id}=DIR, or file it as --self-reported"
        raise BadInput(f"run {record.id} cannot be scored again here ({error}): {hint}") from None
    wrong = differing(record, found)
    if wrong:
        raise BadInput(f"run {record.id} cannot be filed: its {', '.join(wrong)} do not follow from its answers")
    return found, task


def _public_plan(run: Path) -> dict[str, Any]:
    """The plan without paths of this machine: data is found by its hash, weights by theirs."""
    plan = read_json(run / PLAN_FILE)
    launch = plan.get("launch", {})
    named = PurePath(launch["weights"]).name if launch.get("weights") else ""
    return plan | {"launch": launch | {"data": "", "weights": named}}
