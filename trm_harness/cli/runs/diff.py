"""``trm-harness runs diff``: two runs on the same puzzles, in counts and in grids."""

from __future__ import annotations

import csv
import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from trm_harness.cli import report
from trm_harness.cli.options import echo_json, flow, grid_lines, printable
from trm_harness.errors import BadInput, HarnessError

if TYPE_CHECKING:
    from trm_harness.contracts import Task
    from trm_harness.record import RunRecord
    from trm_harness.scoring.compare import Comparison, Counts
    from trm_harness.scoring.rules import Outcome
    from trm_harness.types import Grid, Puzzle

IDS_SHOWN = 60
"""Ids listed of each kind of change; ``--json`` has them all."""

Loader = Callable[[Path], "Task"]


class Shown(NamedTuple):
    """An answer of a changed puzzle: the right one if it counted, else the first; ``attempt`` is its rank."""

    grid: Grid | None
    right: bool
    attempt: int


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two runs: its folder, its record and what became of its puzzles."""

    folder: Path
    record: RunRecord
    results: list[Outcome]

    @property
    def name(self) -> str:
        """The run and what answered in it."""
        return f"{self.record.id}: {report.model_name(self.record.model_dump(mode='json'))}"


@dataclass(frozen=True, eq=False)
class Diff:
    """Everything that the text and the JSON of a comparison are made of; ``step`` as in ``--at``."""

    a: Side
    b: Side
    found: Comparison
    step: int | None

    @classmethod
    def make(cls, a: Path, b: Path, step: int | None) -> Diff:
        """Read, check and pair two runs. ``BadInput`` if they cannot be paired."""
        from trm_harness.record import read
        from trm_harness.scoring import compare

        records = read(a), read(b)
        compare.check_pair(*records)
        depth = max(record.protocol.steps for record in records)
        if step is not None and step > depth:
            raise BadInput(f"--at {step} is beyond the last step of both runs ({depth})")
        sides = [_side(folder, record, step) for folder, record in zip((a, b), records, strict=True)]
        k = compare.shared_attempts(*records) if step is None else 1
        rule = records[0].headline.rule
        return cls(*sides, compare.compare(sides[0].results, sides[1].results, rule, k), step)

    @property
    def protocol(self) -> dict[str, tuple[object, object]]:
        """Protocol fields that differ."""
        from trm_harness.scoring.compare import protocol_differences

        return protocol_differences(self.a.record, self.b.record)

    @property
    def score_name(self) -> str:
        """What was compared: the headline's name, or the answer after a step."""
        if self.step is not None:
            return f"single pass after step {self.step}"
        names = {side.record.headline.k: side.record.headline.name for side in (self.a, self.b)}
        return names[self.found.k]


def run_diff(a: Path, b: Path, show: int, step: int | None, as_json: bool, load: Loader) -> None:
    """Compare the runs in ``a`` and ``b`` and print what came out; ``load`` gives a run's task, for the grids."""
    diff = Diff.make(a, b, step)
    if as_json:
        shown = [_shown_json(diff, puzzle, *answers) for puzzle, *answers in _changed(diff, show, load)]
        echo_json(_json(diff) | {"shown": shown})
        return
    click.echo("\n".join(_lines(diff)))
    columns = shutil.get_terminal_size((120, 24)).columns
    for puzzle, *answers in _changed(diff, show, load):
        kind = "newly solved" if answers[1].right else "newly broken"
        click.echo("\n".join(["", f"{printable(puzzle.id)}: {kind}", *flow(_blocks(puzzle, *answers), columns)]))


def _side(folder: Path, record: RunRecord, step: int | None) -> Side:
    """A run with its table, which must say what its record says."""
    from trm_harness.record import PUZZLES_FILE
    from trm_harness.scoring.compare import check_table, outcomes

    file = folder / PUZZLES_FILE
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None
    results = outcomes(lines)
    check_table(record, results)
    return Side(folder, record, results if step is None else outcomes(lines, step))


