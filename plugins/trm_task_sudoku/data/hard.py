"""Hard 9x9 puzzles: one solution, no clue too many, and ratings that follow the tail of the published test set.

The rating is the published one, :func:`trm_harness.solvers.sudoku_bands.guesses`: random puzzles hardly ever need a
guess, however many dead ends a plainer solver meets in them. So a puzzle is climbed: one or two clues are taken away,
others of the same solution put in until it is the only one again, clues no longer needed go, and what is not much
easier is kept. Where nothing harder is found for long, the climb starts afresh from another grid. The puzzle is shown
through a random symmetry that gives it the rating it drew: the count until the first solution depends on the order of
the tries, as it does in the published set.

With the C version of the search (:mod:`trm_task_sudoku.native`) a puzzle takes some 25 s of one core of a small
virtual machine, which is why the split is bundled. Run by hand from a checkout:
``python -m trm_task_sudoku.data.make hard``.
"""

from __future__ import annotations

from itertools import pairwise
from math import log

import numpy as np
from numpy.typing import NDArray

from trm_harness.solvers.sudoku_bands import guesses
from trm_harness.types import Grid
from trm_task_sudoku import symmetry
from trm_task_sudoku.classes import signature, split_of
from trm_task_sudoku.generate import Drawn, full_grid
from trm_task_sudoku.native import fastest

SIZE = 9
TAIL = ((1.0, 51), (0.5, 64), (0.1, 100))
"""Share of the tail at or above a rating: 51, 64 and 100 are the published test set's 90th, 95th and 99th percentiles,
as reported at https://dhruveshp.com/xlm-core/dev/reference/xlm/tasks/sudoku_extreme/. Between them the share falls
exponentially; the hardest tenth stands at ``CEILING``.
"""
CEILING = 100
TOLERANCE = 0.05
"""How far from the rating that it drew a puzzle may be, as a share of it."""

_SPLIT = "test"
_STREAM = 3
"""After the numbers of train, validation and test: no draw is shared with theirs."""
_GOLDEN = (5**0.5 - 1) / 2
_SLACK = 0.35
_PROMISING = 0.4
_PATIENCE = 2000
_IMAGES = 100
_LOOKED_AT = 16


def draw(seed: int, index: int) -> Drawn:
    """Hard puzzle ``index`` of the stream ``seed``, its rating the published one.

    Its solution belongs to the share of grids that is kept for testing, so it is the image of no training or
    validation puzzle's.
    """
    random = np.random.default_rng([seed, _STREAM, index])
    wanted = target(seed, index)
    while True:
        answer = full_grid(SIZE, random)
        if split_of(signature(answer)) == _SPLIT:
            top = _climbed(answer, wanted, random)
            found = None if top is None else _image(top, answer, wanted, random)
            if found is not None:
                return found


def target(seed: int, index: int) -> int:
    """The rating to reach. Puzzles go through the law evenly (golden section), from a start that the seed says."""
    start = np.random.default_rng([seed, _STREAM]).random()
    return rating_of(1 - (start + index * _GOLDEN) % 1)


def rating_of(share: float) -> int:
    """The rating that ``share`` of the tail (above 0, at most 1) reaches."""
    for (more, low), (less, high) in pairwise(TAIL):
        rating = low + (high - low) * log(more / share) / log(more / less)
        if share > less:
            break
    return min(round(rating), CEILING)


def tree(question: Grid) -> int:
    """Guesses of the whole search that proves the solution the only one: no image of a puzzle rates more."""
    return fastest()(question, wanted=2).guesses


def _climbed(answer: Grid, wanted: int, random: np.random.Generator) -> Grid | None:
    """A minimal puzzle of ``answer`` whose tree is larger than ``wanted``, ``None`` where the climb comes to rest."""
    here = top = _minimal(answer, answer, random)
    size = best = tree(here)
    waited = 0
    while best <= wanted and waited < _PATIENCE:
        waited += 1
        other = _neighbour(here, answer, _PROMISING * size, random)
        found = tree(other) if other is not None else -1
        if found >= size * (1 - _SLACK * random.random()):
            here, size = other, found
        if size > best:
            top, best, waited = here, size, 0
    return top if best > wanted else None


def _image(question: Grid, answer: Grid, wanted: int, random: np.random.Generator) -> Drawn | None:
    """The puzzle through a symmetry that rates it within ``TOLERANCE`` of ``wanted``; ``None`` if none is found."""
    explore = fastest()
    margin = TOLERANCE * wanted
    for _ in range(_IMAGES):
        seen = symmetry.random(SIZE, random)
        image = seen.apply(question)
        if abs(explore(image, most=int(wanted + margin)).guesses - wanted) <= margin:
            return Drawn(image, seen.apply(answer), guesses(image))
    return None


def _neighbour(question: Grid, answer: Grid, hardest: float, random: np.random.Generator) -> Grid | None:
    """A minimal puzzle with one clue moved, or two; ``None`` where its tree stays below ``hardest`` before that."""
    changed = question.copy()
    cells = changed.ravel()
    clues = np.flatnonzero(cells)
    gone = clues[random.choice(len(clues), 1 + int(random.random() < 0.5), replace=False)]
    cells[gone] = 0
    digits, others = answer.ravel(), _others(changed, answer)
    while len(others):
        against = (others != digits).sum(0)
        elsewhere = against.copy()
        elsewhere[gone] = 0
        against = elsewhere if elsewhere.any() else against
        # The clue that most other solutions contradict leads back soon; any other leads further away.
        places = np.flatnonzero(against == against.max() if random.random() < 0.7 else against)
        index = int(places[random.integers(len(places))])
        cells[index] = digits[index]
        others = others[others[:, index] == digits[index]]
        others = others if len(others) else _others(changed, answer)
    return _minimal(changed, answer, random) if tree(changed) >= hardest else None


def _others(question: Grid, answer: Grid) -> NDArray[np.uint8]:
    """The first solutions that are not ``answer``: ``uint8 [k, 81]``."""
    found = np.array(fastest()(question, wanted=_LOOKED_AT).solutions, np.uint8).reshape(-1, SIZE * SIZE)
    return found[(found != answer.ravel()).any(1)]


def _minimal(question: Grid, answer: Grid, random: np.random.Generator) -> Grid:
    """The puzzle without the clues it does not need, tried in random order."""
    kept = question.copy()
    cells = kept.ravel()
    for cell in random.permutation(np.flatnonzero(cells)).tolist():
        if not _needed(kept.copy(), cell, answer):
            cells[cell] = 0
    return kept


def _needed(question: Grid, cell: int, answer: Grid) -> bool:
    """Whether without the clue in ``cell`` a solution with another digit there exists; ``question`` is used up."""
    question.ravel()[cell] = 0
    return bool(fastest()(question, ban=(cell, int(answer.ravel()[cell]))).solutions)
