"""``python -m trm_task_sudoku.bundle``: write the bundled validation and test sets afresh (under a minute).

``hard`` writes the hard split instead: some 25 s of one core a puzzle, so what a file holds already is kept, and every
puzzle is written as it is found.
"""

from __future__ import annotations

import sys

from trm_task_sudoku import BOARDS, HARD_SIZE, files, hard
from trm_task_sudoku.generate import Recipe, draw
from trm_task_sudoku.task import BUNDLED

SEED = 0


def main(arguments: list[str]) -> None:
    """Write the bundled files from their recipes."""
    if arguments == ["hard"]:
        return _hard()
    for name, options in BOARDS.items():
        recipe = Recipe.of(options)
        folder = BUNDLED / name
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("validation", "test"):
            drawn = (draw(recipe, split, SEED, index) for index in range(recipe.counts[split]))
            puzzles = (files.puzzle(split, i, d.question, d.answer, d.rating) for i, d in enumerate(drawn))
            files.write(folder / f"{split}.csv", "trm_task_sudoku", puzzles)
    return None


def _hard() -> None:
    path = BUNDLED / "sudoku-9x9" / "hard.csv"
    puzzles = files.read(path, "hard", 9) if path.exists() else []
    for index in range(len(puzzles), HARD_SIZE):
        drawn = hard.draw(SEED, index)
        puzzles.append(files.puzzle("hard", index, drawn.question, drawn.answer, drawn.rating))
        files.write(path, "trm_task_sudoku", puzzles)


if __name__ == "__main__":
    main(sys.argv[1:])
