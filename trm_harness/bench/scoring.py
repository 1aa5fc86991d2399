"""Writing a journal and scoring it, without a model: what is left of an evaluation when answers cost nothing.

The puzzles are the task's own, repeated under new names where more are wanted than it has; the answers are made up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from trm_harness import machine
from trm_harness.bench.clock import by_turns
from trm_harness.bench.machine import describe
from trm_harness.contracts import Columnar, MeasuresMany, Task
from trm_harness.errors import BadInput
from trm_harness.inference.plan import Budget, InferencePlan, Selection, Work, count_views
from trm_harness.inference.plan_file import WINDOW
from trm_harness.progress import say
from trm_harness.record import JOURNAL_FILE
from trm_harness.record.journal import Journal, Row
from trm_harness.registry import default
from trm_harness.scoring.columns import assess_journal
from trm_harness.types import Grid, Puzzle

SHARES = (0.25, 0.5, 1.0)
"""Of the puzzles asked for, each measured: what is linear shows."""

_RIGHT = 0.6
_TOGETHER = 512
_PLENTY = Budget(1e9, 1e9, _TOGETHER)


@dataclass(frozen=True)
class Question:
    """What to score: ``puzzles`` of ``task`` (0: its whole split), ``views`` of each, answers of ``steps`` steps."""

    task: str
    split: str | None
    data: Path | None
    puzzles: int
    views: int
    steps: int
    repeats: int


def bench(question: Question) -> dict[str, Any]:
    """Rows written and scored a second, and this process's peak memory, for a quarter, half and all, JSON-ready.

    ``BadInput`` for a split whose answers are hidden, or one with no puzzles.
    """
    registry = default()
    task = registry.task(question.task, question.data)
    split = question.split or task.spec.default_split
    plan = InferencePlan(split, augment=question.views)
    plan.check(task)
    own = task.puzzles(split)
    if not len(own) or own[0].answer is None:
        raise BadInput(f"split '{split}' of {question.task} has no answers to score by: choose another with --split")
    wanted = question.puzzles or len(own)
    counts = sorted({max(1, int(wanted * share)) for share in SHARES})
    return {
        "bench": "score",
        "task": question.task,
        "split": split,
        "puzzles_of_its_own": len(own),
        "views": question.views,
        "steps": question.steps,
        "rows": [_measured(work_of(task, plan, repeated(task, own, count)), question) for count in counts],
        "machine": describe("cpu"),
    }


def work_of(task: Task, plan: InferencePlan, puzzles: Sequence[Puzzle]) -> Work:
    """What the evaluator would ask of ``puzzles``."""
    selection = Selection(puzzles, range(len(puzzles)), len(puzzles))
    return Work(task, selection, plan, count_views(task, selection, plan), WINDOW, _PLENTY)


def _measured(work: Work, question: Question) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / JOURNAL_FILE
        say(f"writing {work.total:,} made-up answers")
        began = time.perf_counter()
        write(path, work, question.steps)
        written = time.perf_counter() - began
        timing = by_turns({"score": lambda: assess_journal(work, path)}, question.repeats)["score"]
        size = path.stat().st_size
    return {
        "puzzles": len(work.selection),
        "rows": work.total,
        "journal_bytes": size,
        "written_s": written,
        **timing.as_dict(),
        "rows_per_s": work.total / timing.median,
        "peak_memory_bytes": machine.peak_memory("cpu"),
    }


def write(path: Path, work: Work, steps: int) -> None:
    """A journal of made-up answers to everything that ``work`` asks."""
    rows = _rows(work, steps)
    with Journal(path) as journal:
        while together := list(islice(rows, _TOGETHER)):
            journal.append(together)


def _rows(work: Work, steps: int) -> Iterator[Row]:
    """Answers that settle at some step, most of them on the right one and the others one cell off it."""
    random = np.random.default_rng(0)
    for item in work.items():
        puzzle = work.selection[item.place]
        first = _off(puzzle.answer, random)
        last = puzzle.answer if random.random() < _RIGHT else first
        settled = int(random.integers(steps))
        halts = tuple(random.normal(size=steps).astype(np.float32).tolist())
        answers = (first,) * settled + (last,) * (steps - settled)
        yield Row(puzzle.id, item.view, item.transform, item.restart, answers, halts, steps, puzzle.answer.size)


def _off(answer: Grid, random: np.random.Generator) -> Grid:
    """``answer`` with one cell changed: many different wrong ones for a vote to hold apart."""
    other = answer.copy()
    other.flat[random.integers(answer.size)] += np.uint8(random.integers(1, 9))
    return np.where(other > 9, other - 9, other).astype(np.uint8)


def repeated(task: Task, own: Sequence[Puzzle], count: int) -> Sequence[Puzzle]:
    """``count`` puzzles: ``own`` over and over, as arrays where the task scores by them."""
    if not isinstance(task, MeasuresMany):
        return Repeated(own, count)
    if not isinstance(own, Columnar):
        # What is generated when looked at is not looked at without need.
        own = list(islice(own, count))
        shapes = {puzzle.answer.shape for puzzle in own if puzzle.answer is not None}
        if len(shapes) > 1 or len({puzzle.group for puzzle in own}) < len(own):
            return Repeated(own, count)
    return RepeatedColumns(own, count)


class Repeated(Sequence[Puzzle]):
    """The puzzles of a sequence over and over, ``count`` in all, each time around under names of their own."""

    def __init__(self, own: Sequence[Puzzle], count: int) -> None:
        self._own, self._count = own, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Puzzle: ...
    @overload
    def __getitem__(self, index: slice) -> list[Puzzle]: ...
    def __getitem__(self, index: int | slice) -> Puzzle | list[Puzzle]:
        if isinstance(index, slice):
            return [self[place] for place in range(self._count)[index]]
        turn, place = divmod(range(self._count)[index], len(self._own))
        puzzle = self._own[place]
        return replace(puzzle, id=f"{puzzle.id}~{turn}", group=f"{puzzle.group}~{turn}") if turn else puzzle


class RepeatedColumns(Repeated):
    """The same with :class:`~trm_harness.contracts.Columnar`: puzzles of one shape, each alone in its group."""

    def __init__(self, own: Sequence[Puzzle], count: int) -> None:
        super().__init__(own, count)
        self._ids, self._grids, facts = _arrays(own)
        around = np.arange(count) % len(own)
        self.facts: Mapping[str, NDArray[Any]] = {name: fact[around] for name, fact in facts.items()}

    def names(self, places: Sequence[int]) -> list[str]:
        """Ids of the puzzles at ``places``."""
        turns = (divmod(index, len(self._ids)) for index in places)
        return [f"{self._ids[index]}~{turn}" if turn else self._ids[index] for turn, index in turns]

    def grids(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Questions and answers, ``uint8 [places, height, width]`` each."""
        chosen = self._grids[np.asarray(places) % len(self._ids)]
        return chosen[:, 0], chosen[:, 1]


def _arrays(own: Sequence[Puzzle]) -> tuple[list[str], NDArray[np.uint8], Mapping[str, NDArray[Any]]]:
    """Ids, grids ``uint8 [n, 2, height, width]`` (question, answer) and the numbers among the facts."""
    if isinstance(own, Columnar):
        return own.names(range(len(own))), np.stack(own.grids(np.arange(len(own))), axis=1), own.facts
    numbers = [name for name, fact in own[0].facts.items() if isinstance(fact, int | float)]
    facts = {name: np.array([puzzle.facts[name] for puzzle in own]) for name in numbers}
    return [puzzle.id for puzzle in own], np.stack([[puzzle.input, puzzle.answer] for puzzle in own]), facts
