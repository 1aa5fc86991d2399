"""``python -m trm_task_sudoku.bundle``: write the bundled validation and test sets afresh (under a minute)."""

from __future__ import annotations

from trm_task_sudoku import GENERATED, files
from trm_task_sudoku.generate import Recipe, draw
from trm_task_sudoku.task import BUNDLED

SEED = 0


def main() -> None:
    """Write every bundled file from its recipe."""
    for size, options in GENERATED.items():
        recipe = Recipe.of({"size": size, **options})
        folder = BUNDLED / f"sudoku-{size}x{size}"
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("validation", "test"):
            drawn = (draw(recipe, split, SEED, index) for index in range(recipe.counts[split]))
            puzzles = (files.puzzle(split, i, d.question, d.answer, d.rating) for i, d in enumerate(drawn))
            files.write(folder / f"{split}.csv", "trm_task_sudoku", puzzles)


if __name__ == "__main__":
    main()
