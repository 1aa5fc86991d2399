"""The reference's maze builder, from its own output (fixture README, section 7)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.parity_files import parity_roots
from trm_harness.types import Puzzle
from trm_task_maze import files
from trm_task_maze.task import VIEWS, MazeTask

from .maze_tasks import spec

ROOTS = [pytest.param(root / "data" / "maze_build", id=name) for name, root in parity_roots()]
CASES = ("plain", "aug", "sub2_aug")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("folder", ROOTS)
def test_files_views_and_encoding_rebuild_the_reference_data_set(folder: Path, case: str) -> None:
    meta = json.loads((folder / "meta.json").read_text())[case]
    config, subject = meta["config"], MazeTask(spec("maze-hard"))
    random = np.random.RandomState(meta["np_random_seed"])
    with np.load(folder / f"expected_{case}.npz") as expected:
        for split in ("train", "test"):
            # The fixture's grids are noise, not mazes, so they are read without the check of their answers.
            grids = files.read_grids(folder / f"{split}.csv", 30)
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
