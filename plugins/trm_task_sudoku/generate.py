"""Making puzzles: a function of (split, seed, index) alone, the same in every process.

4x4 puzzles come from the complete list of :mod:`trm_task_sudoku.shidoku`. Larger boards start from a random full grid
and lose clues in random order for as long as the solution stays the only one. A draw that belongs to another split is
thrown away, so no seed can bring a test puzzle into training. Measured on one core of a small EPYC virtual machine:
20,000 training puzzles a second for 4x4, 450 for 6x6 and 160 for 9x9, or 370 after the first hundred where there is a
C compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.solvers.sudoku import Search, box_shape, is_unique, prove, solutions
from trm_harness.types import Grid
from trm_task_sudoku import SPLITS, native, shidoku, symmetry
from trm_task_sudoku.classes import canonical, signature, split_of

_ASKED = count()
_REPAYS = 3000
"""Searches in Python that take about as long as compiling takes: a hundred 9x9 puzzles."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A puzzle ``uint8 [n, n]``, its only solution, and its rating: dead ends of the search that proves it unique."""

    question: Grid
    answer: Grid
    rating: int


@dataclass(frozen=True, eq=False)
class Recipe:
    """What to make: board size, range of clues, what splits may not share, and how many puzzles each split lists."""

    size: int
    givens: tuple[int, int]
    disjoint_by: str
    counts: Mapping[str, int]

    @property
    def listed(self) -> bool:
        """Whether there are so few puzzles that all of them are listed."""
        return self.size == shidoku.SIZE

    @staticmethod
    def of(options: Mapping[str, Any]) -> Recipe:
        """The recipe in a task spec's options."""
        low, high = options["givens"]
        counts = {split: int(options[f"{split}_size"]) for split in SPLITS}
        return Recipe(int(options["size"]), (int(low), int(high)), str(options["disjoint_by"]), counts)


def draw(recipe: Recipe, split: str, seed: int, index: int) -> Drawn:
    """Puzzle ``index`` of the stream ``seed`` of ``split``; both are not negative and have no upper end."""
    random = np.random.default_rng([seed, SPLITS.index(split), index])
    if recipe.listed:
        question, answer = _listed(recipe, split, index, random)
    else:
        question, answer = _dug(recipe, split, random)
    return rated(question, answer)


def rated(question: Grid, answer: Grid) -> Drawn:
    """The puzzle with its rating; ``BadInput`` unless ``answer`` is its one solution."""
    proof = prove(question)
    if proof is None or not proof.unique or not np.array_equal(proof.grid, answer):
        raise BadInput("a Sudoku must have exactly the solution given with it: correct the question or the answer")
    return Drawn(question, answer, proof.dead_ends)


def listed(recipe: Recipe, split: str) -> tuple[tuple[bytes, int], ...]:
    """The essentially different 4x4 puzzles of ``split``: first the test set, then validation, then train."""
    puzzles = shidoku.essential_puzzles(recipe.givens)
    test, validation = recipe.counts["test"], recipe.counts["validation"]
    cuts = {"test": slice(test), "validation": slice(test, test + validation), "train": slice(test + validation, None)}
    return puzzles[cuts[split]]


def full_grid(size: int, random: np.random.Generator) -> Grid:
    """A random full grid ``uint8 [n, n]``; every grid can come, though not all equally often."""
    height, width = box_shape(size)
    while True:
        # Boxes on the diagonal share no line, so they can be filled outright; the search is left with the rest.
        start = np.zeros((size, size), np.uint8)
        for box in range(min(height, width)):
            digits = random.permutation(size).reshape(height, width) + 1
            start[box * height : (box + 1) * height, box * width : (box + 1) * width] = digits
        grid = next(solutions(start, Search(random)), None)
        if grid is not None:
            return grid


def dig(answer: Grid, givens: int, random: np.random.Generator) -> Grid:
    """``answer`` with clues taken out in random order while it stays the only solution, down to ``givens`` of them.

    Ends with more where every clue left is needed. Clues go several at a time, fewer after every refusal: most of
    the first half goes in one step, which saves about two thirds of the searches.
    """
    question = answer.copy()
    cells, waiting = question.ravel(), random.permutation(answer.size).tolist()
    left, stride = answer.size, max(1, answer.size * 4 // 9)
    while waiting and left > givens:
        taken = waiting[: min(stride, left - givens)]
        cells[taken] = 0
        if _is_unique(question):
            left -= len(taken)
        else:
            cells[taken] = answer.ravel()[taken]
            if len(taken) > 1:
                stride = len(taken) // 2
                continue
        # A clue refused on its own is needed for good: with fewer clues there are only more solutions.
        del waiting[: len(taken)]
    return question


def _is_unique(question: Grid) -> bool:
    """Whether ``question`` has exactly one solution: asked of C once there are enough to repay a compiler's second."""
    if question.shape[0] != native.SIZE or next(_ASKED) < _REPAYS or native.compiled() is None:
        return is_unique(question)
    return len(native.compiled()(question, wanted=2).solutions) == 1


def _listed(recipe: Recipe, split: str, index: int, random: np.random.Generator) -> tuple[Grid, Grid]:
    """Entry ``index`` of the split's list, round and round, each time through another random symmetry."""
    own = listed(recipe, split)
    moved = symmetry.random(recipe.size, random)
    question, answer = shidoku.boards(own[index % len(own)])
    return moved.apply(question), moved.apply(answer)


def _dug(recipe: Recipe, split: str, random: np.random.Generator) -> tuple[Grid, Grid]:
    while True:
        answer = full_grid(recipe.size, random)
        if recipe.disjoint_by == "solution" and split_of(signature(answer)) != split:
            continue
        question = dig(answer, int(random.integers(recipe.givens[0], recipe.givens[1] + 1)), random)
        if recipe.disjoint_by == "solution" or split_of(canonical(question)) == split:
            return question, answer
