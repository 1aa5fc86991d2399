"""The bar of settled halting, chosen for a card from a run of full depth on puzzles that no score is stated for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trm_harness.errors import BadInput
from trm_harness.evaluate import verdicts
from trm_harness.loading import task_of
from trm_harness.record import RunRecord, ThresholdEntry, read
from trm_harness.scoring.assess import Verdict
from trm_harness.scoring.halting import settled
from trm_harness.zoo import Card, Halting
from trm_harness.zoo.write import change_card

SLACK = 1.05


def choose_bar(card: Card, run: Path) -> tuple[Card, tuple[ThresholdEntry, ...]]:
    """The card with its bar, and what every bar would have given on the run's puzzles.

    It is the highest bar that loses nothing there and takes at most :data:`SLACK` of the fewest steps of those that
    lose nothing: a higher bar is the safer one on other puzzles. The card is left as it was where every bar loses.
    ``BadInput`` for a run that is unfinished, of other weights, on the split that the card's score is stated for, or
    that did not run every step.
    """
    record = read(run)
    _check(card, record)
    full, bars = what_bars_give(verdicts(run, task_of(card.task)))
    equal = [one for one in bars if one.correct >= full]
    if not equal:
        return card, bars
    fewest = min(one.mean_steps for one in equal)
    best = max((one for one in equal if one.mean_steps <= SLACK * fewest), key=lambda one: one.threshold)
    told = f"{best.correct} of {best.n} right in {best.mean_steps:.2f} steps, {full} in {record.protocol.steps}"
    halting = Halting(settled_above=best.threshold, chosen_on=f"{card.task} {record.task.split}: {told}")
    return change_card(card, halting=halting), bars


def what_bars_give(judged: Iterable[Verdict]) -> tuple[int, tuple[ThresholdEntry, ...]]:
    """Right answers at full depth, and what each bar would have given; puzzles with hidden answers left out."""
    known = [verdict for verdict in judged if not verdict.hidden]
    passes = ((verdict.single.answers, verdict.single.halts, verdict.right_at) for verdict in known)
    return sum(verdict.right_at[-1] for verdict in known), settled(passes)


def _check(card: Card, record: RunRecord) -> None:
    if record.status != "success":
        raise BadInput(f"run {record.id} is not finished: `eval --resume` finishes it")
    if record.model.weights_sha256 != card.sha256 or record.task.id != card.task:
        raise BadInput(f"run {record.id} is not one of card {card.name} on task {card.task}: give such a run")
    if record.protocol.halt != "full" or record.protocol.noise or record.protocol.adapt:
        raise BadInput(f"run {record.id} is no plain run of full depth: leave --halt, --noise and --adapt out")
    if record.task.split == task_of(card.task).spec.default_split:
        split = record.task.split
        raise BadInput(
            f"run {record.id} is on split {split}, which scores are stated for: choose on --split validation"
        )
