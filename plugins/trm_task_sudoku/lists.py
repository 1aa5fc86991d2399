"""``python -m trm_task_sudoku.lists LIST --out FOLDER``: a plain list of 9x9 puzzles as files of the three splits.

A list has 81 characters a line, ``.`` or ``0`` for a blank. Every puzzle is solved (one that has not exactly one
solution is refused) and rated by guesses. Which file it goes to follows from an invariant of its solution, as for the
generated boards: no image of a test puzzle is in the training file. Give the folder to ``--data`` or to a part's
``data``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.types import Grid, Puzzle
from trm_task_sudoku import SPLITS, files, native
from trm_task_sudoku.classes import signature, split_of

CELLS = 81


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files and say how many puzzles each has."""
    parser = argparse.ArgumentParser(prog="python -m trm_task_sudoku.lists", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("list", type=Path, help="81 characters a line")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.csv, validation.csv and test.csv")
    parser.add_argument("--held-out", type=int, default=1000, help="most puzzles of validation and of test")
    chosen = parser.parse_args(arguments)
    parts = divided(read(chosen.list), chosen.held_out)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for split, puzzles in parts.items():
        if puzzles:
            files.write(chosen.out / f"{split}.csv", chosen.list.stem, puzzles)
    digest = sha256(chosen.list.read_bytes()).hexdigest()
    print(f"{chosen.list.name}, sha256 {digest}: " + ", ".join(f"{len(p)} {split}" for split, p in parts.items()))


def read(path: Path) -> list[Grid]:
    """The questions of a list; ``BadInput`` names the line that is none."""
    grids = []
    for number, line in enumerate(path.read_text("ascii").splitlines(), start=1):
        text = line.strip().replace(".", "0")
        if len(text) != CELLS or not text.isdecimal():
            raise BadInput(f"{path}, line {number}: not {CELLS} cells of 1-9 and '.': correct or remove that line")
        grids.append(np.array(list(text), np.uint8).reshape(9, 9))
    return grids


def divided(questions: Sequence[Grid], held_out: int) -> dict[str, list[Puzzle]]:
    """The puzzles of each split, solved, in the order of the list; at most ``held_out`` of validation and of test.

    Those beyond are in no file: they are images or kin of nothing that is trained on, and enough is measured.
    """
    parts: dict[str, list[Puzzle]] = {split: [] for split in SPLITS}
    for number, question in enumerate(questions, start=1):
        found = native.fastest()(question, wanted=2)
        if len(found.solutions) != 1:
            raise BadInput(f"puzzle {number} of the list has not exactly one solution: correct or remove that line")
        split = split_of(signature(found.solutions[0]))
        puzzles = parts[split]
        puzzles.append(files.puzzle(split, len(puzzles), question, found.solutions[0], found.guesses))
    return {split: p if split == "train" else _spread(p, held_out) for split, p in parts.items()}


def _spread(puzzles: list[Puzzle], most: int) -> list[Puzzle]:
    """At most so many, chosen by hash: a sorted list's beginning would be puzzles of one kind."""
    chosen = sorted(puzzles, key=lambda puzzle: sha256(puzzle.input.tobytes()).digest())[:most]
    return sorted(chosen, key=lambda puzzle: puzzle.id)


if __name__ == "__main__":
    main()
