"""From the journal to scores: votes, ranks, measures, depth curve, halting. No model, one pass, puzzle by puzzle."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import Task
from trm_harness.errors import BadInput
from trm_harness.evaluate.plan import Work
from trm_harness.journal import Entry, text_grid
from trm_harness.record import (
    CANDIDATES_FILE,
    PUZZLES_FILE,
    CalibrationBin,
    DepthEntry,
    HaltingEntry,
    MeasureEntry,
    ScoreEntry,
)
from trm_harness.scoring import Outcome, score
from trm_harness.specs import TaskSpec
from trm_harness.types import Candidate, Grid, Puzzle
from trm_harness.vote import sigmoid, tally

BINS = 10
PUZZLE_COLUMNS = ("puzzle", "group", "attempted", "rank", "candidates", "votes", "single", "steps", "right_at", "halts")
CANDIDATE_COLUMNS = ("puzzle", "rank", "votes", "halt", "first_seen", "correct", "answer")


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of one puzzle; what concerns correctness is empty where the answer is hidden.

    ``texts`` and ``correct`` go with ``candidates``; ``right_at`` says for each step of the ``single`` pass whether
    its answer was right; ``measures`` are those of its final answer.
    """

    puzzle: Puzzle
    candidates: list[Candidate]
    texts: list[str]
    correct: list[bool]
    single: Entry
    right_at: list[bool]
    measures: dict[str, float]

    @property
    def hidden(self) -> bool:
        """Whether nobody here knows the answer."""
        return self.puzzle.answer is None

    @property
    def rank(self) -> int | None:
        """1-based place of the first right candidate."""
        return self.correct.index(True) + 1 if True in self.correct else None


@dataclass
class Assessment:
    """Sums over the verdicts, from which a record's scores are made."""

    voted: list[Outcome] = field(default_factory=list)
    single: list[Outcome] = field(default_factory=list)
    measures: Counter[str] = field(default_factory=Counter)
    right_at: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    halts: list[float] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    work: Counter[int] = field(default_factory=Counter)
    """Supervision steps run at each length, over all views."""

    def add(self, verdict: Verdict) -> None:
        """Count one puzzle in; one with a hidden answer counts for halting alone."""
        puzzle, right = verdict.puzzle, verdict.right_at
        self.steps.append(verdict.single.steps)
        self.halts.append(verdict.single.halts[-1])
        if verdict.hidden:
            return
        self._deepen(right)
        self.exact.append(right[-1])
        answered = verdict.single.answers[-1] is not None
        self.single.append(Outcome(puzzle.id, puzzle.group, 1 if right[-1] else None, answered))
        self.voted.append(Outcome(puzzle.id, puzzle.group, verdict.rank, bool(verdict.candidates)))
        self.measures.update(verdict.measures)

    def _deepen(self, right: list[bool]) -> None:
        """Add a puzzle to the depth curve; whoever halted early keeps the last answer."""
        if len(right) > len(self.right_at):
            # More steps than any puzzle before: the earlier ones stand where they stopped.
            self.right_at += [sum(self.exact)] * (len(right) - len(self.right_at))
        for step in range(len(self.right_at)):
            self.right_at[step] += right[min(step, len(right) - 1)]

    def scores(self, spec: TaskSpec, attempts: int, views: int) -> tuple[ScoreEntry, ...]:
        """Every score: single pass and voted, each k up to ``attempts``, each of the task's rules."""
        if not self.voted:
            return ()
        asked = [("single", self.single, 1, 1)] + [("voted", self.voted, k, views) for k in range(1, attempts + 1)]
        return tuple(
            ScoreEntry.of(score(outcomes, rule, k, score_name(spec, k)), pooling, k, seen)
            for pooling, outcomes, k, seen in asked
            for rule in spec.rules
        )

    def means(self) -> tuple[MeasureEntry, ...]:
        """Means of the task's measures over the single-pass answers."""
        n = len(self.single)
        return tuple(MeasureEntry(name=name, value=float(total / n), n=n) for name, total in self.measures.items())

    def depth(self) -> DepthEntry | None:
        """The depth curve, unless every answer is hidden."""
        n = len(self.single)
        if not n:
            return None
        return DepthEntry(n=n, correct=tuple(self.right_at), accuracy=tuple(right / n for right in self.right_at))

    def halting(self) -> HaltingEntry:
        """Halting statistics; calibration only where every answer is known."""
        logits, n = np.array(self.halts), len(self.steps)
        bins = _calibration(sigmoid(logits), np.array(self.exact)) if len(self.exact) == n else ()
        gap = sum(entry.n * abs(entry.confidence - entry.accuracy) for entry in bins) / n if bins else None
        return HaltingEntry(
            n=n,
            mean_steps=float(np.mean(self.steps)),
            share_halted=float(np.mean(logits > 0)),
            calibration=bins,
            calibration_error=gap,
        )


