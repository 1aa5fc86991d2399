"""Whether a question has one solution: looked up with a bounded search, by the quickest solver that repays its start.

One core looks at some thirty thousand generated 9x9 boards a second with a C compiler and at some thousand without
one, at 700 and 16 of the hardest, and at more than ten thousand smaller ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trm_harness.solvers.sudoku import prove
from trm_harness.solvers.sudoku_bands import explore
from trm_harness.types import Grid
from trm_task_sudoku.native import SIZE, compiled, fastest

MANY = 50
"""Boards from which on compiling the search pays."""

MOST_GUESSES = 500
"""Guesses after which a board of somebody's own is left undecided: ten times what hard ones take."""

_SLOW, _QUICK = 2_000, 50_000
"""Most boards of a file that are looked at: some seconds of one core."""


@dataclass(frozen=True, eq=False)
class Looked:
    """The first solution, ``None`` if there is none; whether it is the only one, ``None`` if the search was cut short.

    ``rating`` is what the search took: guesses for 9x9, else dead ends.
    """

    solution: Grid | None
    unique: bool | None
    rating: int


def look(question: Grid, many: int = 1, most: int | None = None) -> Looked:
    """What a search for two solutions finds. ``many`` is how many boards are to be looked at in all.

    ``most`` bounds the guesses at a 9x9 board.
    """
    if question.shape[0] != SIZE:
        proof = prove(question)
        return Looked(None, False, 0) if proof is None else Looked(proof.grid, proof.unique, proof.dead_ends)
    found = (fastest() if many >= MANY else explore)(question, wanted=2, most=most)
    cut = most is not None and found.guesses > most and len(found.solutions) < 2
    return Looked((found.solutions or [None])[0], None if cut else len(found.solutions) == 1, found.guesses)


def most_looked_at(size: int, count: int) -> int:
    """How many of ``count`` boards of a file are looked at."""
    quick = size != SIZE or count < MANY or compiled() is not None
    return min(count, _QUICK if quick else _SLOW)


def doubts(questions: Sequence[Grid]) -> list[str]:
    """Why no single answer to a question can be right, in a few words each; empty where there is one solution."""
    said = []
    for question in questions:
        found = look(question, len(questions), MOST_GUESSES)
        if found.unique is None:
            said.append(f"whether it has one solution was not found out in {MOST_GUESSES} guesses")
        elif found.solution is None:
            said.append("it has no solution")
        else:
            said.append("" if found.unique else "it has several solutions, of which a model can give one")
    return said
