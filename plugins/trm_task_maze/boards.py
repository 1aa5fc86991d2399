"""``python -m trm_task_maze.boards SIDE --out FOLDER``: mazes of a side that no task has, as ``FOLDER/test.csv``.

Walls and paths follow the rule of the generated tasks (:mod:`trm_task_maze.generate`). The least path is their share
of the cells up to 30x30 and grows with the side beyond: mazes with longer ones are too rare to be drawn.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from trm_harness.solvers.maze import solve
from trm_task_maze import GENERATED, SPLITS, files
from trm_task_maze.generate import Recipe, draw


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the mazes, solve them and write the file."""
    like = GENERATED[30]
    parser = argparse.ArgumentParser(prog="python -m trm_task_maze.boards", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("side", type=int, help="cells of a side")
    parser.add_argument("--path", type=int, help="least steps from start to goal")
    parser.add_argument("--count", type=int, default=100, help="mazes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for test.csv")
    chosen = parser.parse_args(arguments)
    steps = chosen.path or math.ceil(like["min_path"] * min(chosen.side / 30, (chosen.side / 30) ** 2))
    if chosen.side < 4 or chosen.count < 1 or not 0 < steps <= chosen.side**2 / 5:
        parser.error("needs a side of 4 or more, a maze or more, and paths over a fifth of the cells at most")
    recipe = Recipe(chosen.side, like["walls"], steps, like["extra"], dict.fromkeys(SPLITS, chosen.count))
    file = chosen.out / "test.csv"
    if file.exists():
        parser.error(f"{file} is there already: give --out another folder")
    questions = [draw(recipe, "test", chosen.seed, index) for index in range(chosen.count)]
    mazes = [files.puzzle(f"test-{index:06d}", question, solve(question)) for index, question in enumerate(questions)]
    chosen.out.mkdir(parents=True, exist_ok=True)
    files.write(file, f"generated, seed {chosen.seed}", mazes)
    print(f"{file}: {chosen.count} mazes {chosen.side}x{chosen.side}, {steps} steps or more")


if __name__ == "__main__":
    main()
