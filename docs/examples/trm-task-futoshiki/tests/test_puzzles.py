"""What only this puzzle has: its rules, its solver, its generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trm_task_futoshiki import files
from trm_task_futoshiki.board import SYMMETRIES, is_board, is_solution
from trm_task_futoshiki.generate import draw, split_of, squares
from trm_task_futoshiki.solve import solve

from trm_harness import BadInput


def test_there_are_576_latin_squares() -> None:
    assert len(squares()) == 576


@pytest.mark.parametrize("index", range(20))
def test_a_generated_puzzle_has_one_solution_and_so_do_its_images(index: int) -> None:
    board, answer = draw("train", 0, index)
    assert is_board(board)
    assert is_solution(board, answer)
    for symmetry in SYMMETRIES.values():
        seen = symmetry.board(board)
        assert is_board(seen)
        # The search and the generator's table are two programs: they must agree.
        (found,) = solve(seen).found
        assert np.array_equal(found, symmetry.answer(answer))
        assert np.array_equal(symmetry.undo(found), answer)
        assert split_of(seen) == "train"


def test_the_checker_sees_a_broken_sign() -> None:
    board, answer = draw("test", 0, 0)
    others = [square for square in squares() if not np.array_equal(square, answer)]
    assert not any(is_solution(board, square) for square in others)


def test_a_file_with_two_solutions_is_refused(tmp_path: Path) -> None:
    board, answer = draw("test", 0, 0)
    blank = np.where(board == 9, 9, 0).astype(np.uint8)
    blank[np.isin(board, (5, 6, 7, 8))] = 9
    files.write(tmp_path / "test.csv", [(board, answer), (blank, answer)])
    with pytest.raises(BadInput, match="line 3: has more than one solution"):
        files.read(tmp_path / "test.csv", "test")
