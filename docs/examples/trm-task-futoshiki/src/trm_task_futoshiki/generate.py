"""Making puzzles: a function of (split, seed, index) alone.

There are 576 Latin squares of side 4, so whether clues leave one of them is a look at a table. A puzzle starts with
every digit and sign of a random square and loses clues in random order while that square stays the only one.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from trm_harness.types import Grid
from trm_task_futoshiki import SIZE
from trm_task_futoshiki.board import canonical, empty, places

SPLITS = ("train", "validation", "test")
FEWEST, MOST = 5, 12
"""Clues, digits and signs together, that a puzzle is dug down to if it can be."""


@cache
def squares() -> NDArray[np.uint8]:
    """All Latin squares, ``uint8 [576, 4, 4]``."""
    rows = list(permutations(range(1, SIZE + 1)))
    fits = [s for s in product(rows, repeat=SIZE) if all(len(set(column)) == SIZE for column in zip(*s, strict=True))]
    return np.array(fits, np.uint8)


def split_of(board: Grid) -> str:
    """The split that owns a puzzle and all its images: 10 % test, 10 % validation, 80 % train."""
    tenth = int.from_bytes(sha256(canonical(board)).digest()[:8], "big") % 10
    return {0: "test", 1: "validation"}.get(tenth, "train")


def draw(split: str, seed: int, index: int) -> tuple[Grid, Grid]:
    """Question and answer number ``index`` of the stream ``seed``; never a puzzle that another split owns."""
    random = np.random.default_rng([seed, SPLITS.index(split), index])
    while True:
        answer = squares()[random.integers(len(squares()))]
        board = dig(answer, int(random.integers(FEWEST, MOST + 1)), random)
        if split_of(board) == split:
            return board, answer.copy()


def dig(answer: Grid, clues: int, random: np.random.Generator) -> Grid:
    """A board with ``answer`` as its only solution and about ``clues`` clues, each of them a digit or a sign."""
    every = _clues(answer)
    kept = list(random.permutation(len(every)))
    # A square is left when it disagrees with no clue.
    against = ~np.stack([fits for _, _, fits in every])
    ruled_out = against.sum(axis=0)
    for clue in kept.copy():
        if len(kept) <= clues:
            break
        without = ruled_out - against[clue]
        if (without == 0).sum() == 1:
            ruled_out = without
            kept.remove(clue)
    board = empty()
    for clue in kept:
        place, symbol, _ = every[clue]
        board[place] = symbol
    return board


def _clues(answer: Grid) -> list[tuple[tuple[int, int], int, NDArray[np.bool_]]]:
    """Every true clue: (place on the board, symbol, which squares agree with it)."""
    known = squares()
    found = [
        ((2 * row, 2 * column), int(answer[row, column]), known[:, row, column] == answer[row, column])
        for row in range(SIZE)
        for column in range(SIZE)
    ]
    for place, (a, b), (c, d), signs in places():
        less = bool(answer[a, b] < answer[c, d])
        found.append((place, signs[0] if less else signs[1], (known[:, a, b] < known[:, c, d]) == less))
    return found
