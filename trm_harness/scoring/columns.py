"""The scores of single answers to half a million puzzles, with arrays for objects: the numbers of :mod:`assess`.

A puzzle with one answer needs no vote. Where task and puzzles come as arrays too, the journal is judged block by block,
and what is kept of a puzzle is some fifty bytes.

Two scorers stay, on purpose. :mod:`assess` is the definition: it takes any task, views, trajectories and hidden
answers, one puzzle after another, which takes more than a minute for Sudoku-Extreme's 423,000 test puzzles. This file
gives the same numbers some twenty times faster for the one case that has so many puzzles. Arrays cannot vote over
views or ask a plugin for its measures of one grid, so neither can replace the other; ``tests/test_columns.py`` holds
them equal to the last bit and byte, and the same refusals.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, compress, repeat
from operator import ne
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import Columnar, MeasuresMany
from trm_harness.errors import BadInput
from trm_harness.inference.plan import SELECTS, Selection, Work
from trm_harness.record.journal import Block, blocks, scan, text_grid, text_grids
from trm_harness.scoring.assess import Assessment, assess, candidate_line, puzzle_line, tables
from trm_harness.scoring.difficulty import Difficulty
from trm_harness.scoring.halting import Halting
from trm_harness.scoring.rules import Columns
from trm_harness.scoring.trajectories import Trajectories
from trm_harness.scoring.vote import sigmoid

_SAME = "="
_Pair = tuple[list[list[object]], list[tuple[object, ...]]]
"""A puzzle's lines of ``puzzles.csv`` and of ``candidates.csv``."""


def assess_journal(
    work: Work, path: Path, voting_views: int | None = None, out: Path | None = None, select: str | None = None
) -> Assessment:
    """:func:`~trm_harness.scoring.assess.assess` of the journal at ``path``, by columns where that is possible."""
    if not _fits(work):
        return assess(work, scan(path), voting_views, out, select)
    return _assess(work, path, out)


def _fits(work: Work) -> bool:
    single = work.views == 1 and work.plan.restarts == 1
    return single and isinstance(work.task, MeasuresMany) and isinstance(work.selection.puzzles, Columnar)


def _assess(work: Work, path: Path, out: Path | None) -> Assessment:
    found, places = _Found(len(work.selection)), _Places(work.selection)
    waiting: dict[int, _Pair] = {}
    written = 0
    with tables(work, out) as write, _uncollected():
        for block in blocks(path):
            where = places.of(block)
            judged = _judge(work, block, where, work.selection.puzzles.grids(places.indices[where]))
            found.add(block, where, judged)
            if out is not None:
                waiting.update(zip(where.tolist(), _lines(block, judged), strict=True))
                # In the selection's order, as everywhere, though a journal may have another.
                while (pair := waiting.pop(written, None)) is not None:
                    write(*pair)
                    written += 1
    if places.count != len(work.selection):
        missing = f"{places.count} of {len(work.selection)} rows"
        raise BadInput(f"the journal holds {missing}: finish the run with `eval --resume`")
    return found.assessment(work.selection)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for garbage in cycles: a block's lists have none, and it would look at each of millions."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Places:
    """Where a block's puzzles stand in the selection: nearly always the next ones, so that no table is needed.

    ``indices`` int64 ``[n]`` are the selection's own: places in the split.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection, self._puzzles = selection, selection.puzzles
        self.indices = np.asarray(selection.indices)
        self._known: dict[str, int] = {}
        self._seen = np.zeros(len(selection), bool)
        self.count = 0

    def of(self, block: Block) -> NDArray[np.int64]:
        """Places in the selection, ``int64 [n]``; ``BadInput`` for a puzzle that is not in it or comes twice."""
        begin, size = self.count, len(block)
        indices, twice = np.arange(begin, begin + size), np.zeros(size, bool)
        if self._names(begin, begin + size) != list(block.puzzles):
            indices, twice = np.array([self._look_up(name) for name in block.puzzles]), np.ones(size, bool)
            twice[np.unique(indices, return_index=True)[1]] = False
        twice |= self._seen[indices] | np.array(block.views, bool) | np.array(block.restarts, bool)
        if twice.any():
            raise BadInput(f"the journal repeats a row of puzzle {block.puzzles[int(np.argmax(twice))]}")
        self._seen[indices] = True
        self.count += size
        return indices

    def _names(self, begin: int, end: int) -> list[str]:
        return self._puzzles.names(self._selection.indices[begin:end])

    def _look_up(self, name: str) -> int:
        if not self._known:
            self._known = {name: index for index, name in enumerate(self._names(0, len(self._selection)))}
        if name not in self._known:
            raise BadInput(f"the journal holds puzzle {name}, which this run did not select")
        return self._known[name]


@dataclass(frozen=True, eq=False)
class _Judged:
    """A block's answers. ``right`` bool holds every row's steps one after the other, ``begins`` ``[n + 1]`` where each
    row begins; ``last`` are the final texts, ``measures`` float64 ``[n]`` what the task says of them.
    """

    begins: NDArray[np.int64]
    right: NDArray[np.bool_]
    last: list[str | None]
    measures: dict[str, NDArray[np.float64]]

    @property
    def final(self) -> NDArray[np.bool_]:
        """Whether the final answers are right, bool ``[n]``."""
        return self.right[self.begins[1:] - 1]

    def steps_of(self, row: int) -> NDArray[np.bool_]:
        """Whether each step's answer of a row was right."""
        return self.right[self.begins[row] : self.begins[row + 1]]


