"""A run answered a second time, and both compared grid by grid."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_harness.contracts import Task
from trm_harness.errors import BadInput
from trm_harness.evaluate import Watchers, evaluate, verdicts
from trm_harness.inference.plan import drawn
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.leaderboard.archive import RERUN, CheckEntry, journal_sha256, sha256
from trm_harness.loading import Launch, load, stored_launch, task_again, weights_of
from trm_harness.machine import resolve_device
from trm_harness.publish.rescore import today, version
from trm_harness.record import JOURNAL_FILE, RECORD_FILE, RunRecord, read
from trm_harness.record.journal import scan
from trm_harness.registry import default
from trm_harness.zoo import cards

Answers = Mapping[str, Mapping[tuple[int, int], str | None]]
"""Puzzle -> (view, trajectory) -> final answer as the journal spells it."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a second run uses of this machine where the run's own is not here; empty: as the run did."""

    data: Path | None = None
    weights: Path | None = None
    device: str = ""


def run_again(
    folder: Path, sample: int = 0, here: Machine | None = None, watchers: Watchers | None = None
) -> tuple[CheckEntry, list[str]]:
    """Answer ``sample`` groups of a finished run (0: all) again: what was found, and puzzles with other answers.

    ``BadInput`` if the run is unfinished or its task, data, model or weights cannot be had. Nothing is written.
    """
    record, here = read(folder), here or Machine()
    if record.status != "success":
        raise BadInput(f"run {record.id} is not finished: only a finished run can be verified")
    stored = StoredPlan.load(folder)
    task, launch = _task_and_launch(folder, stored, here)
    selection = stored.check_task(task)
    groups = _drawn(dict.fromkeys(puzzle.group for puzzle in selection), sample)
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch) / "again"
        made = _again(again, task, stored, launch, groups, watchers or Watchers())
        before, after = _right(folder, task), _right(again, task)
        first, second = _answers(folder, set(after)), _answers(again)
    different = [puzzle for puzzle, answers in second.items() if answers != first.get(puzzle)]
    # An answer that the first run does not have equals nothing, not even "no answer".
    pairs = [
        (answers[key], first.get(puzzle, {}).get(key, "none such"))
        for puzzle, answers in second.items()
        for key in answers
    ]
    entry = CheckEntry(
        kind=RERUN,
        date=today(),
        record_sha256=sha256((folder / RECORD_FILE).read_bytes()),
        journal_sha256=journal_sha256(folder),
        puzzles=len(second),
        of=record.selection.puzzles,
        grids=len(pairs),
        equal=sum(new == old for new, old in pairs),
        agree=sum(before.get(puzzle) == right for puzzle, right in after.items()),
        weights_sha256=made.model.weights_sha256,
        harness=version(),
        device=made.cost.device_name,
    )
    return entry, different


def _drawn(groups: Mapping[str, None], sample: int) -> tuple[str, ...]:
    """``sample`` groups, the same ones every time; none named for all."""
    if not 0 < sample < len(groups):
        return ()
    return tuple(drawn(groups, sample, seed=0))


def _task_and_launch(folder: Path, stored: StoredPlan, here: Machine) -> tuple[Task, Launch]:
    """The run's task and what makes its model, on this machine."""
    launch = stored_launch(stored.launch, folder)
    changes: dict[str, Any] = {"device": resolve_device(here.device)} if here.device else {}
    if here.weights:
        changes |= {"weights": str(here.weights), "card": ""}
    elif launch.weights and not Path(launch.weights).is_file():
        changes |= {"weights": "", "card": _card_of(stored, launch)}
    return task_again(launch, folder, here.data), dataclasses.replace(launch, **changes)


def _card_of(stored: StoredPlan, launch: Launch) -> str:
    """The card whose weights a run used from a file; ``BadInput`` if there is none."""
    named = next((card.name for card in cards(default()).values() if card.sha256 == stored.weights_sha256), "")
    if not named:
        raise BadInput(
            f"the weights {Path(launch.weights).name} (sha256 {stored.weights_sha256[:12]}) are not here and no card "
            "has them: give them with --weights FILE"
        )
    return named


def _again(
    out: Path, task: Task, stored: StoredPlan, launch: Launch, groups: tuple[str, ...], watchers: Watchers
) -> RunRecord:
    """Run the same plan on ``groups`` (none named: as before) into ``out``."""
    plan = stored.plan
    if groups:
        plan = plan.only(puzzles=groups)
    plan = dataclasses.replace(plan, steps=stored.steps, attempts=stored.attempts)
    model, setting = load(launch, task, plan, *weights_of(launch))
    stored.check_model(model)
    record = evaluate(task, model, plan, out, setting, watchers)
    if record.status == "cancelled":
        raise KeyboardInterrupt("stopped before the comparison: nothing was noted")
    return record


def _answers(folder: Path, wanted: set[str] | None = None) -> Answers:
    """Final answers of a run, of the ``wanted`` puzzles only."""
    found: dict[str, dict[tuple[int, int], str | None]] = defaultdict(dict)
    for entry in scan(folder / JOURNAL_FILE):
        if wanted is None or entry.puzzle in wanted:
            found[entry.puzzle][entry.view, entry.restart] = entry.answers[-1]
    return found


def _right(folder: Path, task: Task) -> dict[str, bool]:
    """Puzzle -> whether one of the attempts that count is right."""
    most = StoredPlan.load(folder).attempts
    return {verdict.puzzle.id: 0 < (verdict.rank or 0) <= most for verdict in verdicts(folder, task)}