def _lines(diff: Diff) -> Iterator[str]:
    """The comparison in words."""
    found, task = diff.found, diff.a.record.task
    lone = [f"{n:,} only in {name}" for name, n in (("A", found.unpaired_a), ("B", found.unpaired_b)) if n]
    left_out = f" ({' and '.join(lone)} left out)" if lone else ""
    yield f"A         {diff.a.name}"
    yield f"B         {diff.b.name}"
    where = f"{task.id} (version {task.version}), split {task.split}"
    yield f"task      {where}: {found.puzzles.n:,} puzzles in both{left_out}"
    fields = "; ".join(f"{name} {was} -> {now}" for name, (was, now) in diff.protocol.items())
    yield f"protocol  {f'differs (A -> B): {fields}' if fields else 'the same'}"
    yield ""
    yield from _scores(diff)
    yield ""
    yield from _counts("puzzles", found.puzzles)
    if found.groups:
        yield from _counts("groups", found.groups)
    yield from _ids("newly solved", found.solved)
    yield from _ids("newly broken", found.broken)


def _scores(diff: Diff) -> Iterator[str]:
    """The recorded headlines, and the scores of what was paired where that is something else."""
    found = diff.found
    heads = [side.record.headline for side in (diff.a, diff.b)]
    whole = not (found.unpaired_a or found.unpaired_b) and diff.step is None and heads[0].k == heads[1].k
    if not whole:
        names = " and ".join(dict.fromkeys(head.name for head in heads))
        yield f"recorded  {names}: A {_percent(heads[0].value)}, B {_percent(heads[1].value)}"
    pairs = "" if whole else ", paired puzzles"
    values = f"A {_percent(found.score_a)}, B {_percent(found.score_b)}, B - A = {100 * found.difference:+.2f} points"
    yield f"score     {diff.score_name} ({found.rule}{pairs}): {values}"


def _counts(unit: str, counts: Counts) -> Iterator[str]:
    """One 2 x 2 table in a line, with the test of it."""
    parts = (
        f"both right {counts.both:,}, only A {counts.only_a:,}, only B {counts.only_b:,}, neither {counts.neither:,}"
    )
    yield f"{unit.ljust(9)} {parts}; exact McNemar p = {counts.p:.3g}"


def _ids(kind: str, ids: tuple[str, ...]) -> Iterator[str]:
    """The ids of one kind of change, wrapped."""
    if not ids:
        yield f"{kind}: none"
        return
    more = f" and {len(ids) - IDS_SHOWN:,} more (--json lists all)" if len(ids) > IDS_SHOWN else ""
    width = min(120, shutil.get_terminal_size((120, 24)).columns)
    text = f"{kind} ({len(ids):,}): {' '.join(ids[:IDS_SHOWN])}{more}"
    yield textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _changed(diff: Diff, show: int, load: Loader) -> Iterator[tuple[Puzzle, Shown, Shown]]:
    """The first ``show`` changed puzzles with an answer of either run; without the task's data a warning instead."""
    wanted = diff.found.changed[:show]
    if not wanted:
        return
    try:
        puzzles = _puzzles(diff.a, wanted, load)
        pick = _from_candidates if diff.step is None else _from_journal
        ours, theirs = pick(diff, diff.a, wanted), pick(diff, diff.b, wanted)
    except HarnessError as error:
        click.echo(f"warning: no grids are shown: {error}", err=True)
        return
    for name in wanted:
        yield puzzles[name], ours[name], theirs[name]


def _puzzles(side: Side, wanted: tuple[str, ...], load: Loader) -> dict[str, Puzzle]:
    """The puzzles of the names, from the task that the run was made with."""
    from trm_harness.inference.plan_file import StoredPlan

    selection = StoredPlan.load(side.folder).check_task(load(side.folder))
    return {puzzle.id: puzzle for puzzle in selection if puzzle.id in set(wanted)}


