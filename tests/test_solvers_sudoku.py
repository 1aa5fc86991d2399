"""The Sudoku solver against a plain cell-by-cell search that shares no code with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import Search, box_shape, is_solution, is_unique, prove, solutions, solve

EASY = (
    "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
    "534678912672195348198342567859761423426853791713924856961537284287419635345286179",
)
# Arto Inkala's puzzle of 2012, known to need deep search.
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


def board(text: str) -> np.ndarray:
    cells = [0 if cell == "." else int(cell) for cell in text]
    size = round(len(cells) ** 0.5)
    return np.array(cells, np.uint8).reshape(size, size)


def plain_solutions(grid: np.ndarray) -> Iterator[np.ndarray]:
    """Every solution, by trying each digit in the blank with the fewest possible ones."""
    size = len(grid)
    height, width = box_shape(size)
    best = None
    for row, column in np.argwhere(grid == 0):
        top, left = row - row % height, column - column % width
        seen = {*grid[row], *grid[:, column], *grid[top : top + height, left : left + width].ravel()}
        fits = [digit for digit in range(1, size + 1) if digit not in seen]
        if best is None or len(fits) < len(best[2]):
            best = (row, column, fits)
    if best is None:
        yield grid.copy()
        return
    row, column, fits = best
    for digit in fits:
        grid[row, column] = digit
        yield from plain_solutions(grid)
        grid[row, column] = 0


def test_solves_known_puzzles() -> None:
    found = prove(board(EASY[0]))
    assert found.unique
    assert found.dead_ends == 0
    assert np.array_equal(found.grid, board(EASY[1]))
    hard = prove(board(HARD))
    assert hard.unique
    assert hard.dead_ends > 5
    assert is_solution(hard.grid)
    assert np.array_equal(hard.grid, solve(board(HARD)).grid)


def test_lists_all_4x4_grids() -> None:
    grids = {grid.tobytes() for grid in solutions(np.zeros((4, 4), np.uint8))}
    assert len(grids) == 288
    assert all(is_solution(np.frombuffer(grid, np.uint8).reshape(4, 4)) for grid in grids)


@pytest.mark.parametrize(("size", "clues", "trials"), [(4, 4, 60), (4, 6, 60), (6, 12, 20), (9, 32, 4)])
def test_agrees_with_a_plain_search(size: int, clues: int, trials: int) -> None:
    random = np.random.default_rng(size * 100 + clues)
    for _ in range(trials):
        full = next(solutions(np.zeros((size, size), np.uint8), Search(random)))
        question = np.zeros(size * size, np.uint8)
        kept = random.permutation(size * size)[:clues]
        question[kept] = full.ravel()[kept]
        question = question.reshape(size, size)
        expected = []
        for solution in plain_solutions(question.copy()):
            expected.append(solution.tobytes())
            if len(expected) == 500:
                break
        found = {grid.tobytes() for grid in solutions(question)} if len(expected) < 500 else set(expected)
        assert found == set(expected)
        assert is_unique(question) == (len(expected) == 1)


def test_impossible_boards_have_no_solution() -> None:
    twice = board(EASY[0])
    twice[0, 2] = 5
    assert solve(twice) is None
    assert prove(twice) is None
    assert not is_unique(twice)


def test_wrong_full_grids_are_no_solutions() -> None:
    right = board(EASY[1])
    assert is_solution(right)
    wrong = right.copy()
    wrong[4, 4] = wrong[4, 4] % 9 + 1
    assert not is_solution(wrong)
    blank = right.copy()
    blank[0, 0] = 0
    assert not is_solution(blank)
    # Rows and columns of a cyclic square are right, its boxes are not.
    cyclic = (np.add.outer(np.arange(9), np.arange(9)) % 9 + 1).astype(np.uint8)
    assert not is_solution(cyclic)


@pytest.mark.parametrize(("size", "shape"), [(4, (2, 2)), (6, (2, 3)), (8, (2, 4)), (9, (3, 3)), (16, (4, 4))])
def test_boxes(size: int, shape: tuple[int, int]) -> None:
    assert box_shape(size) == shape


@pytest.mark.parametrize("shape", [(5, 5), (1, 1), (4, 6), (0, 0), (81,)])
def test_refuses_boards_without_boxes(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput):
        solve(np.zeros(shape, np.uint8))


def test_refuses_digits_beyond_the_board() -> None:
    grid = np.zeros((4, 4), np.uint8)
    grid[1, 2] = 5
    with pytest.raises(BadInput, match="digit 5"):
        solve(grid)
