"""A finished run becomes a filed record: checked, packed, and put in its place whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

from trm_harness.contracts import Task
from trm_harness.errors import BadInput, HarnessError
from trm_harness.files import paths
from trm_harness.files.hub import cache_only
from trm_harness.files.read import read_json
from trm_harness.files.write import folder, write_bytes, write_text
from trm_harness.fingerprint import file_sha256
from trm_harness.inference import select
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.leaderboard import archive
from trm_harness.leaderboard.check import LARGEST, check_filed, check_record, undeclared, withdrawn
from trm_harness.loading import declared, guard, stored_launch, weights_of
from trm_harness.publish.replays import films
from trm_harness.publish.rescore import Data, differing, filed_task, rescored, scored_check
from trm_harness.record import PLAN_FILE, RECORD_FILE, RunRecord, read, training_of, write
from trm_harness.registry import default
from trm_harness.zoo import cards

_MANIFEST = 4096
"""More bytes than a manifest has."""


def file_run(run: Path, to: Path | None = None, data: Data | None = None, self_reported: bool = False) -> Path:
    """File the finished run in the folder ``run`` below ``to``; its new folder.

    ``to`` is by default the records folder of the checkout one stands in, else of the user's own board.

    Its scores are recomputed first unless it is ``self_reported``. ``BadInput`` if anything is wrong with it or it is
    there already, and then nothing is left behind.
    """
    made, root = read(run), to or paths.board_here() / "records"
    record = declared_since(run, made, data or {}) if undeclared(made) else made
    problems = list(check_record(record))
    if problems:
        hint = f". {_where_to_declare(record)}" if undeclared(record) else ""
        raise BadInput(f"run {record.id} cannot be filed: {'; '.join(problems)}{hint}")
    place = archive.place_of(record)
    out = root / place
    gone = withdrawn(root.parent).get(place)
    if gone:
        raise BadInput(f"run {record.id} was withdrawn on {gone.date}: {gone.reason}")
    if out.exists():
        raise BadInput(f"{out} is there already: a filed run stays as it is")
    with folder(out, name=place) as inside:
        _pack(run, record, inside, data or {}, self_reported)
        findings = check_filed(inside, inside.parents[place.count("/")])
        found = next((finding for finding in findings if finding.problem), None)
        if found:
            raise BadInput(f"run {record.id} cannot be filed: {found.text}")
    return out


def declared_since(run: Path, record: RunRecord, data: Data) -> RunRecord:
    """The record with what its weights declare by now, compared with the puzzles it was asked; else as it is.

    The answers stay, so that nothing is evaluated again. Weights that are not here, or others, change nothing.
    """
    plan = StoredPlan.load(run)
    try:
        with cache_only():
            launch = stored_launch(plan.launch, run)
            card, weights = weights_of(launch)
            told = declared(card, weights, default().models.spec(launch.model))
            if weights is None or not told or file_sha256(weights) != record.model.weights_sha256:
                return record
            training = training_of(told)
            task = filed_task(run, data)
            found = guard(task, plan.plan.split, select(task, plan.plan), launch, told, allowed=True)
    except HarnessError:
        return record
    return record.model_copy(update={"training": training, "contamination": found})


def _where_to_declare(record: RunRecord) -> str:
    """Where the weights of a run declare their training, and what to do then."""
    known = "[training] holds data (name, task, sha256), demonstrations and checkpoint_choice"
    card = cards(default()).get(record.model.card)
    place = f"{card.folder / 'card.toml'}" if card else "a card of these weights (`trm-harness zoo add`)"
    return f"Declare it in {place}, whose {known}; then file the run again: nothing has to be evaluated again"


def _pack(run: Path, record: RunRecord, into: Path, data: Data, self_reported: bool) -> None:
    """Write everything that a filed run holds into the new folder ``into``."""
    if record == read(run):
        write_bytes(into / RECORD_FILE, (run / RECORD_FILE).read_bytes())
    else:
        write(into, record)
    write_text(into / PLAN_FILE, json.dumps(_public_plan(run), indent=1) + "\n")
    archive.pack_journal(run, into)
    for check in archive.holding_checks(run):
        # A check is of one record: what was declared since makes another one.
        if check.record_sha256 == archive.sha256((into / RECORD_FILE).read_bytes()):
            archive.add_check(into, check)
    if not self_reported:
        found, task = _scores_again(into, record, data)
        archive.write_films(into, films(into, task))
        if not archive.read_checks(into):
            archive.add_check(into, scored_check(into, found))
    taken = sum(path.stat().st_size for path in into.iterdir())
    archive.pack_replies(run, into, LARGEST - taken - _MANIFEST)
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