def score_name(spec: TaskSpec, k: int) -> str:
    """``exact`` where the task ranks by its one answer, else ``pass@k``."""
    return "exact" if k == 1 and spec.headline == "exact" else f"pass@{k}"


def headline(spec: TaskSpec, scores: Iterable[ScoreEntry]) -> ScoreEntry | None:
    """The voted score that the task ranks by; with fewer attempts than it asks for, the largest k there is."""
    ranked = [entry for entry in scores if entry.pooling == "voted" and entry.rule == spec.rules[0]]
    return next((entry for entry in ranked if entry.name == spec.headline), ranked[-1] if ranked else None)


def assess(
    work: Work, entries: Iterable[Entry], voting_views: int | None = None, out: Path | None = None
) -> Assessment:
    """Judge a whole journal; with ``out``, also write ``puzzles.csv`` and ``candidates.csv`` there.

    ``voting_views`` lets only the first so many views vote. ``BadInput`` for a journal that lacks rows, repeats one,
    or holds rows of other puzzles.
    """
    total = Assessment()
    with tables(work, out) as write:
        for place, rows in by_puzzle(work, entries):
            for row in rows:
                total.work[row.length] += row.steps
            verdict = judge(work.task, work.selection[place], rows, voting_views)
            total.add(verdict)
            write(verdict)
    return total


def by_puzzle(work: Work, entries: Iterable[Entry]) -> Iterator[tuple[int, list[Entry]]]:
    """``(place, rows)`` of every puzzle in the order of the selection, rows in the order of views and restarts.

    A puzzle's rows are let go once they are whole and its turn has come, so memory holds the unfinished ones only.
    """
    places = {puzzle.id: place for place, puzzle in enumerate(work.selection)}
    waiting: dict[int, list[Entry]] = {}
    count, turn = 0, 0
    for entry in entries:
        place = places.get(entry.puzzle)
        if place is None:
            raise BadInput(f"the journal holds puzzle {entry.puzzle}, which this run did not select")
        waiting.setdefault(place, []).append(entry)
        count += 1
        while turn in waiting and len(waiting[turn]) == work.views_of(turn) * work.plan.restarts:
            yield turn, _in_order(work, turn, waiting.pop(turn))
            turn += 1
    if waiting or count != work.total:
        raise BadInput(f"the journal holds {count} of {work.total} rows: finish the run with `eval --resume`")


def judge(task: Task, puzzle: Puzzle, rows: Sequence[Entry], voting_views: int | None = None) -> Verdict:
    """Votes and correctness of one puzzle, from its rows in the order of views."""
    voters = rows if voting_views is None else [row for row in rows if row.view < voting_views]
    votes = [(row.answers[-1], row.halts[-1]) for row in voters if row.answers[-1] is not None]
    grids: dict[str | None, Grid | None] = {text: text_grid(text) for text in {text for text, _ in votes}}
    candidates = tally((grids[text], halt) for text, halt in votes)
    texts, single = _texts(candidates, votes), rows[0]
    if puzzle.answer is None:
        return Verdict(puzzle, candidates, texts, [], single, [], {})
    grids |= {text: None if text is None else text_grid(text) for text in {*single.answers} - {*grids}}
    measures = {text: task.measures(puzzle, grid) for text, grid in grids.items()}
    correct = [measures[text]["exact"] == 1 for text in texts]
    right_at = [measures[text]["exact"] == 1 for text in single.answers]
    return Verdict(puzzle, candidates, texts, correct, single, right_at, measures[single.answers[-1]])


