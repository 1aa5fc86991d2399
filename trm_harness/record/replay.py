"""One puzzle's answer, supervision step by supervision step, as the journal holds it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import UnknownName
from trm_harness.files.names import JOURNAL_FILE, PUZZLES_FILE
from trm_harness.record.journal import Entry, scan
from trm_harness.types import Grid

Cells = NDArray[np.bool_]
"""``bool [height, width]``: the cells of a grid that something holds for."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The answer after supervision step ``step`` (counted from 1); ``None`` is no answer.

    ``halt`` is the halting logit. ``changed`` marks the cells that differ from the frame before: none in the first
    frame, all where the size of the grid changed.
    """

    step: int
    answer: Grid | None
    halt: float
    changed: Cells

    @property
    def probability(self) -> float:
        """Halting probability: the sigmoid of the logit; not a number stays one."""
        # The two branches never overflow, whatever the logit.
        if self.halt >= 0:
            return 1 / (1 + math.exp(-self.halt))
        return math.exp(self.halt) / (1 + math.exp(self.halt)) if self.halt < 0 else math.nan


@dataclass(frozen=True, eq=False)
class Reel:
    """A puzzle's frames with what is known of it: its input and its answer, where the task's data are at hand."""

    puzzle: str
    title: str
    frames: tuple[Frame, ...]
    input: Grid | None = None
    answer: Grid | None = None

    @property
    def final(self) -> Grid | None:
        """The last answer."""
        return self.frames[-1].answer

    @property
    def wrong(self) -> Cells | None:
        """The wrong cells of the last answer; ``None`` where nobody here knows the right one."""
        return None if self.answer is None else unlike(self.final, self.answer)

    @property
    def verdict(self) -> str:
        """What became of the puzzle, in words; empty where nobody here knows."""
        if self.answer is None:
            return ""
        if self.final is None:
            return "no answer"
        if self.final.shape != self.answer.shape:
            ours, right = ("x".join(map(str, grid.shape)) for grid in (self.final, self.answer))
            return f"wrong: its size is {ours}, not {right}"
        count = int(self.wrong.sum())
        return f"wrong: {count} of {self.answer.size} cells" if count else "right"

    def status(self, place: int) -> tuple[str, str]:
        """Two lines: the step and the halting probability; what changed, and at the end what became of the puzzle."""
        frame, last = self.frames[place], self.frames[-1]
        count = int(frame.changed.sum())
        parts = [f"{count} cell{'s' * (count != 1)} changed{' (*)' if count else ''}"] if place else ["first answer"]
        if frame is last and self.verdict:
            parts.append(f"{self.verdict}{' (!)' if self.wrong.any() else ''}")
        return f"step {frame.step} of {last.step}, halting probability {frame.probability:.3f}", ", ".join(parts)

    def marks(self, place: int) -> NDArray[np.str_]:
        """A sign for each cell of a frame: ``!`` wrong (last frame only), ``*`` changed, else a space."""
        frame = self.frames[place]
        last = place == len(self.frames) - 1 and self.wrong is not None
        return marked(frame.changed.shape, self.wrong if last else None, frame.changed)


def frames(entry: Entry) -> tuple[Frame, ...]:
    """The kept steps of a journal row, in order; the last one is the final answer."""
    row = entry.row()
    first = row.steps - len(row.answers)
    return tuple(
        Frame(
            step=first + index + 1,
            answer=answer,
            halt=row.halts[first + index],
            changed=unlike(answer, row.answers[index - 1] if index else answer),
        )
        for index, answer in enumerate(row.answers)
    )


def unlike(answer: Grid | None, other: Grid | None) -> Cells:
    """Cells of ``answer`` that differ from ``other``: all of them where the shapes differ or there is no other."""
    if answer is None:
        return np.zeros((0, 0), dtype=bool)
    if other is None or other.shape != answer.shape:
        return np.ones(answer.shape, dtype=bool)
    return np.asarray(answer != other)


def marked(shape: tuple[int, ...], wrong: Cells | None = None, changed: Cells | None = None) -> NDArray[np.str_]:
    """Signs ``[height, width]`` for the cells of a grid: ``!`` wrong, else ``*`` changed, else a space."""
    signs = np.full(shape, " ")
    for cells, sign in ((changed, "*"), (wrong, "!")):
        if cells is not None:
            signs[cells] = sign
    return signs


def changes(entry: Entry) -> int:
    """How often the answer of a row changed from one kept step to the next."""
    return sum(now != before for before, now in zip(entry.answers, entry.answers[1:], strict=False))


def single_passes(folder: Path) -> Iterator[Entry]:
    """The rows of a run whose every step is kept: each puzzle as it stands, first restart. ``BadInput`` as ``scan``."""
    return (entry for entry in scan(folder / JOURNAL_FILE) if entry.view == 0 and entry.restart == 0)


def find(folder: Path, puzzle: str) -> Entry:
    """The single pass of ``puzzle``; ``UnknownName`` if the journal in ``folder`` has none."""
    for entry in single_passes(folder):
        if entry.puzzle == puzzle:
            return entry
    raise UnknownName(f"{folder / JOURNAL_FILE} has no puzzle {puzzle!r}: {folder / PUZZLES_FILE} lists those it has")


def liveliest(folder: Path) -> Entry:
    """The first single pass whose answer changed most often; ``UnknownName`` for a journal without rows."""
    best = max(single_passes(folder), key=changes, default=None)
    if best is None:
        raise UnknownName(f"{folder / JOURNAL_FILE} holds no answers yet")
    return best
