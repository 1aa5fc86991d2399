"""``python -m trm_task_sudoku.bundle``: write the bundled validation and test sets afresh (under a minute).

With ``hard`` it writes the hard split instead (about ten minutes).
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
        drawn = (hard.draw(SEED, index) for index in range(HARD_SIZE))
        puzzles = (files.puzzle("hard", i, d.question, d.answer, d.rating) for i, d in enumerate(drawn))
        return files.write(BUNDLED / "sudoku-9x9" / "hard.csv", "trm_task_sudoku", puzzles)
    for name, options in BOARDS.items():
        recipe = Recipe.of(options)
        folder = BUNDLED / name
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("validation", "test"):
            drawn = (draw(recipe, split, SEED, index) for index in range(recipe.counts[split]))
            puzzles = (files.puzzle(split, i, d.question, d.answer, d.rating) for i, d in enumerate(drawn))
            files.write(folder / f"{split}.csv", "trm_task_sudoku", puzzles)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
