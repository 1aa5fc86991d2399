"""From the journal to scores: votes, ranks, measures, curves, halting. No model, one pass, puzzle by puzzle."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trm_harness.contracts import Task
from trm_harness.errors import BadInput
from trm_harness.files.write import replacing
from trm_harness.inference.plan import SELECTS, Work
from trm_harness.record import CANDIDATES_FILE, PUZZLES_FILE, DepthEntry, MeasureEntry, ProtocolEntry, ScoreEntry
from trm_harness.record.journal import Entry, text_grid
from trm_harness.scoring.difficulty import Difficulty
from trm_harness.scoring.halting import Halting
from trm_harness.scoring.rules import Columns, Outcome, score
from trm_harness.scoring.trajectories import Trajectories, ranks, shares, tallied
from trm_harness.scoring.vote import ranked
from trm_harness.specs import TaskSpec
from trm_harness.types import Candidate, Puzzle

PUZZLE_COLUMNS = ("puzzle", "group", "attempted", "rank", "candidates", "votes", "single", "steps", "right_at", "halts")
CANDIDATE_COLUMNS = ("puzzle", "rank", "votes", "halt", "first_seen", "correct", "answer", "peak")


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of one puzzle; what concerns correctness is empty where the answer is hidden.

    ``candidates`` are ranked as the run chooses; ``texts`` and ``correct`` go with them; ``ranks`` are the places of
    the right one by each way of choosing. ``right_at`` says for each step of the ``single`` pass (the first trajectory
    of the identity view) whether its answer was right; ``measures`` are those of its final answer. ``fewer`` is what
    fewer trajectories would have answered (:func:`~trm_harness.scoring.trajectories.shares`).
    """

    puzzle: Puzzle
    candidates: list[Candidate]
    texts: list[str]
    correct: list[bool]
    single: Entry
    right_at: list[bool]
    measures: dict[str, float]
    ranks: Mapping[str, int | None] = field(default_factory=dict)
    fewer: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

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
    """Sums over the verdicts, from which a record's scores are made. ``chosen`` has outcomes by way of choosing."""

    chosen: Mapping[str, list[Outcome] | Columns] = field(default_factory=lambda: {select: [] for select in SELECTS})
    single: list[Outcome] | Columns = field(default_factory=list)
    measures: Counter[str] = field(default_factory=Counter)
    right_at: list[int] = field(default_factory=list)
    halting: Halting = field(default_factory=Halting)
    trajectories: Trajectories = field(default_factory=Trajectories)
    difficulty: Difficulty = field(default_factory=Difficulty)
    work: Counter[int] = field(default_factory=Counter)
    """Supervision steps run at each length, over all views."""

    def add(self, verdict: Verdict) -> None:
        """Count one puzzle in; one with a hidden answer counts for halting alone."""
        puzzle, right = verdict.puzzle, verdict.right_at
        if not verdict.hidden:
            self._deepen(right)
            answered = verdict.single.answers[-1] is not None
            self.single.append(Outcome(puzzle.id, puzzle.group, 1 if right[-1] else None, answered))
            for select, outcomes in self.chosen.items():
                outcomes.append(Outcome(puzzle.id, puzzle.group, verdict.ranks[select], bool(verdict.candidates)))
            self.measures.update(verdict.measures)
            self.trajectories.add(verdict.fewer)
            self.difficulty.add(puzzle, right[-1])
        self.halting.add(verdict.single.halts, right)

    def _deepen(self, right: list[bool]) -> None:
        """Add a puzzle to the depth curve; whoever halted early keeps the last answer."""
        if len(right) > len(self.right_at):
            # More steps than any puzzle before: the earlier ones stand where they stopped.
            self.right_at += [sum(self.halting.exact)] * (len(right) - len(self.right_at))
        for step in range(len(self.right_at)):
            self.right_at[step] += right[min(step, len(right) - 1)]

    def scores(self, spec: TaskSpec, protocol: ProtocolEntry) -> tuple[ScoreEntry, ...]:
        """Every score: single pass and voted, each k up to the attempts, each of the task's rules."""
        if not len(self.single):
            return ()
        select = choosing(protocol.select)
        singles = [
            ScoreEntry.of(score(self.single, rule, 1, score_name(spec, 1)), "single", 1, 1) for rule in spec.rules
        ]
        ks = range(1, protocol.attempts + 1)
        return (*singles, *(self._voted(spec, protocol, rule, k, select) for k in ks for rule in spec.rules))

    def selections(
        self, spec: TaskSpec, protocol: ProtocolEntry, headline: ScoreEntry | None
    ) -> tuple[ScoreEntry, ...]:
        """The headline by each way of choosing; nothing where there is one answer to choose from."""
        if headline is None or headline.views * headline.trajectories == 1:
            return ()
        return tuple(self._voted(spec, protocol, headline.rule, headline.k, select) for select in SELECTS)

    def _voted(self, spec: TaskSpec, protocol: ProtocolEntry, rule: str, k: int, select: str) -> ScoreEntry:
        found = score(self.chosen[select], rule, k, score_name(spec, k))
        views = protocol.voting_views or protocol.views
        return ScoreEntry.of(found, "voted", k, views, protocol.restarts, select)

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


