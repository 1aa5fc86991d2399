"""The picture of the README: how a network's answer to one puzzle forms. ``docs/build.py`` writes it.

Drawn from the journals of published runs, so no model runs and the picture shows what a record says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import svg

from trm_harness.journal import Entry
from trm_harness.record import RunRecord, read
from trm_harness.registry import default
from trm_harness.replay import Frame, changes, frames, single_passes, unlike
from trm_harness.solvers.sudoku import box_shape
from trm_harness.types import Grid, Puzzle

PAGE = Path(__file__).parent / "img" / "steps.svg"
RECORDS = Path(__file__).parent.parent / "leaderboards" / "records"
FAMILIES = ("sudoku", "maze")
SIDE = 150
SHOWN = 5
"""Frames beside the question, at most."""


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
    """The picture: of all right answers in the published records, the one that changed most often on its way."""
    # Of equals, the one on the most cells: a larger board shows more.
    film = max(_films(), key=lambda film: (changes(film.entry), film.puzzle.input.size))
    model, task = film.record.model, film.record.task
    words = f"{model.card}, {model.network_parameters:,} parameters, on {task.id}, puzzle {film.entry.puzzle}"
    return {PAGE: svg.sheet(_strip(film, words), words, margin=12)}


def _films() -> Iterator[Film]:
    """The liveliest right answer of each record."""
    for file in sorted(RECORDS.rglob("run.json")):
        record = read(file)
        if record.task.family not in FAMILIES or record.task.id not in default().tasks.names() or not record.model.card:
            continue
        spec = default().tasks.spec(record.task.id)
        if "repository" in spec.options:
            continue  # its puzzles lie on a hub
        task = default().tasks.resolve(spec.id)(spec, None)
        puzzles = {puzzle.id: puzzle for puzzle in task.puzzles(record.task.split)}
        films = (Film(record, entry, puzzles[entry.puzzle]) for entry in single_passes(file.parent))
        right = [film for film in films if not unlike(film.entry.row().answers[-1], film.puzzle.answer).any()]
        yield from [max(right, key=lambda film: changes(film.entry))] if right else []


def _strip(film: Film, words: str) -> svg.Drawing:
    question = film.puzzle.input
    parts = [svg.column([_grid(film, question), svg.text("puzzle", 12, svg.FAINT)]), svg.arrow()]
    for frame in film.frames:
        count = int(unlike(frame.answer, film.puzzle.answer).sum())
        caption = f"step {frame.step}: {f'{count} wrong' if count else 'right'}, halt {frame.probability:.2f}"
        parts.append(svg.column([_grid(film, frame.answer, frame), svg.text(caption, 12, svg.FAINT, width=SIDE)]))
    legend = (
        "step: supervision step; halt: the network's own probability that it is done; red: wrong cell; yellow: mended"
    )
    return svg.column([svg.text(words, 13), svg.row(parts, 14), svg.text(legend, 11, svg.FAINT)], gap=10)


def _grid(film: Film, grid: Grid, frame: Frame | None = None) -> svg.Drawing:
    question, side = film.puzzle.input, len(film.puzzle.input)
    wrong = None if frame is None else unlike(grid, film.puzzle.answer)
    mended = None if frame is None else frame.changed & ~wrong
    if film.record.task.family == "maze":
        return svg.coloured(grid, max(5, SIDE // side), svg.MAZE, wrong=wrong)
    return svg.digits(grid, SIDE // side, box_shape(side), given=question > 0, changed=mended, wrong=wrong)
