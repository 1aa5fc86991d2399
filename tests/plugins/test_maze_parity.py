"""The reference's maze builder, from its own output (fixture README, section 7)."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np
import pytest

from tests.parity_files import golden, meta_of
from trm_harness.types import Puzzle
from trm_task_maze import files
from trm_task_maze.task import VIEWS, MazeTask

from .maze_tasks import spec


@pytest.mark.parametrize("file", golden("data/maze_build/expected_*.npz"))
def test_files_views_and_encoding_rebuild_the_reference_data_set(file: Path) -> None:
    meta = meta_of(file)
    config, side = meta["config"], isqrt(meta["dataset_json"]["train"]["seq_len"])
    # Mazes of any side are read alike; the task of Maze-Hard stands for all.
    declared = spec("maze-hard")
    subject = MazeTask(replace(declared, seq_len=side * side, options={**declared.options, "size": side}))
    random = np.random.RandomState(meta["np_random_seed"])
    with np.load(file) as expected:
        for split in ("train", "test"):
            # The fixture's grids are noise, not mazes, so they are read without the check of their answers.
            grids = [maze[1:] for maze in files.grids(file.with_name(f"{split}.csv"), side)]
            size = config.get("subsample_size")
            if split == "train" and size is not None and size < len(grids):
                grids = [grids[place] for place in random.choice(len(grids), size=size, replace=False)]
            names = list(VIEWS) if config.get("aug") and split == "train" else [""]
            seen = [subject.transform(Puzzle("x", "x", *pair), name) for pair in grids for name in names]
            tokens = np.stack([subject.encode(puzzle, "", {}).tokens for puzzle in seen])
            labels = np.stack([subject.labels(puzzle, subject.encode(puzzle)) for puzzle in seen])
            assert np.array_equal(tokens, expected[f"{split}.inputs"])
            assert np.array_equal(labels, expected[f"{split}.labels"])
            assert expected[f"{split}.group_indices"].tolist() == list(range(0, len(seen) + 1, len(names)))
            for name, view in zip(names * len(grids), seen, strict=True):
                question = grids[seen.index(view) // len(names)][0]
                assert np.array_equal(subject.invert(view.input, name), question)
    assert subject.spec.vocab_size == meta["dataset_json"]["train"]["vocab_size"]
    assert subject.spec.seq_len == meta["dataset_json"]["train"]["seq_len"]
