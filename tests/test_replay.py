"""A puzzle's frames out of journals written by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from trm_harness.errors import UnknownName
from trm_harness.record.journal import Entry, Journal, Row, decode, encode
from trm_harness.record.replay import Frame, Reel, changes, find, frames, liveliest, marked, unlike
from trm_harness.types import Grid


def grid(text: str) -> Grid:
    return np.array([[int(cell, 36) for cell in row] for row in text.split("/")], dtype=np.uint8)


def row(puzzle: str, *answers: str | None, view: int = 0, restart: int = 0, steps: int | None = None) -> Row:
    grids = tuple(None if text is None else grid(text) for text in answers)
    steps = steps or len(answers)
    return Row(puzzle, view, "", restart, grids, tuple(float(step) for step in range(steps)), steps, 4)


def entry(*answers: str | None, steps: int | None = None) -> Entry:
    return decode(encode(row("p", *answers, steps=steps)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        row("still", "12/34", "12/34", "12/34"),
        row("still", "00/00", view=1, steps=3),
        row("once", "12/34", "12/34", "12/33"),
        row("lively", "1", restart=1, steps=3),
        row("lively", "12/34", "12/35", "12/34"),
        row("late", "1", "2", "1"),
    ]
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(rows)
    return tmp_path


def test_each_step_is_a_frame_with_what_changed() -> None:
    found = frames(entry("12/34", "12/34", "17/94"))
    assert [frame.step for frame in found] == [1, 2, 3]
    assert [frame.halt for frame in found] == [0.0, 1.0, 2.0]
    assert [frame.changed.tolist() for frame in found[:2]] == [[[False] * 2] * 2] * 2
    assert found[2].changed.tolist() == [[False, True], [True, False]]
    assert found[2].answer.tolist() == [[1, 7], [9, 4]]


def test_another_size_and_no_answer() -> None:
    found = frames(entry(None, "12", "1/2", None))
    assert [frame.answer is None for frame in found] == [True, False, False, True]
    assert found[1].changed.tolist() == [[True, True]]
    assert found[2].changed.tolist() == [[True], [True]]
    assert found[3].changed.size == 0


def test_a_row_that_kept_its_last_step_only_is_one_frame_of_that_step() -> None:
    (only,) = frames(entry("12/34", steps=5))
    assert (only.step, only.halt) == (5, 4.0)
    assert not only.changed.any()


@pytest.mark.parametrize(("logit", "share"), [(0.0, 0.5), (math.inf, 1.0), (-math.inf, 0.0), (-1000.0, 0.0), (1e9, 1)])
def test_the_halting_probability_is_the_sigmoid(logit: float, share: float) -> None:
    assert Frame(1, None, logit, np.zeros((0, 0), bool)).probability == share
    assert Frame(1, None, 1.5, np.zeros((0, 0), bool)).probability == pytest.approx(0.8175744761936437)
    assert math.isnan(Frame(1, None, math.nan, np.zeros((0, 0), bool)).probability)


def test_the_liveliest_puzzle_is_the_first_that_changed_most(folder: Path) -> None:
    assert liveliest(folder).puzzle == "lively"
    assert changes(liveliest(folder)) == 2


def test_a_puzzle_is_found_as_it_stands(folder: Path) -> None:
    assert len(find(folder, "lively").answers) == 3
    assert find(folder, "still").view == 0
    with pytest.raises(UnknownName, match="has no puzzle 'nobody'"):
        find(folder, "nobody")


def test_an_empty_journal_has_nothing_to_watch(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(UnknownName, match="no answers yet"):
        liveliest(tmp_path)


def test_unlike_cells() -> None:
    assert unlike(grid("12"), grid("13")).tolist() == [[False, True]]
    assert unlike(grid("12"), grid("1")).all()
    assert unlike(grid("12"), None).all()
    assert unlike(None, grid("1")).size == 0


def test_signs() -> None:
    wrong, changed = np.array([[True, False, False]]), np.array([[True, True, False]])
    assert marked((1, 3), wrong, changed).tolist() == [["!", "*", " "]]
    assert marked((0, 0)).size == 0


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ("12/34", "right"),
        ("12/33", "wrong: 1 of 4 cells"),
        ("12", "wrong: its size is 1x2, not 2x2"),
        (None, "no answer"),
    ],
)
def test_a_reel_knows_what_became_of_the_puzzle(last: str | None, verdict: str) -> None:
    reel = Reel("p", "t", frames(entry("99/99", last)), answer=grid("12/34"))
    assert reel.verdict == verdict
    assert Reel("p", "t", reel.frames).verdict == ""


def test_wrong_cells_are_marked_at_the_end_only() -> None:
    reel = Reel("p", "t", frames(entry("92/34", "12/33")), answer=grid("12/34"))
    assert reel.marks(0).tolist() == [[" ", " "], [" ", " "]]
    assert reel.marks(1).tolist() == [["*", " "], [" ", "!"]]
    assert Reel("p", "t", reel.frames).marks(1).tolist() == [["*", " "], [" ", "*"]]