def _from_candidates(diff: Diff, side: Side, wanted: tuple[str, ...]) -> dict[str, Shown]:
    """The answer to show of each puzzle, from ``candidates.csv``."""
    from trm_harness.record import CANDIDATES_FILE
    from trm_harness.record.journal import text_grid

    shown = dict.fromkeys(wanted, Shown(None, False, 0))
    file = side.folder / CANDIDATES_FILE
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                name, rank, right = row["puzzle"], int(row["rank"]), row["correct"] == "1"
                if name in shown and (rank == 1 or (right and rank <= diff.found.k)):
                    shown[name] = Shown(text_grid(row["answer"]), right, rank)
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None
    return shown


def _from_journal(diff: Diff, side: Side, wanted: tuple[str, ...]) -> dict[str, Shown]:
    """The single-pass answer of each puzzle after the step compared; an early halt keeps its last one."""
    from trm_harness.record.replay import frames, single_passes

    right = {outcome.id for outcome in side.results if outcome.rank == 1}
    rows = (entry for entry in single_passes(side.folder) if entry.puzzle in set(wanted))
    kept = {entry.puzzle: [frame for frame in frames(entry) if frame.step <= diff.step] for entry in rows}
    return {name: Shown(kept[name][-1].answer, name in right, 1) for name in wanted}


def _blocks(puzzle: Puzzle, a: Shown, b: Shown) -> Iterator[list[str]]:
    """Input, answer and both runs' answers as blocks of lines, cells that are wrong marked."""
    from trm_harness.record.replay import marked, unlike

    for name, grid in (("input", puzzle.input), ("answer", puzzle.answer)):
        yield [name, *grid_lines(grid, marked(grid.shape))]
    for name, shown in (("A", a), ("B", b)):
        if shown.grid is None:
            yield [f"{name}: no answer"]
            continue
        wrong = unlike(shown.grid, puzzle.answer) & (not shown.right)
        attempt = f", attempt {shown.attempt}" if shown.attempt > 1 else ""
        word = "right" if shown.right else _wrong_words(shown.grid, puzzle.answer, int(wrong.sum()))
        yield [f"{name}: {word}{attempt}", *grid_lines(shown.grid, marked(shown.grid.shape, wrong))]


def _wrong_words(grid: Grid, answer: Grid, cells: int) -> str:
    """How an answer is wrong: its size, or so many cells."""
    if grid.shape != answer.shape:
        return f"wrong size {grid.shape[0]}x{grid.shape[1]}"
    return f"{cells} wrong (!)"


def _json(diff: Diff) -> dict[str, Any]:
    """The comparison for programs."""
    found = diff.found
    return {
        "a": _side_json(diff.a),
        "b": _side_json(diff.b),
        "task": diff.a.record.task.id,
        "split": diff.a.record.task.split,
        "protocol": {name: {"a": was, "b": now} for name, (was, now) in diff.protocol.items()},
        "compared": {"name": diff.score_name, "rule": found.rule, "k": found.k, "step": diff.step},
        "unpaired": {"a": found.unpaired_a, "b": found.unpaired_b},
        "score": {"a": found.score_a, "b": found.score_b, "difference": found.difference},
        "puzzles": _counts_json(found.puzzles),
        "groups": _counts_json(found.groups) if found.groups else None,
        "newly_solved": found.solved,
        "newly_broken": found.broken,
    }


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "run": side.record.id,
        "model": side.record.model.card or side.record.model.id,
        "headline": side.record.headline,
    }


def _counts_json(counts: Counts) -> dict[str, Any]:
    return {"n": counts.n, **asdict(counts), "p": counts.p}


def _shown_json(diff: Diff, puzzle: Puzzle, a: Shown, b: Shown) -> dict[str, Any]:
    sides = {name: shown._asdict() for name, shown in (("a", a), ("b", b))}
    return {"puzzle": puzzle.id, "group": puzzle.group, "input": puzzle.input, "answer": puzzle.answer, **sides}


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
