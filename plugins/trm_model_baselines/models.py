"""Baselines: each is one function from a puzzle (without its answer) and a seed to an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput
from trm_harness.solvers import maze
from trm_harness.solvers.sudoku import solve
from trm_harness.specs import ModelSpec
from trm_harness.types import Batch, Cost, Grid, ModelFacts, Prediction, Puzzle

Answer = Callable[[Puzzle, int], Grid | None]
"""A puzzle and its seed to an answer grid, ``None`` for no answer."""

HALT = 1.0
"""Halting logit of every answer: always finished, never more sure of one puzzle than of another."""


@dataclass(frozen=True, eq=False)
class OneShot:
    """A model that answers at once, puzzle by puzzle. Keeps :class:`trm_harness.contracts.Model`; no weights."""

    spec: ModelSpec
    answer: Answer
    steps: int = 1
    encoding: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> ModelFacts:
        """No parameters, no weights."""
        return ModelFacts()

    def begin(self, batch: Batch) -> Batch:
        """The batch itself is all the state there is."""
        return batch

    def step(self, state: Batch) -> tuple[Batch, Prediction]:
        """Answers of every puzzle, the same at every step."""
        answers = tuple(self.answer(puzzle, int(seed)) for puzzle, seed in zip(state.puzzles, state.seeds, strict=True))
        return state, Prediction(None, np.full(state.size, HALT, np.float32), answers)

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        """The named rows."""
        return state.select(rows)

    def cost(self, length: int) -> Cost:
        """Nothing worth counting in FLOPs."""
        return Cost()


def random_fill(request: ModelRequest) -> OneShot:
    """Target of ``random``: Sudoku keeps its clues, other tasks get random symbols of the input in its shape."""
    _refuse_weights(request)
    sudoku = request.task.family == "sudoku"
    return OneShot(request.spec, fill_blanks if sudoku else shuffle_symbols)


def copy_input(request: ModelRequest) -> OneShot:
    """Target of ``copy-input``."""
    _refuse_weights(request)
    return OneShot(request.spec, lambda puzzle, seed: puzzle.input.copy())


def oracle_sudoku(request: ModelRequest) -> OneShot:
    """Target of ``oracle-sudoku``; ``BadInput`` for a task that is no Sudoku."""
    _refuse_weights(request)
    if request.task.family != "sudoku":
        raise BadInput(f"{request.spec.id} solves Sudokus only, {request.task.id} is none: use a sudoku-* task")
    return OneShot(request.spec, solved)


def oracle_maze(request: ModelRequest) -> OneShot:
    """Target of ``oracle-maze``; ``BadInput`` for a task that is no maze."""
    _refuse_weights(request)
    if request.task.family != "maze":
        raise BadInput(f"{request.spec.id} solves mazes only, {request.task.id} is none: use a maze-* task")
    return OneShot(request.spec, lambda puzzle, seed: maze.solve(puzzle.input))


def fill_blanks(puzzle: Puzzle, seed: int) -> Grid:
    """The clues, and an even random digit 1..n in every blank of the ``[n, n]`` board."""
    random = np.random.default_rng(seed)
    digits = random.integers(1, puzzle.input.shape[0] + 1, size=puzzle.input.shape, dtype=np.uint8)
    return np.where(puzzle.input == 0, digits, puzzle.input)


def shuffle_symbols(puzzle: Puzzle, seed: int) -> Grid:
    """A grid of the input's shape, every cell evenly one of the symbols that the input shows."""
    return np.random.default_rng(seed).choice(np.unique(puzzle.input), size=puzzle.input.shape)


def solved(puzzle: Puzzle, seed: int) -> Grid | None:
    """The first solution of the clues, ``None`` where there is none."""
    solution = solve(puzzle.input)
    return None if solution is None else solution.grid


def _refuse_weights(request: ModelRequest) -> None:
    if request.weights is not None:
        raise BadInput(f"{request.spec.id} has no weights to load: leave out --weights")
