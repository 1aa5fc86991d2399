"""``trm-harness runs verify``: answer a run's puzzles a second time and compare the answers grid by grid."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import echo_json
from trm_harness.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from trm_harness.cli.eval import Launch
    from trm_harness.contracts import Task
    from trm_harness.evaluate.stored import StoredPlan
    from trm_harness.leaderboard.archive import CheckEntry
    from trm_harness.record import RunRecord

Answers = Mapping[str, Mapping[tuple[int, int], str | None]]
"""Puzzle -> (view, trajectory) -> final answer as the journal spells it."""


def run_verify(folder: Path, sample: int, data: Path | None, weights: Path | None, device: str, as_json: bool) -> None:
    """Answer ``sample`` groups (0: all) again, compare, print, and note it in ``verification.json``.

    ``CheckFailed`` if a puzzle is right in one run and wrong in the other, after the note is written. ``BadInput`` if
    the run is unfinished or its task, data, model or weights cannot be had.
    """
    from trm_harness.leaderboard.archive import add_check
    from trm_harness.record import read

    record = read(folder)
    if record.status != "success":
        raise BadInput(f"run {record.id} is not finished: only a finished run can be verified")
    found, different = _compared(folder, record, sample, data, weights, device)
    add_check(folder, found)
    told = found.model_dump() | {"passed": found.passed, "different": different}
    click.echo(_text(record, found, different)) if not as_json else echo_json(told)
    if not found.passed:
        raise CheckFailed(f"run {record.id} is not borne out: {found.puzzles - found.agree} puzzles came out otherwise")


def _compared(
    folder: Path, record: RunRecord, sample: int, data: Path | None, weights: Path | None, device: str
) -> tuple[CheckEntry, list[str]]:
    """What a second run found, and the puzzles that have other answers in it."""
    from trm_harness.cli.filing import today, version
    from trm_harness.evaluate.stored import StoredPlan
    from trm_harness.leaderboard.archive import RERUN, CheckEntry, journal_sha256, sha256

    stored = StoredPlan.load(folder)
    task, launch = _task_and_launch(folder, stored, data, weights, device)
    selection = stored.check_task(task)
    groups = _drawn(dict.fromkeys(puzzle.group for puzzle in selection), sample)
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch) / "again"
        made = _again(again, task, stored, launch, groups)
        before, after = _right(folder, task), _right(again, task)
        first, second = _answers(folder, set(after)), _answers(again)
    different = [puzzle for puzzle, answers in second.items() if answers != first.get(puzzle)]
    pairs = [
        (answers[key], first.get(puzzle, {}).get(key, "")) for puzzle, answers in second.items() for key in answers
    ]
    entry = CheckEntry(
        kind=RERUN,
        date=today(),
        record_sha256=sha256((folder / "run.json").read_bytes()),
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
    return tuple(random.Random(0).sample(list(groups), sample))


def _task_and_launch(
    folder: Path, stored: StoredPlan, data: Path | None, weights: Path | None, device: str
) -> tuple[Task, Launch]:
    """The run's task and what makes its model, on this machine."""
    from trm_harness.cli.eval import stored_launch
    from trm_harness.cli.tasks import load_task
    from trm_harness.environment import resolve_device
    from trm_harness.registry import default

    launch = stored_launch(stored.launch, folder)
    given = data or (Path(launch.data) if launch.data else None)
    changes: dict[str, Any] = {"device": resolve_device(device)} if device else {}
    if weights:
        changes |= {"weights": str(weights), "card": ""}
    elif launch.weights and not Path(launch.weights).is_file():
        changes |= {"weights": "", "card": _card_of(stored, launch)}
    return load_task(default(), launch.task, given), dataclasses.replace(launch, **changes)


def _card_of(stored: StoredPlan, launch: Launch) -> str:
    """The card whose weights a run used from a file; ``BadInput`` if there is none."""
    from trm_harness.registry import default
    from trm_harness.zoo import cards

    named = next((card.name for card in cards(default()).values() if card.sha256 == stored.weights_sha256), "")
    if not named:
        raise BadInput(
            f"the weights {Path(launch.weights).name} (sha256 {stored.weights_sha256[:12]}) are not here and no card "
            "has them: give them with --weights FILE"
        )
    return named


def _again(out: Path, task: Task, stored: StoredPlan, launch: Launch, groups: tuple[str, ...]) -> RunRecord:
    """Run the same plan on ``groups`` (none named: as before) into ``out``."""
    from trm_harness.cli.eval import load_model
    from trm_harness.cli.progress import progress
    from trm_harness.evaluate import Watchers, evaluate

    plan = stored.plan
    if groups:
        plan = dataclasses.replace(plan, limit=None, puzzles=groups)
    plan = dataclasses.replace(plan, steps=stored.steps, attempts=stored.attempts)
    model, setting = load_model(launch, task, plan)
    stored.check_model(model)
    with progress() as show:
        record = evaluate(task, model, plan, out, setting, Watchers(progress=show))
    if record.status == "cancelled":
        raise KeyboardInterrupt("stopped before the comparison: nothing was noted")
    return record


def _answers(folder: Path, wanted: set[str] | None = None) -> Answers:
    """Final answers of a run, of the ``wanted`` puzzles only."""
    from trm_harness.journal import scan

    found: dict[str, dict[tuple[int, int], str | None]] = defaultdict(dict)
    for entry in scan(folder / "journal.jsonl"):
        if wanted is None or entry.puzzle in wanted:
            found[entry.puzzle][entry.view, entry.restart] = entry.answers[-1]
    return found


def _right(folder: Path, task: Task) -> dict[str, bool]:
    """Puzzle -> whether one of the attempts that count is right."""
    from trm_harness.evaluate import verdicts
    from trm_harness.evaluate.stored import StoredPlan

    most = StoredPlan.load(folder).attempts
    return {verdict.puzzle.id: 0 < (verdict.rank or 0) <= most for verdict in verdicts(folder, task)}


def _text(record: RunRecord, found: CheckEntry, different: list[str]) -> str:
    """What the comparison found, in a few lines."""
    named = f": {', '.join(different[:5])}{', ...' if len(different) > 5 else ''}" if different else ""
    return "\n".join(
        [
            f"run       {record.id}",
            f"answered  {found.puzzles:,} of {found.of:,} puzzles again, on {found.device}",
            f"grids     {found.equal:,} of {found.grids:,} equal in every cell{named}",
            f"verdicts  {found.agree:,} of {found.puzzles:,} puzzles right in both runs or wrong in both",
        ]
    )
