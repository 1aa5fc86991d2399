"""Scoring by columns gives what scoring puzzle by puzzle gives, to the last bit and byte, and the same refusals."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trm_harness import registry
from trm_harness.augment import dihedral, inverse_dihedral
from trm_harness.errors import BadInput
from trm_harness.inference.plan import Budget, InferencePlan, Work, select
from trm_harness.record.journal import Journal, Row, blocks, scan
from trm_harness.scoring.assess import Assessment, assess
from trm_harness.scoring.columns import assess_journal
from trm_harness.solvers.maze import GOAL, OPEN, PATH, START, WALL, solve
from trm_harness.types import Grid, Puzzle

PROTOCOL = SimpleNamespace(select="mode", attempts=1, voting_views=None, views=1, restarts=1)
STEPS = 5


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Sudoku-Extreme's form, filled with the bundled 9x9 puzzles."""
    folder = tmp_path_factory.mktemp("extreme")
    made = registry.default()
    puzzles = made.task("sudoku-9x9").puzzles("test")
    for name, rating in (("test.csv", 3), ("train.csv", 1)):
        with (folder / name).open("w", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(("source", "question", "answer", "rating"))
            for place, puzzle in enumerate(puzzles):
                lines.writerow(("x", text(puzzle.input), text(puzzle.answer), place % rating))
    return made.task("sudoku-extreme", folder)


def text(grid: Grid) -> str:
    return "".join(map(str, grid.ravel().tolist())).replace("0", ".")


def work_of(task: Any, limit: int | None = None, sample: int | None = None) -> Work:
    plan = InferencePlan(split="test", limit=limit, sample=sample)
    return Work(task, select(task, plan), plan, 1, 4096, Budget(1e9, 1e9, 64))


def answered(puzzle: Puzzle, rng: np.random.Generator, adaptive: bool) -> Row:
    """Some steps of wrong answers, then mostly the right one; now and then no grid, a small one, or no answer."""
    steps = int(rng.integers(1, STEPS + 1)) if adaptive else STEPS
    wrong = puzzle.answer.copy()
    wrong[tuple(rng.integers(0, 9, 2))] = rng.integers(0, 10)
    odd = [None, np.zeros((0, 0), np.uint8), puzzle.answer[:3], puzzle.answer.reshape(3, 27), wrong]
    last = puzzle.answer if rng.random() < 0.8 else odd[rng.integers(len(odd))]
    settled = int(rng.integers(0, steps))
    halts = tuple(rng.normal(size=steps).astype(np.float32).tolist())
    if rng.random() < 0.05:
        halts = (*halts[:-1], float("nan"))
    answers = tuple(wrong if step < settled else last for step in range(steps))
    return Row(puzzle.id, 0, "", 0, answers, halts, steps, 81)


def journal(folder: Path, rows: Sequence[Row]) -> Path:
    with Journal(folder / "journal.jsonl") as open_journal:
        open_journal.append(rows)
    return folder / "journal.jsonl"


def told(work: Work, found: Assessment) -> tuple[Any, ...]:
    """Everything that a record takes from an assessment."""
    spec = work.task.spec
    scores = found.scores(spec, PROTOCOL)
    facts = (found.means(), found.depth(), found.difficulty.entries(), found.trajectories.entry(), found.work)
    entry = found.halting.entry(full=True)
    return scores, found.selections(spec, PROTOCOL, scores[-1]), *facts, entry


@pytest.mark.parametrize(("limit", "adaptive", "shuffled"), [(None, False, False), (333, True, True)])
def test_columns_say_what_puzzles_one_by_one_say(
    task: Any, tmp_path: Path, limit: int | None, adaptive: bool, shuffled: bool
) -> None:
    work, rng = work_of(task, limit), np.random.default_rng(5)
    rows = [answered(puzzle, rng, adaptive) for puzzle in work.selection]
    if shuffled:
        random.Random(1).shuffle(rows)
    path = journal(tmp_path, rows)
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    one = assess(work, scan(path), out=tmp_path / "one")
    many = assess_journal(work, path, out=tmp_path / "many")
    assert type(many.single).__name__ == "Columns"
    assert told(work, many) == told(work, one)
    for name in ("puzzles.csv", "candidates.csv"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_sample_of_columns_is_what_a_sample_of_puzzles_is(task: Any, tmp_path: Path) -> None:
    work, rng = work_of(task, sample=40), np.random.default_rng(6)
    assert (len(work.selection), work.selection.groups) == (40, 40)
    assert list(work.selection.indices) == sorted(set(work.selection.indices)) != list(range(40))
    path = journal(tmp_path, [answered(puzzle, rng, adaptive=False) for puzzle in work.selection])
    assert told(work, assess_journal(work, path)) == told(work, assess(work, scan(path)))


@pytest.mark.parametrize("last", [None, np.zeros((2, 2), np.uint8)])
def test_answers_none_of_which_has_the_puzzles_shape_are_scored(task: Any, tmp_path: Path, last: Grid | None) -> None:
    work = work_of(task, 5)
    rows = [Row(puzzle.id, 0, "", 0, (last,) * 2, (0.5, 1.0), 2, 81) for puzzle in work.selection]
    path = journal(tmp_path, rows)
    many = assess_journal(work, path)
    assert told(work, many) == told(work, assess(work, scan(path)))
    assert many.right_at == [0, 0]


@pytest.mark.parametrize("name", ["maze-8x8", "sudoku-6x6"])
def test_bundled_grids_are_scored_by_columns(name: str, tmp_path: Path) -> None:
    bundled, rng = registry.default().task(name), np.random.default_rng(7)
    work = work_of(bundled, sample=60)
    rows = []
    for puzzle in work.selection:
        wrong = puzzle.answer.copy()
        wrong[tuple(rng.integers(0, len(wrong), 2))] = rng.integers(1, 6)
        answers = (wrong, puzzle.input, (wrong, puzzle.answer)[rng.integers(2)])
        rows.append(Row(puzzle.id, 0, "", 0, answers, tuple(rng.normal(size=3).astype(np.float32).tolist()), 3, 64))
    path = journal(tmp_path, rows)
    many = assess_journal(work, path)
    assert type(many.single).__name__ == "Columns"
    assert told(work, many) == told(work, assess(work, scan(path)))


def test_measures_of_many_mazes_are_those_of_each() -> None:
    """Answers are the label, other shortest paths, longer ones, and some with cells changed at random."""
    rng, puzzles, given = np.random.default_rng(4), [], []
    while len(puzzles) < 120:
        question = np.where(rng.random((6, 6)) < 0.25, WALL, OPEN).astype(np.uint8)
        question.ravel()[rng.permutation(36)[:2]] = START, GOAL
        label, other = solve(question), solve(dihedral(question, 4))
        if label is None or not (label == PATH).any():
            continue
        # The longer way: what the shortest one goes through is closed for it.
        blocked = question.copy()
        blocked[tuple(rng.permutation(np.argwhere(label == PATH))[0])] = WALL
        longer = solve(blocked)
        around = label if longer is None else np.where(longer == PATH, longer, question)
        answer = (label, inverse_dihedral(other, 4), around)[len(puzzles) % 3].copy()
        for cell in rng.integers(0, 6, (max(0, len(puzzles) % 5 - 2), 2)).tolist():
            answer[tuple(cell)] = rng.integers(1, 6)
        puzzles.append(Puzzle("p", "p", question, label))
        given.append(answer)
    task = registry.default().task("maze-8x8")
    grids = (np.stack([getattr(puzzle, field) for puzzle in puzzles]) for field in ("input", "answer"))
    many = task.measures_of(*grids, np.stack(given))
    each = [task.measures(puzzle, grid) for puzzle, grid in zip(puzzles, given, strict=True)]
    assert [dict(zip(many, values, strict=True)) for values in zip(*many.values(), strict=True)] == each
    kinds = {(one["exact"], one["any_optimal"], one["valid"]) for one in each}
    assert kinds == {(1.0, 1.0, 1.0), (0.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)}


@pytest.mark.parametrize("name", ["sudoku-4x4", "sudoku-6x6", "sudoku-9x9"])
def test_measures_of_many_are_those_of_each(name: str) -> None:
    made = registry.default()
    task = made.task(name)
    puzzles, rng = task.puzzles("test")[:60], np.random.default_rng(2)
    given = np.stack([puzzle.answer for puzzle in puzzles])
    given[::3, 3, 3] = rng.integers(0, len(given[0]) + 1, 20)
    # Full, by the rules, and not the answer: two digits changed places throughout.
    swapped = given[1::3]
    given[1::3] = np.where(swapped == 1, 2, np.where(swapped == 2, 1, swapped))
    questions, answers = (np.stack([getattr(puzzle, name) for puzzle in puzzles]) for name in ("input", "answer"))
    questions[1::6] = 0
    many = task.measures_of(questions, answers, given)
    asked = [replace(puzzle, input=question) for puzzle, question in zip(puzzles, questions, strict=True)]
    each = [task.measures(puzzle, grid) for puzzle, grid in zip(asked, given, strict=True)]
    assert list(many) == list(each[0])
    assert [dict(zip(many, values, strict=True)) for values in zip(*many.values(), strict=True)] == each
    assert {bool(one["valid"]) for one in each[1::3]} == {True, False}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-1], "holds 499 of 500 rows: finish the run"),
        (lambda rows: [*rows[:-1], rows[3]], "repeats a row of puzzle test-0000003"),
        (lambda rows: [*rows, rows[7]], "repeats a row of puzzle test-0000007"),
        (lambda rows: [replace(rows[0], view=1), *rows[1:]], "repeats a row of puzzle test-0000000"),
        (lambda rows: [*rows[:9], replace(rows[9], puzzle="stranger")], "puzzle stranger, which this run did not"),
        (lambda rows: [replace(rows[0], answers=rows[0].answers[:2]), *rows[1:]], "lacks steps of puzzle test-0000000"),
    ],
)
def test_another_journal_is_refused(
    task: Any, tmp_path: Path, change: Callable[[list[Row]], list[Row]], said: str
) -> None:
    work, rng = work_of(task), np.random.default_rng(3)
    rows = [answered(puzzle, rng, adaptive=False) for puzzle in work.selection]
    with pytest.raises(BadInput, match=said):
        assess_journal(work, journal(tmp_path, change(rows)))


