"""A card's claimed score: is its record the card's, does the journal still give it, do the weights give it again?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from trm_harness import record as records
from trm_harness.errors import BadInput, DataMissing, HarnessError
from trm_harness.evaluate import Watchers, evaluate, rescore, verdicts
from trm_harness.files.paths import leaderboards
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.loading import Launch, load, task_of
from trm_harness.machine import resolve_device
from trm_harness.record import RunRecord, ScoreEntry
from trm_harness.scoring.intervals import wilson
from trm_harness.zoo import Card, Check, weights_path


def record_of(card: Card) -> Path:
    """Folder of the record behind the card's score: inside the card's folder, else in the leaderboards beside its zoo
    or the shipped ones.

    ``BadInput`` if the card names none, or it is not there.
    """
    named = card.expected.record if card.expected else ""
    if not named or Path(named).is_absolute() or ".." in Path(named).parts:
        raise BadInput(f"card {card.name} names no record of its score")
    for folder in (card.folder / named, card.folder.parents[1] / named, leaderboards().parent / named):
        if (folder / records.RECORD_FILE).is_file():
            return folder
    raise BadInput(f"the record of card {card.name} is not here: {named}")


def check_record(card: Card) -> list[Check]:
    """Whether the record is one of these weights, says what the card says, and follows from its own journal."""
    try:
        folder = record_of(card)
        record = records.read(folder)
        checks = list(_record_checks(card, record))
        again = rescore(folder, task_of(card.task)).headline
    except DataMissing as error:
        return [*checks, Check("journal", True, f"not scored again here: {error}", skipped=True)]
    except HarnessError as error:
        return [Check("record", False, str(error))]
    same = again is not None and again == record.headline
    return [*checks, Check("journal", same, f"scores again to {_told(again)}")]


def check_score(card: Card, limit: int | None = None, watchers: Watchers | None = None) -> Check:
    """Answer the record's puzzles again, under its protocol, and compare with the claimed interval.

    With ``limit`` only the first so many groups: then the interval of what was answered has to meet the claimed one,
    and the detail says how few they were.
    """
    try:
        folder = record_of(card)
        stored, old = StoredPlan.load(folder), records.read(folder)
        # A released table knows certain views only, which its weights ask of the task.
        views = str(card.encoding.get("views", ""))
        task = task_of(card.task, views=views)
        plan = stored.plan.only(limit=limit, puzzles=stored.plan.puzzles) if limit else stored.plan
        device, told = resolve_device("auto"), old.protocol
        how = {"dtype": told.dtype, "adapt": told.adapt, "adapt_steps": told.adapt_steps}
        how |= {"adapt_lr": told.adapt_lr} if told.adapt_lr is not None else {}
        how |= {"adapt_settings": told.adapt_settings}
        launch = Launch(task.spec.id, card.architecture, card.name, device=device, views=views, **how)
        model, setting = load(launch, task, plan, card, weights_path(card))
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) / "again"
            new = evaluate(task, model, plan, out, setting, watchers)
            if new.status != "success":
                raise KeyboardInterrupt(new.message)
            agreement = _agreement(_right(folder, old, task), _right(out, new, task))
    except DataMissing as error:
        return Check("score", True, f"not answered here: {error}", skipped=True)
    except HarnessError as error:
        return Check("score", False, str(error))
    return _compared(card, new, agreement)


def _record_checks(card: Card, record: RunRecord) -> Iterator[Check]:
    expected, found = card.expected, record.headline
    sha256 = record.model.weights_sha256
    yield Check("record", sha256 == card.sha256, f"{record.id} is of weights {sha256[:12]}...")
    if expected is None or found is None:
        yield Check("claim", False, "the card or the record has no score")
        return
    claimed = (expected.metric, expected.value, expected.n, expected.low, expected.high)
    same = claimed == (found.name, found.value, found.denominator, found.low, found.high)
    yield Check("claim", same, f"the card says {_share(expected.value)} of {expected.n}, the record {_told(found)}")


def _compared(card: Card, record: RunRecord, agreement: str) -> Check:
    claim, found = card.expected, record.headline
    assert claim is not None
    if found is None:
        return Check("score", False, "no answer of these puzzles is known")
    claimed = f"claimed {_share(claim.value)} ({_share(claim.low)} to {_share(claim.high)})"
    if found.denominator == claim.n:
        passed = claim.low <= found.value <= claim.high
        return Check("score", passed, f"{_told(found)}; {claimed}; {agreement}")
    here = wilson(found.numerator, found.denominator)
    passed = here.low <= claim.high and claim.low <= here.high
    part = f"{_told(found)}, a part only, which allows {_share(here.low)} to {_share(here.high)}"
    return Check("score", passed, f"{part}; {claimed} of {claim.n}; {agreement}")


def _right(folder: Path, record: RunRecord, task: object) -> dict[str, tuple[bool, str]]:
    """By puzzle: whether an attempt is right, and the answer of the single pass."""
    attempts = record.protocol.attempts
    return {
        verdict.puzzle.id: (verdict.rank is not None and verdict.rank <= attempts, str(verdict.single.answers[-1]))
        for verdict in verdicts(folder, task)
    }


def _agreement(before: dict[str, tuple[bool, str]], now: dict[str, tuple[bool, str]]) -> str:
    shared = before.keys() & now.keys()
    answers = sum(before[name][1] == now[name][1] for name in shared)
    right = sum(before[name][0] == now[name][0] for name in shared)
    return f"{answers} of {len(shared)} single-pass answers and {right} verdicts are the record's"


def _told(score: ScoreEntry | None) -> str:
    return f"{_share(score.value)} of {score.denominator}" if score else "nothing"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
