"""Two runs on the same puzzles, puzzle by puzzle: what only one of them solves, and whether that could be chance.

Pure: tables of results and records in, counts out. The unit is the puzzle, right if the right answer is within the
first ``k`` candidates; a group (an ARC task) is right if all of its paired puzzles are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trm_harness.errors import BadInput
from trm_harness.record import RunRecord
from trm_harness.scoring.intervals import mcnemar
from trm_harness.scoring.rules import Outcome, score

RECORD_TOLERANCE = 1e-9
"""How far a headline may lie from the score of its own table: float sums in another order."""


@dataclass(frozen=True)
class Counts:
    """A 2 x 2 table of one unit (puzzles or groups): right in both runs, in one of them, in neither."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Counts:
        """Count ``(right in A, right in B)`` pairs."""
        kinds = list(pairs)
        return cls(*(kinds.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def n(self) -> int:
        """Units compared."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def p(self) -> float:
        """McNemar's exact two-sided p-value that both runs are equally good."""
        return mcnemar(self.only_a, self.only_b)


@dataclass(frozen=True)
class Comparison:
    """What became of every puzzle that both runs answered.

    ``solved`` (wrong in A, right in B) and ``broken`` (the reverse) are puzzle ids in A's order. ``unpaired_a`` and
    ``unpaired_b`` count scored puzzles that only one run has. ``score_a`` and ``score_b`` are the scores of the
    paired puzzles under the same rule. ``groups`` is ``None`` where every group is one puzzle.
    """

    k: int
    rule: str
    puzzles: Counts
    groups: Counts | None
    solved: tuple[str, ...]
    broken: tuple[str, ...]
    changed: tuple[str, ...]
    unpaired_a: int
    unpaired_b: int
    score_a: float
    score_b: float

    @property
    def difference(self) -> float:
        """Score of B less score of A, over the paired puzzles."""
        return self.score_b - self.score_a


def outcomes(table: Iterable[str], step: int | None = None) -> list[Outcome]:
    """The scored puzzles of a ``puzzles.csv``, given as its lines; those with a hidden answer are left out.

    With ``step``, the single-pass answer after so many supervision steps is judged instead of the ranked candidates
    (a puzzle that halted before keeps its last answer). ``BadInput`` for a table that is not one.
    """
    try:
        return [_outcome(row, step) for row in csv.DictReader(table) if row["single"] != ""]
    except (KeyError, TypeError, ValueError, IndexError, csv.Error) as error:
        raise BadInput(f"its puzzles.csv is damaged ({type(error).__name__}: {error})") from None


def compare(a: Sequence[Outcome], b: Sequence[Outcome], rule: str, k: int) -> Comparison:
    """Pair two runs by puzzle id over the puzzles that both have.

    ``BadInput`` if they share none; ``ValueError`` if a run has a puzzle twice.
    """
    others = {outcome.id: outcome for outcome in b}
    pairs = [(one, others[one.id]) for one in a if one.id in others]
    if not pairs:
        raise BadInput("the two runs have no puzzle in common: evaluate both on the same ones")
    rights = {one.id: (_right(one, k), _right(other, k)) for one, other in pairs}
    return Comparison(
        k=k,
        rule=rule,
        puzzles=Counts.of(rights.values()),
        groups=_groups(pairs, rights),
        solved=tuple(name for name, kind in rights.items() if kind == (False, True)),
        broken=tuple(name for name, kind in rights.items() if kind == (True, False)),
        changed=tuple(name for name, (was, now) in rights.items() if was != now),
        unpaired_a=len(a) - len(pairs),
        unpaired_b=len(b) - len(pairs),
        score_a=score([one for one, _ in pairs], rule, k).value,
        score_b=score([other for _, other in pairs], rule, k).value,
    )


def check_pair(a: RunRecord, b: RunRecord) -> None:
    """``BadInput`` unless both runs are finished, scored, and about the same data."""
    for record in (a, b):
        if record.status != "success":
            raise BadInput(f"run {record.id} is not finished (status {record.status}): `eval --resume` finishes it")
        if record.headline is None:
            raise BadInput(f"run {record.id} has no scores: all its answers are hidden")
    for field, name in (
        ("id", "task"),
        ("version", "task version"),
        ("split", "split"),
        ("data_sha256", "data sha256"),
    ):
        ours, theirs = (str(getattr(record.task, field))[:12] for record in (a, b))
        if getattr(a.task, field) != getattr(b.task, field):
            raise BadInput(f"runs {a.id} and {b.id} are on different data ({name} {ours} and {theirs}): nothing pairs")


def check_table(record: RunRecord, results: Sequence[Outcome]) -> None:
    """``BadInput`` unless the table of ``results`` gives the headline of the record that it lies beside."""
    entry = record.headline
    found = score(results, entry.rule, entry.k).value if entry else None
    if entry and abs(found - entry.value) > RECORD_TOLERANCE:
        raise BadInput(
            f"run {record.id}: its puzzles.csv says {entry.name} = {found:.6g}, its record {entry.value:.6g}: "
            "one of them was changed after the run"
        )


def shared_attempts(a: RunRecord, b: RunRecord) -> int:
    """Answers that count in a comparison: the headline's ``k``, the smaller where the two runs differ."""
    return min(record.headline.k for record in (a, b) if record.headline)


def protocol_differences(a: RunRecord, b: RunRecord) -> dict[str, tuple[object, object]]:
    """The protocol fields in which two runs differ, with both values."""
    ours, theirs = a.protocol.model_dump(), b.protocol.model_dump()
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def _outcome(row: dict[str, str], step: int | None) -> Outcome:
    """One line of the table; ``ValueError`` for one that was cut."""
    if None in row.values():
        raise ValueError(f"the line of puzzle {row['puzzle']} is cut")
    if step is None:
        rank = int(row["rank"]) if row["rank"] else None
    else:
        flags = row["right_at"]
        rank = 1 if flags[min(step, len(flags)) - 1] == "1" else None
    return Outcome(row["puzzle"], row["group"], rank, row["attempted"] == "1")


def _right(outcome: Outcome, k: int) -> bool:
    return outcome.rank is not None and outcome.rank <= k


def _groups(pairs: list[tuple[Outcome, Outcome]], rights: dict[str, tuple[bool, bool]]) -> Counts | None:
    """Groups right in both runs, in one, in neither."""
    members: dict[str, list[tuple[bool, bool]]] = {}
    for one, _ in pairs:
        members.setdefault(one.group, []).append(rights[one.id])
    if len(members) == len(pairs):
        return None
    return Counts.of((all(a for a, _ in kinds), all(b for _, b in kinds)) for kinds in members.values())
