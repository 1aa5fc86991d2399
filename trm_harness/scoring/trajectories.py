"""How many trajectories it takes: the first answer that fewer of them would have given, by each way of choosing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trm_harness.inference.plan import SELECTS
from trm_harness.record import TrajectoryEntry
from trm_harness.record.journal import Entry
from trm_harness.scoring.vote import ranked, tally
from trm_harness.types import Candidate, Grid


def sizes(restarts: int) -> tuple[int, ...]:
    """Numbers of trajectories to look at: 1, 2, 4 ... below ``restarts``, and ``restarts`` itself."""
    return (*(1 << power for power in range((restarts - 1).bit_length())), restarts)


def tallied(rows: Sequence[Entry], grids: Mapping[str, Grid]) -> list[tuple[Candidate, str]]:
    """Ranked candidates of rows in stream order, each with its text in the journal; rows without an answer do not vote.

    ``grids`` holds the grid of every answer text.
    """
    votes = [(row.answers[-1], row.halts[-1]) for row in rows if row.answers[-1] is not None]
    candidates = tally((grids[text], halt) for text, halt in votes)
    return [(candidate, votes[candidate.first_seen][0]) for candidate in candidates]


def ranks(candidates: Sequence[tuple[Candidate, str]], right: Mapping[str, bool]) -> dict[str, int | None]:
    """1-based place of the first right candidate by each way of choosing; ``oracle`` always chooses it."""
    texts = {candidate.first_seen: text for candidate, text in candidates}
    found: dict[str, int | None] = {}
    for select in ("mode", "halt"):
        order = ranked([candidate for candidate, _ in candidates], select)
        places = (index for index, one in enumerate(order, 1) if right[texts[one.first_seen]])
        found[select] = next(places, None)
    return found | {"oracle": 1 if found["mode"] else None}


def shares(rows: Sequence[Entry], grids: Mapping[str, Grid], right: Mapping[str, bool]) -> dict[int, dict[str, float]]:
    """Per size, the share of blocks of so many trajectories whose first answer is right, by each way of choosing.

    Blocks are disjoint and of consecutive restarts, all views together; what is left over at the end is left out.
    """
    restarts = 1 + max(row.restart for row in rows)
    found = {}
    for size in sizes(restarts):
        blocks = [
            ranks(tallied([row for row in rows if row.restart // size == block], grids), right)
            for block in range(restarts // size)
        ]
        found[size] = {select: sum(block[select] == 1 for block in blocks) / len(blocks) for select in SELECTS}
    return found


@dataclass
class Trajectories:
    """Sums of :func:`shares` over puzzles."""

    n: int = 0
    sums: dict[int, Counter[str]] = field(default_factory=dict)

    def add(self, found: Mapping[int, Mapping[str, float]]) -> None:
        """Count one puzzle in."""
        self.n += 1
        for size, by_select in found.items():
            self.sums.setdefault(size, Counter()).update(by_select)

    def entry(self) -> TrajectoryEntry | None:
        """The curve; nothing where every view had one trajectory."""
        if len(self.sums) < 2:
            return None
        curves = {select: tuple(total[select] / self.n for total in self.sums.values()) for select in SELECTS}
        return TrajectoryEntry(n=self.n, trajectories=tuple(self.sums), **curves)