def test_a_damaged_line_is_named(task: Any, tmp_path: Path) -> None:
    work, rng = work_of(task), np.random.default_rng(4)
    path = journal(tmp_path, [answered(puzzle, rng, adaptive=False) for puzzle in work.selection])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:40], lines[40].replace(b"test", b"text"), *lines[41:]]))
    with pytest.raises(BadInput, match="damaged at line 41: its checksum"):
        assess_journal(work, path)
    path.write_bytes(b"".join(lines)[:-5])
    with pytest.raises(BadInput, match=r"ends in the middle of a row \(line 500\)"):
        assess_journal(work, path)


def test_blocks_hold_what_scanning_gives(tmp_path: Path) -> None:
    odd = [
        Row("\ud800 half", 0, "", 0, (None, None), (0.5, float("inf")), 2, 3),
        Row('quoted "and" ü', 0, "", 0, (np.full((2, 2), 35, np.uint8),), (-0.0,), 1, 3),
    ]
    rng = np.random.default_rng(0)
    plain = [
        Row(f"p{n}", 0, "", 0, (rng.integers(0, 9, (3, 3), np.uint8),) * 3, (1.5, 2.0, n), 3, 9) for n in range(50)
    ]
    path = journal(tmp_path, [*plain, *odd])
    found, place = list(blocks(path)), 0
    entries = list(scan(path))
    for block in found:
        ends = np.cumsum(block.steps)
        for row, end in enumerate(ends.tolist()):
            entry = entries[place]
            answers = list(block.answers[row])
            for step, kept in enumerate(answers):
                answers[step] = answers[step - 1] if kept == "=" else kept
            halts = block.halts[end - entry.steps : end].astype(float).tolist()
            assert (block.puzzles[row], tuple(answers), tuple(halts)) == (entry.puzzle, entry.answers, entry.halts)
            place += 1
    assert place == len(entries) == 52
