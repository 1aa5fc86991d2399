"""The hard split: one solution, no clue too many, hard as published puzzles are rated, apart from the other splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trm_harness.solvers.sudoku import is_unique, prove
from trm_harness.solvers.sudoku_bands import guesses
from trm_harness.types import Grid
from trm_task_sudoku import HARD_SIZE, files, native
from trm_task_sudoku.classes import signature, split_of
from trm_task_sudoku.data import hard, make
from trm_task_sudoku.generate import Drawn, dig, full_grid

from .sudoku_tasks import task

PUZZLES = task(9).puzzles("hard")
SOON = 1
"""An index whose puzzle is found within seconds."""
OTHERS = {"train": "76085ae8c98f7c95", "validation": "362e1e82d38990b7", "test": "90a0cefd7cc4e3cd"}
"""Beginnings of the other splits' hashes from before there was a hard one."""


def is_minimal(question: Grid, answer: Grid) -> bool:
    """Whether every clue of a puzzle with the one solution ``answer`` is needed for that."""
    return all(hard._needed(question.copy(), cell, answer) for cell in np.flatnonzero(question).tolist())


def test_every_puzzle_has_one_solution_and_rates_what_it_says() -> None:
    assert len(PUZZLES) == HARD_SIZE
    for puzzle in PUZZLES:
        assert guesses(puzzle.input) == puzzle.facts["rating"]
    for puzzle in PUZZLES[::3]:
        proof = prove(puzzle.input)
        assert proof.unique
        assert np.array_equal(proof.grid, puzzle.answer)


def test_no_clue_is_one_too_many() -> None:
    for puzzle in PUZZLES[::7]:
        assert is_minimal(puzzle.input, puzzle.answer)
        for cell in np.argwhere(puzzle.input)[::5]:
            fewer = puzzle.input.copy()
            fewer[tuple(cell)] = 0
            assert not is_unique(fewer)


def test_a_clue_too_many_is_noticed() -> None:
    puzzle = PUZZLES[0]
    more = puzzle.input.copy()
    row, column = np.argwhere(more == 0)[0]
    more[row, column] = puzzle.answer[row, column]
    assert not is_minimal(more, puzzle.answer)


def test_the_law_goes_through_the_published_percentiles() -> None:
    assert [hard.rating_of(share) for share in (1.0, 0.5, 0.1, 0.01)] == [51, 64, 100, hard.CEILING]
    targets = np.array([hard.target(0, number) for number in range(100)])
    assert (np.abs(np.quantile(targets, [0.01, 0.5, 0.9]) - [51, 64, 100]) <= [1, 2, 2]).all()
    assert [hard.target(0, number) for number in range(3)] != [hard.target(1, number) for number in range(3)]


def test_every_rating_follows_the_law_from_both_sides() -> None:
    for index, puzzle in enumerate(PUZZLES):
        wanted = hard.target(make.SEED, index)
        assert abs(puzzle.facts["rating"] - wanted) <= hard.TOLERANCE * wanted


def test_no_solution_is_shared_with_training_or_validation() -> None:
    assert {split_of(signature(puzzle.answer)) for puzzle in PUZZLES} == {"test"}
    signatures = {signature(puzzle.answer) for puzzle in PUZZLES}
    assert len(signatures) == len(PUZZLES)
    assert not signatures & {signature(puzzle.answer) for puzzle in task(9).puzzles("validation")}


def test_other_splits_stay_what_they_were() -> None:
    sources = {split: task(9).source(split).sha256[:16] for split in ("train", "validation", "test")}
    assert sources == OTHERS


def test_the_split_is_written_puzzle_by_puzzle_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    puzzle, asked = PUZZLES[0], []
    drawn = Drawn(puzzle.input, puzzle.answer, puzzle.facts["rating"])
    monkeypatch.setattr(make, "BUNDLED", tmp_path)
    monkeypatch.setattr(hard, "draw", lambda seed, index: asked.append((seed, index)) or drawn)
    (tmp_path / "sudoku-9x9").mkdir()
    for size in (2, 3):
        monkeypatch.setattr(make, "HARD_SIZE", size)
        make.main(["hard"])
        assert len(files.read(tmp_path / "sudoku-9x9" / "hard.csv", "hard", 9)) == size
    assert asked == [(make.SEED, 0), (make.SEED, 1), (make.SEED, 2)]


@pytest.mark.slow
@pytest.mark.skipif(native.compiled() is None, reason="without a C compiler this takes half an hour")
def test_the_bundled_puzzles_are_those_of_their_seed() -> None:
    drawn = hard.draw(make.SEED, SOON)
    assert np.array_equal(drawn.question, PUZZLES[SOON].input)
    assert np.array_equal(drawn.answer, PUZZLES[SOON].answer)
    assert drawn.rating == PUZZLES[SOON].facts["rating"]


@pytest.mark.parametrize("seed", range(3))
def test_taking_out_superfluous_clues_leaves_a_minimal_puzzle(seed: int) -> None:
    random = np.random.default_rng(seed)
    answer = full_grid(9, random)
    assert is_minimal(dig(answer, 17, random), answer)


def test_a_climb_ends_above_what_it_was_asked_for_and_repeats() -> None:
    random = np.random.default_rng(3)
    answer = full_grid(9, random)
    first, again = (hard._climbed(answer, 4, np.random.default_rng(8)) for _ in range(2))
    assert np.array_equal(first, again)
    assert hard.tree(first) > 4
    assert is_minimal(first, answer)


def test_the_puzzle_is_shown_through_an_image_that_rates_as_asked() -> None:
    answer = full_grid(9, np.random.default_rng(3))
    top = hard._climbed(answer, 8, np.random.default_rng(8))
    shown = hard._image(top, answer, 8, np.random.default_rng(9))
    assert abs(guesses(shown.question) - 8) <= 8 * hard.TOLERANCE
    assert shown.rating == guesses(shown.question)
    assert not np.array_equal(shown.question, top)
    assert is_unique(shown.question)
    assert hard._image(top, answer, 10_000, np.random.default_rng(9)) is None
