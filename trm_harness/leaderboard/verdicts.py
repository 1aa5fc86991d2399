"""What our records say of each published score: reproduced, not reproduced, not comparable (and why), or untested.

A record speaks of a claim if it is of the same architecture on the same task. Whether the two can be compared is read
off both; whether they agree is computed from their intervals. Nobody's opinion enters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trm_harness.leaderboard.archive import Filed
from trm_harness.leaderboard.rows import OURS, WHOLE, Result, Row, filed_row
from trm_harness.record import RunRecord, describe
from trm_harness.scoring.intervals import wilson

REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE, UNTESTED = VERDICTS = (
    "reproduced",
    "not reproduced",
    "not comparable",
    "untested",
)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim's score in one column, why, and the place of the record that says so."""

    claim: Row
    column: str
    verdict: str
    why: str
    place: str = ""


def judge(claims: Iterable[Row], records: Sequence[Filed]) -> list[Verdict]:
    """One verdict for each published score, in the order of ``claims``."""
    by_model: dict[tuple[str, str], list[Filed]] = {}
    for filed in records:
        by_model.setdefault((filed.record.task.id, filed.record.model.id), []).append(filed)
    return [
        _verdict(claim, column, by_model.get((claim.task, claim.model), []))
        for claim in claims
        if claim.level != OURS
        for column in claim.results
    ]


def _verdict(claim: Row, column: str, records: Sequence[Filed]) -> Verdict:
    """The best verdict that any record supports; of several that can be compared, the one on most puzzles speaks."""
    if not claim.model:
        kind = "no record of this language model" if claim.family == "llm" else "no implementation of it here"
        return Verdict(claim, column, UNTESTED, kind)
    if not records:
        return Verdict(claim, column, UNTESTED, f"no record of {claim.model} on {claim.task}")
    reasons = {filed.place: list(differences(claim, column, filed)) for filed in records}
    comparable = [filed for filed in records if not reasons[filed.place]]
    if not comparable:
        nearest = min(records, key=lambda filed: (len(reasons[filed.place]), filed.place))
        return Verdict(claim, column, NOT_COMPARABLE, "; ".join(reasons[nearest.place]), nearest.place)
    speaking = max(comparable, key=lambda filed: (filed.record.headline.denominator, filed.place))
    row = filed_row(speaking)
    verdict, why = compare(claim.results[column], WHOLE.get((claim.task, column)), row.results[column])
    return Verdict(claim, column, verdict, why, speaking.place)


def differences(claim: Row, column: str, filed: Filed) -> Iterator[str]:
    """Why a record cannot be held against a claim; nothing if it can."""
    row, record = filed_row(filed), filed.record
    if row is None:
        yield "the record has no score"
        return
    if column not in row.results:
        yield f"other split: {column} there, {'/'.join(row.results)} here"
    if row.metric != claim.metric:
        yield f"other metric: {claim.metric} there, {row.metric} here"
    # Part of the split, untrained or contaminated weights, own data: what keeps a run from being ranked.
    yield from (f"our record: {label}" for label in row.labels)
    yield from (f"the claim: {label}" for label in claim.labels)
    yield from _training(claim, record)
    yield from _inference(claim, record)


def _training(claim: Row, record: RunRecord) -> Iterator[str]:
    """Differences in what the weights were trained on."""
    told = record.training
    if claim.demonstrations and told.demonstrations != claim.demonstrations:
        yield f"demonstrations: {claim.demonstrations} there, {told.demonstrations} here"
    if told.extra_data:
        yield f"extra training data here: {', '.join(told.extra_data)}"
    own = [use.name for use in told.data if describe.OWN_FILES in use.name]
    if own:
        yield f"trained on files of one's own here: {'; '.join(own)}"
    parts = [use.name for use in told.data if " of " in use.name.partition(describe.OWN_FILES)[0]]
    if parts:
        yield f"trained on part of the data here: {'; '.join(parts)}"
    foreign = sorted({use.task for use in told.data if use.task and use.task != claim.task})
    if foreign:
        yield f"trained on other tasks here: {', '.join(foreign)}"


def _inference(claim: Row, record: RunRecord) -> Iterator[str]:
    """Differences in how answers were made."""
    protocol = record.protocol
    published = record.model.config.get("supervision_steps")
    if isinstance(published, int) and protocol.steps != published:
        yield f"supervision steps: {published} published, {protocol.steps} here"
    if claim.views is not None and claim.views != protocol.views:
        yield f"votes: {claim.views} there, {protocol.views} here"
    if protocol.noise:
        yield f"noise {protocol.noise:g} on the latent here"


def compare(claim: Result, whole: int | None, ours: Result) -> tuple[str, str]:
    """A verdict from the interval of the difference between two scores (Newcombe 1998, from their own intervals).

    A claim's own interval is Wilson's on the benchmark's whole set; that its number is rounded widens it.
    """
    n = claim.total or whole or ours.total or 1
    share = claim.percent / 100
    low, high = (claim.low, claim.high) if claim.low is not None else _wilson_percent(share, n)
    rounding = _rounding(claim.percent)
    low, high = max(0.0, low - rounding), min(100.0, high + rounding)
    difference = ours.percent - claim.percent
    down = math.hypot(ours.percent - ours.low, high - claim.percent)
    up = math.hypot(ours.high - ours.percent, claim.percent - low)
    told = (
        f"{ours.percent:.2f} on {ours.done:,} here, {claim.percent:g} claimed: difference {difference:+.2f} "
        f"(95 % interval {difference - down:+.2f} to {difference + up:+.2f})"
    )
    if difference + up < 0:
        return NOT_REPRODUCED, told
    return REPRODUCED, f"{told}{'; ours is higher' if difference - down > 0 else ''}"


def _wilson_percent(share: float, n: int) -> tuple[float, float]:
    interval = wilson(share * n, n)
    return 100 * interval.low, 100 * interval.high


def _rounding(percent: float) -> float:
    """Half a unit of the last digit that a score was printed with, taken to be one decimal where it is whole."""
    decimals = len(f"{percent:.4f}".rstrip("0").partition(".")[2])
    return 0.5 * 10 ** -max(1, decimals)


def counts(verdicts: Iterable[Verdict]) -> Mapping[str, int]:
    """How many claims got each verdict."""
    found = dict.fromkeys(VERDICTS, 0)
    for verdict in verdicts:
        found[verdict.verdict] += 1
    return found