def _judge(
    work: Work, block: Block, places: NDArray[np.int64], grids: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> _Judged:
    """Every step's answer compared, the last one measured; ``grids`` are the puzzles' questions and answers."""
    begins = np.concatenate([[0], np.cumsum(np.fromiter(map(len, block.answers), np.int64))])
    if (lacking := np.diff(begins) != block.steps).any():
        raise BadInput(f"the journal lacks steps of puzzle {block.puzzles[int(np.argmax(lacking))]}: restore it")
    every = list(chain.from_iterable(block.answers))
    # Nearly all steps repeat the one before, in one character.
    fresh = np.fromiter(map(ne, every, repeat(_SAME)), bool, len(every))
    texts, which = list(compress(every, fresh)), np.cumsum(fresh) - 1
    questions, answers = grids
    given, alike = text_grids(texts, answers.shape[1:])
    rows = np.repeat(np.arange(len(block)), np.diff(begins))[fresh]
    right = np.zeros(len(texts), bool)
    right[alike] = (given == answers[rows[alike]]).all(axis=(1, 2))
    finals = which[begins[1:] - 1]
    last = [texts[index] for index in finals.tolist()]
    # The grid of every row's final answer, where it has one of the puzzles' shape.
    grid_of = np.full(len(texts), -1)
    grid_of[alike] = np.arange(len(alike))
    shaped = grid_of[finals] >= 0
    measures = work.task.measures_of(questions[shaped], answers[shaped], given[grid_of[finals[shaped]]])
    if not shaped.all():
        measures = _completed(work, places, last, shaped, measures)
    return _Judged(begins, right[which], last, measures)


def _completed(
    work: Work,
    places: NDArray[np.int64],
    last: list[str | None],
    shaped: NDArray[np.bool_],
    measures: dict[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """``measures`` of the rows that are ``shaped``, with those of the others between them."""
    whole = {name: np.empty(len(last)) for name in measures}
    for name, values in measures.items():
        whole[name][shaped] = values
    for row in np.flatnonzero(~shaped).tolist():
        text = last[row]
        told = work.task.measures(work.selection[int(places[row])], None if text is None else text_grid(text))
        for name in whole:
            whole[name][row] = told[name]
    return whole


@dataclass
class _Found:
    """What is kept of every puzzle, by its place; ``correct`` counts right answers by a pass's length and step."""

    size: int
    measures: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    correct: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    work: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.right, self.attempted = (np.zeros(self.size, bool) for _ in range(2))
        self.steps, self.halts = np.zeros(self.size, np.int32), np.zeros(self.size)
        self.halting = Halting()

    def add(self, block: Block, indices: NDArray[np.int64], judged: _Judged) -> None:
        """Count a block in."""
        self.right[indices] = judged.final
        self.attempted[indices] = [text is not None for text in judged.last]
        self.steps[indices] = block.steps
        self.halts[indices] = block.halts[judged.begins[1:] - 1]
        for name, values in judged.measures.items():
            self.measures.setdefault(name, np.zeros(self.size))[indices] = values
        for length in np.unique(block.lengths).tolist():
            self.work[length] += int(block.steps[block.lengths == length].sum())
        for steps in np.unique(block.steps).tolist():
            at = judged.begins[:-1][block.steps == steps][:, None] + np.arange(steps)
            right = judged.right[at]
            self.halting.count(block.halts[at].astype(np.float64), right)
            self.correct[steps] = self.correct.get(steps, 0) + right.sum(axis=0)

    def assessment(self, selection: Selection) -> Assessment:
        """The sums, as if puzzle after puzzle had been added in the selection's order."""
        outcomes = Columns(self.right.astype(np.int64), self.attempted)
        self.halting.steps, self.halting.halts, self.halting.exact = self.steps, self.halts, self.right
        # One after the other, which makes the sums those of the other way to the last bit.
        sums = {name: float(np.cumsum(values)[-1]) for name, values in self.measures.items()}
        longest = max(self.correct)
        deep = [np.pad(right, (0, longest - len(right)), mode="edge") for right in self.correct.values()]
        facts = {name: fact[np.asarray(selection.indices)] for name, fact in selection.puzzles.facts.items()}
        return Assessment(
            chosen=dict.fromkeys(SELECTS, outcomes),
            single=outcomes,
            measures=Counter(sums),
            right_at=sum(deep).tolist(),
            halting=self.halting,
            trajectories=Trajectories(),
            difficulty=Difficulty(facts, dict.fromkeys(facts, self.right)),
            work=self.work,
        )


def _lines(block: Block, judged: _Judged) -> Iterator[_Pair]:
    """A block's lines of both tables, row by row."""
    measures = zip(*(values.tolist() for values in judged.measures.values()), strict=True)
    halts, scores = block.halts.tolist(), sigmoid(block.halts[judged.begins[1:] - 1].astype(np.float64)).tolist()
    for row, (name, text, measured) in enumerate(zip(block.puzzles, judged.last, measures, strict=True)):
        right, own = judged.steps_of(row), halts[judged.begins[row] : judged.begins[row + 1]]
        answered = int(text is not None)
        line = puzzle_line(name, name, (answered, 1 if right[-1] else "", answered, answered), right.tolist(), own)
        peak = own[-1] if own[-1] == own[-1] else -np.inf
        candidate = candidate_line(name, 1, (1, scores[row], 0), int(right[-1]), text, peak)
        yield [line + list(measured)], [candidate][:answered]
