"""Lists of puzzles become files that train, validate and test apart from one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trm_harness import registry
from trm_harness.errors import BadInput
from trm_task_sudoku import files, lists, symmetry
from trm_task_sudoku.classes import signature, split_of


def write(path: Path, count: int = 12) -> list[np.ndarray]:
    names = registry.default().tasks
    puzzles = names.resolve("sudoku-9x9")(names.spec("sudoku-9x9"), None).puzzles("test")[:count]
    random = np.random.default_rng(0)
    # One image of each puzzle beside it: both must land in one file.
    grids = [grid for p in puzzles for grid in (p.input, symmetry.random(9, random).apply(p.input))]
    path.write_text("\n".join(files.text_of(grid) for grid in grids) + "\n")
    return grids


def test_a_list_is_solved_and_divided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.txt"
    grids = write(path)
    lists.main([str(path), "--out", str(tmp_path / "out"), "--held-out", "5"])
    found = files.read(tmp_path / "out" / "test.csv", "test", 9)
    # The puzzles are the bundled test puzzles, so all of them are test puzzles here too.
    assert len(grids) == 24
    assert len(found) == 5
    assert not (tmp_path / "out" / "validation.csv").exists()
    assert all(split_of(signature(puzzle.answer)) == "test" for puzzle in found)
    assert "some.txt, sha256 " in capsys.readouterr().out


@pytest.mark.parametrize("line", ["1" * 80, "x" * 81, "." * 81])
def test_what_is_no_puzzle_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "some.txt"
    path.write_text(line + "\n")
    with pytest.raises(BadInput, match="correct or remove"):
        lists.main([str(path), "--out", str(tmp_path / "out")])
