"""The pictures of the README: how a recursive network's answer to one puzzle forms. ``docs/build.py`` writes them.

Drawn from the journals of published runs, so no model runs and the picture shows what a record says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import svg

from trm_harness.record import RunRecord, read
from trm_harness.record.journal import Entry
from trm_harness.record.replay import Frame, changes, frames, single_passes, unlike
from trm_harness.registry import default
from trm_harness.solvers.sudoku import box_shape
from trm_harness.types import Grid, Puzzle

IMAGES = Path(__file__).parent / "img"
RECORDS = Path(__file__).parent.parent / "leaderboards" / "records"
PICTURES = {"sudoku": ("steps.svg", 6), "maze": ("maze.svg", 30)}
"""Family of tasks -> picture and most rows of a board: at a phone's width larger digits cannot be read."""
SIDE = 168
SHOWN = 3
"""Frames beside the question, at most: two rows of two."""


@dataclass(frozen=True)
class Film:
    """One puzzle of one run, step by step."""

    record: RunRecord
    entry: Entry
    puzzle: Puzzle

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The first answer, those that differ from the one before, and the last; the first and last few of many."""
        film = frames(self.entry)
        told = [frame for frame in film if frame in (film[0], film[-1]) or frame.changed.any()]
        return tuple(told if len(told) <= SHOWN else [*told[: SHOWN - 2], *told[-2:]])


def pages() -> dict[Path, str]:
    """A picture a family: of all right answers of recursive networks on its largest boards, the liveliest."""
    best: dict[str, Film] = {}
    for film in _films():
        family = film.record.task.family
        best[family] = max(best.get(family, film), film, key=_shows)
    return {IMAGES / PICTURES[family][0]: _picture(film) for family, film in best.items()}


def _shows(film: Film) -> tuple[int, int]:
    return film.puzzle.input.size, changes(film.entry)


def _picture(film: Film) -> str:
    model, task = film.record.model, film.record.task
    words = f"{model.card}, {model.network_parameters:,} parameters, on {task.id}, puzzle {film.entry.puzzle}"
    return svg.sheet(_strip(film), words, margin=10)


def _films() -> Iterator[Film]:
    """The liveliest right answer of each record."""
    for file in sorted(RECORDS.rglob("run.json")):
        record = read(file)
        wanted = record.task.family in PICTURES and record.model.family == "recursive" and record.model.card
        if not wanted or record.task.id not in default().tasks.names():
            continue
        spec = default().tasks.spec(record.task.id)
        if "repository" in spec.options:
            continue  # its puzzles lie on a hub
        task = default().task(spec.id)
        puzzles = {puzzle.id: puzzle for puzzle in task.puzzles(record.task.split)}
        films = (Film(record, entry, puzzles[entry.puzzle]) for entry in single_passes(file.parent))
        right = [
            film
            for film in films
            if len(film.puzzle.input) <= PICTURES[record.task.family][1]
            and not unlike(film.entry.row().answers[-1], film.puzzle.answer).any()
        ]
        yield from [max(right, key=_shows)] if right else []


def _strip(film: Film) -> svg.Drawing:
    """Question and answers in rows of two, narrow enough for a phone."""
    question, model = film.puzzle.input, film.record.model
    parts = [svg.column([_grid(film, question), svg.text("puzzle", 13, svg.FAINT, width=SIDE)])]
    for frame in film.frames:
        count = int(unlike(frame.answer, film.puzzle.answer).sum())
        caption = f"step {frame.step}: {f'{count} wrong' if count else 'right'}, halt {frame.probability:.2f}"
        parts.append(svg.column([_grid(film, frame.answer, frame), svg.text(caption, 13, svg.FAINT, width=SIDE)]))
    rows = [svg.row(parts[place : place + 2], 16) for place in range(0, len(parts), 2)]
    head = svg.text(f"{model.card}, {model.network_parameters:,} parameters", 13, width=2 * SIDE + 16)
    colours = (
        "green: start, red: goal, red frame: wrong"
        if film.record.task.family == "maze"
        else "red: wrong cell, yellow: mended"
    )
    legend = ("halt: its own probability that it is done", colours)
    return svg.column([head, *rows, *(svg.text(line, 12, svg.FAINT) for line in legend)], gap=8)


def _grid(film: Film, grid: Grid, frame: Frame | None = None) -> svg.Drawing:
    question, side = film.puzzle.input, len(film.puzzle.input)
    wrong = None if frame is None else unlike(grid, film.puzzle.answer)
    mended = None if frame is None else frame.changed & ~wrong
    if film.record.task.family == "maze":
        return svg.coloured(grid, max(5, SIDE // side), svg.MAZE, wrong=wrong)
    return svg.digits(grid, SIDE // side, box_shape(side), given=question > 0, changed=mended, wrong=wrong)