def score_name(spec: TaskSpec, k: int) -> str:
    """``exact`` where the task ranks by its one answer, else ``pass@k``."""
    return "exact" if k == 1 and spec.headline == "exact" else f"pass@{k}"


def choosing(select: str) -> str:
    """The way of choosing that ranks candidates and headlines: an oracle knows the answer and never does."""
    return "mode" if select == "oracle" else select


def headline(spec: TaskSpec, scores: Iterable[ScoreEntry]) -> ScoreEntry | None:
    """The voted score that the task ranks by; with fewer attempts than it asks for, the largest k there is."""
    ranked = [entry for entry in scores if entry.pooling == "voted" and entry.rule == spec.rules[0]]
    return next((entry for entry in ranked if entry.name == spec.headline), ranked[-1] if ranked else None)


def assess(
    work: Work,
    entries: Iterable[Entry],
    voting_views: int | None = None,
    out: Path | None = None,
    select: str | None = None,
) -> Assessment:
    """Judge a whole journal; with ``out``, also write ``puzzles.csv`` and ``candidates.csv`` there.

    ``voting_views`` lets only the first so many views vote, ``select`` chooses otherwise than the run did.
    ``BadInput`` for a journal that lacks rows, repeats one, or holds rows of other puzzles.
    """
    total, names = Assessment(), _measure_names(work)
    with tables(work, out) as write:
        for index, rows in by_puzzle(work, entries):
            for row in rows:
                total.work[row.length] += row.steps
            verdict = judge(work.task, work.selection[index], rows, select or work.plan.select, voting_views)
            total.add(verdict)
            if out is not None:
                write([_line_of(verdict, names)], _candidate_lines(verdict))
    return total


def by_puzzle(
    work: Work, entries: Iterable[Entry], only: Collection[str] | None = None
) -> Iterator[tuple[int, list[Entry]]]:
    """``(place, rows)`` of every puzzle in the order of the selection, rows in the order of views and restarts.

    A puzzle's rows are let go once they are whole and its turn has come, so memory holds the unfinished ones only.
    ``entries`` may be those of the puzzles ``only``, which are the ones that come then.
    """
    places = {puzzle.id: index for index, puzzle in enumerate(work.selection) if only is None or puzzle.id in only}
    turns = [*places.values()]
    waiting: dict[int, list[Entry]] = {}
    count, turn = 0, 0
    for entry in entries:
        index = places.get(entry.puzzle)
        if index is None:
            raise BadInput(f"the journal holds puzzle {entry.puzzle}, which this run did not select")
        waiting.setdefault(index, []).append(entry)
        count += 1
        while turn < len(turns) and len(waiting.get(turns[turn], ())) == _rows_of(work, turns[turn]):
            yield turns[turn], _in_order(work, turns[turn], waiting.pop(turns[turn]))
            turn += 1
    total = work.total if only is None else sum(_rows_of(work, index) for index in turns)
    if waiting or count != total:
        raise BadInput(f"the journal holds {count} of {total} rows: finish the run with `eval --resume`")


