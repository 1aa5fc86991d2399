"""Writes the bundled sets beside it afresh (under a minute).

Run by hand from a checkout: ``python -m trm_task_sudoku.data.make [hard|fingerprints]``.

``fingerprints`` writes those of the training splits that are drawn, some five minutes of one core.
``hard`` writes the hard split instead: some 25 s of one core a puzzle, so what a file holds already is kept, and every
puzzle is written as it is found.
"""

from __future__ import annotations

import sys

from trm_harness.loading.contamination import write_fingerprints
from trm_harness.registry import default
from trm_task_sudoku import BOARDS, HARD_SIZE, files
from trm_task_sudoku.data import hard
from trm_task_sudoku.generate import Recipe, draw
from trm_task_sudoku.task import BUNDLED

SEED = 0


def main(arguments: list[str]) -> None:
    """Write the bundled files from their recipes."""
    if arguments == ["hard"]:
        return _hard()
    if arguments == ["fingerprints"]:
        return _fingerprints()
    for name, options in BOARDS.items():
        recipe = Recipe.of(options)
        folder = BUNDLED / name
        folder.mkdir(parents=True, exist_ok=True)
        # There are so few puzzles of 4x4 that its training split ends: it is listed as well.
        for split in ("validation", "test", *(["train"] if recipe.listed else [])):
            drawn = (draw(recipe, split, SEED, index) for index in range(recipe.counts[split]))
            puzzles = (files.puzzle(split, i, d.question, d.answer, d.rating) for i, d in enumerate(drawn))
            files.write(folder / f"{split}.csv", "trm_task_sudoku", puzzles)
    return None


def _fingerprints() -> None:
    for name, options in BOARDS.items():
        if not Recipe.of(options).listed:
            task = default().task(name)
            write_fingerprints(task, "train", task.fingerprints_file("train"))


def _hard() -> None:
    path = BUNDLED / "sudoku-9x9" / "hard.csv"
    puzzles = files.read(path, "hard", 9) if path.exists() else []
    for index in range(len(puzzles), HARD_SIZE):
        drawn = hard.draw(SEED, index)
        puzzles.append(files.puzzle("hard", index, drawn.question, drawn.answer, drawn.rating))
        files.write(path, "trm_task_sudoku", puzzles)


if __name__ == "__main__":
    main(sys.argv[1:])
