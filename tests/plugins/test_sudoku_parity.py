"""The reference's Sudoku augmentation and data builder, from its own output (fixture README, section 7)."""

from __future__ import annotations

from math import isqrt
from pathlib import Path

import numpy as np
import pytest

from tests.parity_files import golden, meta_of
from trm_task_sudoku import files
from trm_task_sudoku.task import SudokuTask

from .sudoku_tasks import reference_shuffle, spec


@pytest.mark.parametrize("file", golden("data/sudoku_shuffle.npz"))
def test_shuffle_draws_as_the_reference(file: Path) -> None:
    with np.load(file) as fixture:
        random = np.random.RandomState(int(fixture["np_random_seed"]))
        for place, source in enumerate(fixture["source_index"]):
            board, solution = reference_shuffle(fixture["board"][source], fixture["solution"][source], random)
            assert np.array_equal(board, fixture["shuffled_board"][place])
            assert np.array_equal(solution, fixture["shuffled_solution"][place])


@pytest.mark.parametrize("file", golden("data/sudoku_build/expected_*.npz"))
def test_files_and_encoding_rebuild_the_reference_data_set(file: Path) -> None:
    meta = meta_of(file)
    config = meta["config"]
    random = np.random.RandomState(meta["np_random_seed"])
    size = isqrt(meta["dataset_json"]["train"]["seq_len"])
    subject = SudokuTask(spec(size), file.parent)
    with np.load(file) as expected:
        for split in ("train", "test"):
            puzzles = [
                puzzle
                for puzzle in files.read(file.with_name(f"{split}.csv"), split, size)
                if puzzle.facts["rating"] >= (config.get("min_difficulty") or 0)
            ]
            wanted = config.get("subsample_size")
            if split == "train" and wanted is not None and wanted < len(puzzles):
                puzzles = [puzzles[place] for place in random.choice(len(puzzles), size=wanted, replace=False)]
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