@contextmanager
def tables(work: Work, out: Path | None) -> Iterator[Callable[[Verdict], None]]:
    """A function that adds a verdict to both CSV files, which take their names only once all are written."""
    if out is None:
        yield lambda verdict: None
        return
    names = _measure_names(work)
    with ExitStack() as files:
        puzzles = files.enter_context(_table(out / PUZZLES_FILE, (*PUZZLE_COLUMNS, *names)))
        candidates = files.enter_context(_table(out / CANDIDATES_FILE, CANDIDATE_COLUMNS))

        def write(verdict: Verdict) -> None:
            puzzles([_puzzle_line(verdict) + [verdict.measures.get(name, "") for name in names]])
            candidates(_candidate_lines(verdict))

        yield write


@contextmanager
def _table(file: Path, columns: Sequence[str]) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """A CSV file that appears under its name when the block ends well."""
    # The run is locked, so one name does, and what a kill leaves behind is overwritten by the resume.
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            yield writer.writerows
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _puzzle_line(verdict: Verdict) -> list[object]:
    """A row of ``puzzles.csv`` up to the measures."""
    single = verdict.single
    return [
        verdict.puzzle.id,
        verdict.puzzle.group,
        int(bool(verdict.candidates)),
        verdict.rank or "",
        len(verdict.candidates),
        verdict.candidates[0].votes if verdict.candidates else 0,
        "" if verdict.hidden else int(verdict.right_at[-1]),
        single.steps,
        "".join(str(int(right)) for right in verdict.right_at),
        " ".join(f"{halt:.9g}" for halt in single.halts),
    ]


def _candidate_lines(verdict: Verdict) -> Iterator[tuple[object, ...]]:
    """Rows of ``candidates.csv``."""
    correct = [int(right) for right in verdict.correct] or [""] * len(verdict.texts)
    for rank, (candidate, text, right) in enumerate(zip(verdict.candidates, verdict.texts, correct, strict=True), 1):
        halt = f"{candidate.halt:.9g}"
        yield verdict.puzzle.id, rank, candidate.votes, halt, candidate.first_seen, right, text


def _texts(candidates: list[Candidate], votes: list[tuple[str, float]]) -> list[str]:
    """The candidates as the journal spells them."""
    return [votes[candidate.first_seen][0] for candidate in candidates]


def _in_order(work: Work, place: int, rows: list[Entry]) -> list[Entry]:
    """Rows by view and restart; ``BadInput`` unless each comes exactly once."""
    rows.sort(key=lambda row: (row.view, row.restart))
    restarts = work.plan.restarts
    wanted = [(view, restart) for view in range(work.views_of(place)) for restart in range(restarts)]
    if [(row.view, row.restart) for row in rows] != wanted:
        raise BadInput(f"the journal repeats a row of puzzle {rows[0].puzzle}")
    return rows


def _measure_names(work: Work) -> list[str]:
    """Names of the task's measures; none if every answer is hidden."""
    known = next((puzzle for puzzle in work.selection if puzzle.answer is not None), None)
    return list(work.task.measures(known, None)) if known else []


def _calibration(confidence: NDArray[np.float64], exact: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    """Confidence against accuracy in equal bins; empty ones are left out."""
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        CalibrationBin(
            low=place / BINS,
            high=(place + 1) / BINS,
            n=int((index == place).sum()),
            confidence=float(confidence[index == place].mean()),
            accuracy=float(exact[index == place].mean()),
        )
        for place in np.unique(index).tolist()
    )
