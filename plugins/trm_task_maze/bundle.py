"""Reads the bundled validation and test sets, which ``data/make.py`` writes.

A bundle is an ``.npz`` file of two arrays, ``walls`` (``uint8 [count, bytes]``, one bit a cell, rows one after another)
and ``ends`` (``uint16 [count, 2]``, the flat places of start and goal). Labels are solved on loading.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.files.read import MIB, read_arrays
from trm_harness.solvers.maze import GOAL, OPEN, START, WALL
from trm_harness.types import Grid

FOLDER = Path(__file__).parent / "data"
LARGEST = 64 * MIB
"""Most bytes of a bundle's arrays: some 600,000 mazes of 30x30."""


def path_of(task: str, split: str) -> Path:
    """Where the bundle of a generated task's split lies."""
    return FOLDER / task / f"{split}.npz"


def load(path: Path, size: int) -> list[Grid]:
    """The questions of a bundle; ``BadInput`` if it is missing or damaged."""
    try:
        arrays = read_arrays(path, {"walls": ("uint8", 2), "ends": ("uint16", 2)}, LARGEST)
    except BadInput as error:
        raise BadInput(f"the bundled mazes are damaged ({error}): reinstall trm-harness") from None
    walls, ends = arrays["walls"], arrays["ends"]
    count, cells = len(walls), size * size
    if walls.shape != (count, -(-cells // 8)) or ends.shape != (count, 2) or (count and ends.max() >= cells):
        raise BadInput(f"the bundled mazes {path} are not {size}x{size}: reinstall trm-harness")
    flat = np.where(np.unpackbits(walls, axis=1, count=size * size), np.uint8(WALL), np.uint8(OPEN))
    for symbol, places in zip((START, GOAL), ends.T, strict=True):
        np.put_along_axis(flat, places[:, None].astype(np.int64), symbol, axis=1)
    return list(flat.reshape(-1, size, size))