def judge(
    task: Task, puzzle: Puzzle, rows: Sequence[Entry], select: str = "mode", voting_views: int | None = None
) -> Verdict:
    """Candidates and correctness of one puzzle, from its rows in the order of views and restarts."""
    voters = rows if voting_views is None else [row for row in rows if row.view < voting_views]
    single = rows[0]
    known = {*(row.answers[-1] for row in voters), *single.answers}
    grids = {text: None if text is None else text_grid(text) for text in known}
    found = tallied(voters, grids)
    spelled = {candidate.first_seen: text for candidate, text in found}
    candidates = ranked([candidate for candidate, _ in found], choosing(select))
    texts = [spelled[candidate.first_seen] for candidate in candidates]
    if puzzle.answer is None:
        return Verdict(puzzle, candidates, texts, [], single, [], {})
    measures = {text: task.measures(puzzle, grid) for text, grid in grids.items()}
    right = {text: measure["exact"] == 1 for text, measure in measures.items()}
    return Verdict(
        puzzle=puzzle,
        candidates=candidates,
        texts=texts,
        correct=[right[text] for text in texts],
        single=single,
        right_at=[right[text] for text in single.answers],
        measures=measures[single.answers[-1]],
        ranks=ranks(found, right),
        fewer=shares(voters, grids, right) if voters[-1].restart else {},
    )


Lines = Callable[[Iterable[Sequence[object]], Iterable[Sequence[object]]], None]
"""Adds lines to ``puzzles.csv`` and to ``candidates.csv``."""


@contextmanager
def tables(work: Work, out: Path | None) -> Iterator[Lines]:
    """What adds lines to both CSV files of ``out``, which take their names only once all are written."""
    if out is None:
        yield lambda puzzles, candidates: None
        return
    with ExitStack() as files:
        add_puzzles = files.enter_context(_table(out / PUZZLES_FILE, (*PUZZLE_COLUMNS, *_measure_names(work))))
        add_candidates = files.enter_context(_table(out / CANDIDATES_FILE, CANDIDATE_COLUMNS))

        def write(puzzles: Iterable[Sequence[object]], candidates: Iterable[Sequence[object]]) -> None:
            add_puzzles(puzzles)
            add_candidates(candidates)

        yield write


@contextmanager
def _table(file: Path, columns: Sequence[str]) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """A CSV file that appears under its name when the block ends well."""
    with replacing(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        yield writer.writerows


def puzzle_line(
    name: str, group: str, counts: tuple[object, ...], right: Sequence[bool], halts: Sequence[float]
) -> list[object]:
    """A row of ``puzzles.csv`` up to the measures. ``counts``: attempted, rank, candidates, votes for the first."""
    single = int(right[-1]) if right else ""
    steps = "".join(str(int(step)) for step in right)
    return [name, group, *counts, single, len(halts), steps, " ".join(f"{halt:.9g}" for halt in halts)]


def candidate_line(
    name: str, rank: int, votes: tuple[int, float, int], correct: object, text: str | None, peak: float
) -> tuple[object, ...]:
    """A row of ``candidates.csv``. ``votes``: their number, their mean halting score, the first of them."""
    count, halt, first = votes
    return name, rank, count, f"{halt:.9g}", first, correct, text, f"{peak:.9g}"


def _line_of(verdict: Verdict, names: Sequence[str]) -> list[object]:
    """The row of ``puzzles.csv``, with the measures of these names."""
    puzzle, found = verdict.puzzle, verdict.candidates
    counts = (int(bool(found)), verdict.rank or "", len(found), found[0].votes if found else 0)
    line = puzzle_line(puzzle.id, puzzle.group, counts, verdict.right_at, verdict.single.halts)
    return line + [verdict.measures.get(name, "") for name in names]


def _candidate_lines(verdict: Verdict) -> Iterator[tuple[object, ...]]:
    """Rows of ``candidates.csv``."""
    correct = [int(right) for right in verdict.correct] or [""] * len(verdict.texts)
    for rank, (one, text, right) in enumerate(zip(verdict.candidates, verdict.texts, correct, strict=True), 1):
        yield candidate_line(verdict.puzzle.id, rank, (one.votes, one.halt, one.first_seen), right, text, one.peak)


def _rows_of(work: Work, place: int) -> int:
    """Rows of the puzzle at ``place``: one for each view and restart."""
    return work.views_of(place) * work.plan.restarts


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
