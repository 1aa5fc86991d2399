"""The reference's Sudoku augmentation and data builder, from its own output (fixture README, section 7)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.parity_files import parity_roots
from trm_task_sudoku import files
from trm_task_sudoku.symmetry import reference_shuffle
from trm_task_sudoku.task import SudokuTask

from .sudoku_tasks import spec

ROOTS = [pytest.param(root / "data", id=name) for name, root in parity_roots()]
CASES = ("full_aug0", "min_diff20_aug2", "sub5_aug3")


@pytest.mark.parametrize("root", ROOTS)
def test_shuffle_draws_as_the_reference(root: Path) -> None:
    with np.load(root / "sudoku_shuffle.npz") as fixture:
        random = np.random.RandomState(int(fixture["np_random_seed"]))
        for place, source in enumerate(fixture["source_index"]):
            board, solution = reference_shuffle(fixture["board"][source], fixture["solution"][source], random)
            assert np.array_equal(board, fixture["shuffled_board"][place])
            assert np.array_equal(solution, fixture["shuffled_solution"][place])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("root", ROOTS)
def test_files_and_encoding_rebuild_the_reference_data_set(root: Path, case: str) -> None:
    folder = root / "sudoku_build"
    meta = json.loads((folder / "meta.json").read_text())[case]
    config = meta["config"]
    random = np.random.RandomState(meta["np_random_seed"])
    subject = SudokuTask(spec(9), folder)
    with np.load(folder / f"expected_{case}.npz") as expected:
        for split in ("train", "test"):
            puzzles = [
                puzzle
                for puzzle in files.read(folder / f"{split}.csv", split, 9)
                if puzzle.facts["rating"] >= (config.get("min_difficulty") or 0)
            ]
            size = config.get("subsample_size")
            if split == "train" and size is not None and size < len(puzzles):
                puzzles = [puzzles[place] for place in random.choice(len(puzzles), size=size, replace=False)]
            boards = []
            for puzzle in puzzles:
                boards.append((puzzle.input, puzzle.answer))
                for _ in range(config.get("num_aug", 0) if split == "train" else 0):
                    boards.append(reference_shuffle(puzzle.input, puzzle.answer, random))
            seen = [files.puzzle(split, place, *pair, rating=0) for place, pair in enumerate(boards)]
            tokens = np.stack([subject.encode(puzzle).tokens for puzzle in seen])
            labels = np.stack([subject.labels(puzzle, subject.encode(puzzle)) for puzzle in seen])
            assert np.array_equal(tokens, expected[f"{split}.inputs"])
            assert np.array_equal(labels, expected[f"{split}.labels"])
    assert subject.spec.vocab_size == meta["dataset_json"]["train"]["vocab_size"]
    assert subject.spec.seq_len == meta["dataset_json"]["train"]["seq_len"]
