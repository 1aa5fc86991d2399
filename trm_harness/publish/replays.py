"""The steps of a few puzzles of a run, which the site's viewer plays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trm_harness.contracts import Task
from trm_harness.evaluate import verdicts
from trm_harness.leaderboard.archive import fitting, have_steps
from trm_harness.record import replay
from trm_harness.record.journal import grid_text
from trm_harness.scoring.assess import Verdict

MOST_FILMS = 12
FILM_BYTES = {False: 5_000, True: 14_000}
"""Of all films that are kept of a run, of one step and of several."""


def films(folder: Path, task: Task) -> Iterator[dict[str, Any]]:
    """Steps of a few puzzles for the viewer: right and wrong ones by turns, those that changed most first."""
    judged = [verdict for verdict in verdicts(folder, task) if not verdict.hidden]
    judged.sort(key=lambda verdict: (-replay.changes(verdict.single), verdict.puzzle.id))
    right = [verdict for verdict in judged if verdict.right_at[-1]]
    wrong = [verdict for verdict in judged if not verdict.right_at[-1]]
    turns = [verdict for pair in zip(right, wrong, strict=False) for verdict in pair]
    rest = [*right[len(wrong) :], *wrong[len(right) :]]
    made = [_film(verdict) for verdict in [*turns, *rest][: 4 * MOST_FILMS]]
    yield from fitting(made, FILM_BYTES[have_steps(made)], MOST_FILMS)


def strange(folder: Path, task: Task, stored: Sequence[Any]) -> list[str]:
    """Puzzles of stored films that do not show what the run answered. Any choice of puzzles is allowed."""
    told = {film.get("puzzle"): film for film in stored}
    found = {
        verdict.puzzle.id: json.loads(json.dumps(_film(verdict)))
        for verdict in verdicts(folder, task, told.keys())
        if not verdict.hidden
    }
    return [str(name) for name, film in told.items() if found.get(name) != film]


def _film(verdict: Verdict) -> dict[str, Any]:
    """A puzzle's single pass: its answer after every step, ``=`` for the one before."""
    puzzle, texts = verdict.puzzle, verdict.single.answers
    kept = [("=" if index and text == texts[index - 1] else text) for index, text in enumerate(texts)]
    return {
        "puzzle": puzzle.id,
        "right": verdict.right_at[-1],
        "demonstrations": [[grid_text(grid) for grid in pair] for pair in puzzle.demonstrations],
        "input": grid_text(puzzle.input),
        "answer": grid_text(puzzle.answer),
        "frames": kept,
        "halts": [float(f"{halt:.4g}") for halt in verdict.single.halts],
        "first": verdict.single.steps - len(texts) + 1,
    }
