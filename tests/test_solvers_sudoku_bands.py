"""The count of guesses: equal to published ratings, apart from luck a property of the puzzle, the same in C."""

from __future__ import annotations

import numpy as np
import pytest

from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import prove
from trm_harness.solvers.sudoku_bands import explore, guesses
from trm_harness.types import Grid
from trm_task_sudoku import native, symmetry

from .plugins.sudoku_tasks import task

PUBLISHED = {
    "5...27..9..41......1..5.3...92.6.8...5......66..7..29.8...7...2.......8...9..36..": 18,
    ".9...12...3..284.6.6.....8..7....14..2..5.7....3.....2.1.9........7.5....872.6..4": 1,
    ".....8..1.6.9..2...4.52.9..4..6......9..45..6....924..9......7........3.35.2..6..": 60,
}
"""The rows of Sudoku-Extreme whose ratings are quoted in public: the first training puzzle and two test puzzles."""


def parsed(text: str) -> Grid:
    return (np.frombuffer(text.replace(".", "0").encode(), np.uint8) - ord("0")).reshape(9, 9)


@pytest.mark.parametrize("text", PUBLISHED)
def test_a_published_puzzle_rates_what_is_published(text: str) -> None:
    assert guesses(parsed(text)) == PUBLISHED[text]


def test_the_rating_goes_with_the_image_and_the_tree_hardly() -> None:
    puzzle, random = parsed(list(PUBLISHED)[2]), np.random.default_rng(0)
    images = [symmetry.random(9, random).apply(puzzle) for _ in range(12)]
    ratings, trees = [guesses(image) for image in images], [explore(image, wanted=2).guesses for image in images]
    assert max(ratings) - min(ratings) > 20
    assert max(trees) - min(trees) < 12
    assert all(rating <= tree for rating, tree in zip(ratings, trees, strict=True))


def test_solutions_are_those_of_the_other_solver() -> None:
    for puzzle in [*task(9).puzzles("test")[:40], *task(9).puzzles("hard")[:2]]:
        found = explore(puzzle.input, wanted=2)
        assert len(found.solutions) == 1
        assert np.array_equal(found.solutions[0], puzzle.answer)
        assert np.array_equal(prove(puzzle.input).grid, puzzle.answer)


def test_several_solutions_and_none() -> None:
    puzzle = task(9).puzzles("test")[0]
    fewer = puzzle.input.copy()
    fewer[:4] = 0
    found = explore(fewer, wanted=7).solutions
    assert len({solution.tobytes() for solution in found}) == 7
    assert all(np.array_equal(solution[fewer > 0], fewer[fewer > 0]) for solution in found)
    cell, digit = 0, int(puzzle.answer[0, 0])
    assert not explore(puzzle.input, ban=(cell, digit)).solutions
    wrong = puzzle.input.copy()
    wrong[0, :2] = 5
    with pytest.raises(BadInput, match="without a solution"):
        guesses(wrong)
    with pytest.raises(BadInput, match="9x9"):
        guesses(np.zeros((4, 4), np.uint8))


def test_a_search_ends_soon_after_its_limit() -> None:
    puzzle = parsed(list(PUBLISHED)[2])
    assert 5 < explore(puzzle, most=5).guesses < 30
    assert not explore(puzzle, most=5).solutions


def test_the_c_version_counts_and_finds_the_same() -> None:
    compiled = native.compiled()
    if compiled is None:
        pytest.skip("no C compiler here")
    random = np.random.default_rng(1)
    for text in PUBLISHED:
        image = symmetry.random(9, random).apply(parsed(text))
        fewer = np.where(random.random((9, 9)) < 0.15, 0, image)
        for grid, how in ((image, {}), (image, {"wanted": 2}), (image, {"most": 3}), (fewer, {"wanted": 5})):
            ours, theirs = compiled(grid, **how), explore(grid, **how)
            assert ours.guesses == theirs.guesses
            assert np.array_equal(ours.solutions, theirs.solutions)
        assert not compiled(image, ban=(0, int(explore(image).solutions[0][0, 0]))).solutions


def test_without_a_compiler_the_original_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert native.compiled.__wrapped__() is None
