"""Writes the bundled validation and test sets beside it afresh (six minutes).

Run by hand from a checkout: ``python -m trm_task_maze.data.make [fingerprints]``.

``fingerprints`` writes those of the training splits of the boards that shipped weights were trained on instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trm_harness.files.write import replacing
from trm_harness.loading.contamination import write_fingerprints
from trm_harness.registry import default
from trm_harness.solvers.maze import GOAL, START, WALL
from trm_harness.specs import TaskSpec
from trm_harness.types import Grid
from trm_task_maze import register_tasks
from trm_task_maze.bundle import path_of
from trm_task_maze.generate import Recipe, draw

SEED = 0
FINGERPRINTED = ("maze-8x8", "maze-10x10", "maze-14x14", "maze-20x20", "maze-30x30")


def save(path: Path, questions: Iterable[Grid]) -> None:
    """Write questions to ``path``, whole or not at all."""
    flat = np.stack([question.ravel() for question in questions])
    ends = np.stack([(flat == end).argmax(axis=1) for end in (START, GOAL)], axis=1).astype(np.uint16)
    with replacing(path, parents=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, walls=np.packbits(flat == WALL, axis=1), ends=ends)


def main(arguments: list[str]) -> None:
    """Write every bundle from its recipe."""
    if arguments != ["fingerprints"]:
        return register_tasks(_write)
    for name in FINGERPRINTED:
        task = default().task(name)
        write_fingerprints(task, "train", task.fingerprints_file("train"))
    return None


def _write(spec: TaskSpec) -> None:
    if "min_path" not in spec.options:
        return
    recipe = Recipe.of(spec.options)
    for split in ("validation", "test"):
        save(path_of(spec.id, split), (draw(recipe, split, SEED, index) for index in range(recipe.counts[split])))


if __name__ == "__main__":
    main(sys.argv[1:])
