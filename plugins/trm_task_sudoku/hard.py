"""Hard 9x9 puzzles: one solution, no clue too many, and far more dead ends than random puzzles have.

Random puzzles are easy: of minimal ones by digging one in a hundred rates 16 or more. So a puzzle is climbed: one clue
is taken away and others of the same solution put in until it is the only one again, clues no longer needed go, and
whatever rates no lower stays. Where nothing better is found for long, the climb starts afresh from another grid.
12 s a puzzle on one core of a small virtual machine (half of them under 7 s), which is why the split is bundled.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from trm_harness.solvers.sudoku import Board, Search, prove
from trm_harness.types import Grid
from trm_task_sudoku.classes import signature, split_of
from trm_task_sudoku.generate import Drawn, dig, full_grid

SIZE = 9
FLOOR = 51
EXCESS = 20.0
CEILING = 150
"""Every puzzle draws the rating that it must reach: ``FLOOR`` and an exponential excess of mean ``EXCESS``.

Ratings of the published test set are reported as 51 at its 90th percentile, 64 at the 95th and 100 at the 99th (at
https://dhruveshp.com/xlm-core/dev/reference/xlm/tasks/sudoku_extreme/): beyond 51 they thin out about like that. But a
number here is not the same number there. Here dead ends of a search with singles are counted, there the guesses of a
solver that knows more (:func:`trm_harness.solvers.sudoku_bands.guesses`); by that count half of the bundled puzzles
rate 2 or less, 11 of the 50 rate 0 and the hardest 40. A puzzle that passes its draw is kept as it is, so the bundled
ones lie above the law: half of them rate 88 dead ends or more.
"""

_SPLIT = "test"
_STREAM = 3
"""After the numbers of train, validation and test: no draw is shared with theirs."""
_FEWEST = 17
_PATIENCE = 120
_PROMISING = 0.5
_LOOKED_AT = 16


def draw(seed: int, index: int) -> Drawn:
    """Hard puzzle ``index`` of the stream ``seed``.

    Its solution belongs to the share of grids that is kept for testing, so it is the image of no training or
    validation puzzle.
    """
    random = np.random.default_rng([seed, _STREAM, index])
    target = min(FLOOR + int(random.exponential(EXCESS)), CEILING)
    while True:
        answer = full_grid(SIZE, random)
        if split_of(signature(answer)) == _SPLIT:
            found = _climbed(answer, target, random)
            if found is not None:
                return found


def is_minimal(question: Grid, answer: Grid) -> bool:
    """Whether every clue of a puzzle with the one solution ``answer`` is needed for that."""
    cells = question.ravel()
    return all(_needed(cells.copy(), cell, answer) for cell in np.flatnonzero(cells).tolist())


def _climbed(answer: Grid, target: int, random: np.random.Generator) -> Drawn | None:
    """A minimal puzzle of ``answer`` that rates ``target`` or more, ``None`` where the climb ends below it."""
    question = dig(answer, _FEWEST, random)
    rating, waited = prove(question).dead_ends, 0
    while rating < target and waited < _PATIENCE:
        waited += 1
        other = _swapped(question, answer, random)
        # Most swaps spoil a puzzle; to see that, clues too many need not be taken out first.
        if prove(other).dead_ends < _PROMISING * rating:
            continue
        other = _minimal(other, answer, random)
        found = prove(other).dead_ends
        if found >= rating:
            waited = 0 if found > rating else waited
            question, rating = other, found
    return Drawn(question, answer, rating) if rating >= target else None


def _swapped(question: Grid, answer: Grid, random: np.random.Generator) -> Grid:
    """The puzzle without one clue, and with new ones that most of the other solutions contradict."""
    changed = question.copy()
    cells, digits = changed.ravel(), answer.ravel()
    gone = int(random.choice(np.flatnonzero(cells)))
    cells[gone] = 0
    while True:
        against = _contradicted(changed, answer)
        if not against.any():
            return changed
        against[gone] = 0
        places = np.flatnonzero(against == against.max()) if against.any() else [gone]
        place = int(random.choice(places))
        cells[place] = digits[place]


def _contradicted(question: Grid, answer: Grid) -> NDArray[np.int64]:
    """How many of the first other solutions differ from ``answer`` in each cell: ``int64 [81]``."""
    board = Board.of(SIZE)
    found = islice(board.search(board.place(question), Search()), _LOOKED_AT)
    return np.sum([(board.grid(state) != answer).ravel() for state in found], axis=0)


def _minimal(question: Grid, answer: Grid, random: np.random.Generator) -> Grid:
    """The puzzle without the clues it does not need, tried in random order."""
    kept = question.copy()
    cells = kept.ravel()
    for cell in random.permutation(np.flatnonzero(cells)).tolist():
        if not _needed(cells.copy(), cell, answer):
            cells[cell] = 0
    return kept


def _needed(cells: NDArray[np.uint8], cell: int, answer: Grid) -> bool:
    """Whether without the clue in ``cell`` a solution with another digit there exists; ``cells`` is used up."""
    cells[cell] = 0
    board = Board.of(SIZE)
    digit = int(answer.ravel()[cell])
    # Forbidding the digit spares the search the solution that is known already.
    state = board.place(cells.reshape(SIZE, SIZE)) & ~(1 << ((digit - 1) * SIZE * SIZE + cell))
    return next(board.search(state, Search()), None) is not None
