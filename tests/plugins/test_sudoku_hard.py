"""The hard split: one solution, no clue too many, hard by its rating, apart from training and validation."""

from __future__ import annotations

import numpy as np
import pytest

from trm_harness.solvers.sudoku import is_unique, prove
from trm_task_sudoku import HARD_SIZE, hard
from trm_task_sudoku.classes import signature, split_of
from trm_task_sudoku.generate import dig, full_grid

from .sudoku_tasks import task

PUZZLES = task(9).puzzles("hard")
OTHERS = {"train": "76085ae8c98f7c95", "validation": "362e1e82d38990b7", "test": "90a0cefd7cc4e3cd"}
"""Beginnings of the other splits' hashes from before there was a hard one."""


def test_every_puzzle_has_one_solution_and_rates_what_it_says() -> None:
    assert len(PUZZLES) == HARD_SIZE
    for puzzle in PUZZLES:
        proof = prove(puzzle.input)
        assert proof.unique
        assert np.array_equal(proof.grid, puzzle.answer)
        assert proof.dead_ends == puzzle.facts["rating"] >= hard.FLOOR


def test_no_clue_is_one_too_many() -> None:
    for puzzle in PUZZLES[::3]:
        assert hard.is_minimal(puzzle.input, puzzle.answer)
        for cell in np.argwhere(puzzle.input)[::5]:
            fewer = puzzle.input.copy()
            fewer[tuple(cell)] = 0
            assert not is_unique(fewer)


def test_a_clue_too_many_is_noticed() -> None:
    puzzle = PUZZLES[0]
    more = puzzle.input.copy()
    row, column = np.argwhere(more == 0)[0]
    more[row, column] = puzzle.answer[row, column]
    assert not hard.is_minimal(more, puzzle.answer)


def test_the_tail_has_the_form_of_the_published_one() -> None:
    ratings = np.array([puzzle.facts["rating"] for puzzle in PUZZLES])
    # A puzzle reaches its drawn rating or overshoots it: the median excess of the law is 14, that of the split more.
    assert 14 <= np.median(ratings) - hard.FLOOR <= 40
    assert (ratings >= hard.FLOOR + 2 * hard.EXCESS).mean() > 0.1
    ordinary = np.array([puzzle.facts["rating"] for puzzle in task(9).puzzles("test")])
    assert ordinary.max() < hard.FLOOR


def test_no_solution_is_shared_with_training_or_validation() -> None:
    assert {split_of(signature(puzzle.answer)) for puzzle in PUZZLES} == {"test"}
    signatures = {signature(puzzle.answer) for puzzle in PUZZLES}
    assert len(signatures) == HARD_SIZE
    assert not signatures & {signature(puzzle.answer) for puzzle in task(9).puzzles("validation")}


def test_the_bundled_puzzles_come_from_the_recipe() -> None:
    quickest = 32
    drawn = hard.draw(0, quickest)
    assert np.array_equal(drawn.question, PUZZLES[quickest].input)
    assert np.array_equal(drawn.answer, PUZZLES[quickest].answer)
    assert drawn.rating == PUZZLES[quickest].facts["rating"]


def test_other_splits_stay_what_they_were() -> None:
    sources = {split: task(9).source(split).sha256[:16] for split in ("train", "validation", "test")}
    assert sources == OTHERS


@pytest.mark.parametrize("seed", range(3))
def test_taking_out_superfluous_clues_leaves_a_minimal_puzzle(seed: int) -> None:
    random = np.random.default_rng(seed)
    answer = full_grid(9, random)
    assert hard.is_minimal(dig(answer, 17, random), answer)
