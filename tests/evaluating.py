"""A small real task and a small real model for the evaluator's tests, and a process to kill.

``LatinTask``: Latin squares of side 3 to 5 with blanks (0). ``Propagator``: a numpy solver that fills, at every
supervision step, the cells with one possible symbol left; where that is not enough it guesses from its seeds. Easy
squares are right after one step, harder ones after several, some never, and its halting logit says "all filled".

``python -m tests.evaluating FOLDER [--resume]`` runs them in a process of their own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.augment import dihedral, inverse_dihedral, inverse_permutation, permute_symbols
from trm_harness.evaluate import Setting, Watchers, evaluate, resume
from trm_harness.fingerprint import dataset_sha256
from trm_harness.inference import InferencePlan
from trm_harness.record import RunRecord
from trm_harness.specs import ModelSpec, TaskSpec
from trm_harness.types import Batch, Cost, DataSource, Encoded, Grid, ModelFacts, Parameters, Prediction, Puzzle, Tokens

TASK = TaskSpec(
    id="latin",
    version=1,
    target="tests.evaluating:LatinTask",
    title="Latin squares",
    description="Fill the blanks so that no symbol repeats in a row or column.",
    vocab_size=7,
    seq_len=25,
    attempts=2,
    headline="pass@2",
    rules=("outputs", "tasks", "submitted", "puzzles"),
)
MODEL = ModelSpec(
    id="propagator",
    version=1,
    target="tests.evaluating:Propagator",
    title="Propagator",
    description="Naked singles, one round a step.",
    family="solver",
)


def latin(side: int, rng: np.random.Generator) -> Grid:
    """A random Latin square."""
    base = (np.arange(side)[:, None] + np.arange(side)) % side + 1
    return base[rng.permutation(side)][:, rng.permutation(side)].astype(np.uint8)


class LatinTask:
    """``groups`` groups of one to three squares each; every seventh answer is hidden if ``hide``."""

    def __init__(self, groups: int = 12, seed: int = 0, hide: bool = False, spec: TaskSpec = TASK) -> None:
        self.spec, self._made = spec, []
        rng = np.random.default_rng(seed)
        for group in range(groups):
            for number in range(1 + group % 3):
                answer = latin(3 + group % 3, rng)
                blank = rng.random(answer.shape) < rng.uniform(0.2, 0.75)
                hidden = hide and len(self._made) % 7 == 6
                given = np.where(blank, 0, answer).astype(np.uint8)
                self._made.append(Puzzle(f"g{group}_{number}", f"g{group}", given, None if hidden else answer))

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        return self._made

    def source(self, split: str) -> DataSource:
        groups = len({puzzle.group for puzzle in self._made})
        return DataSource("made here", "1", dataset_sha256(self._made), groups, len(self._made))

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        side = puzzle.input.shape[0]
        every = (f"{turn}:{''.join(map(str, p))}" for p in permutations(range(1, side + 1)) for turn in range(8))
        return ["", *islice(every, 1, None)][:count]

    def transform(self, puzzle: Puzzle, name: str) -> Puzzle:
        turn, permutation = self._parse(name)
        seen = dihedral(permute_symbols(puzzle.input, permutation), turn)
        return replace(puzzle, input=np.ascontiguousarray(seen))

    def invert(self, answer: Grid, name: str) -> Grid:
        turn, permutation = self._parse(name)
        return permute_symbols(inverse_dihedral(answer, turn), inverse_permutation(permutation))

    def encode(self, puzzle: Puzzle, transform: str, options: Mapping[str, Any]) -> Encoded:
        assert puzzle.answer is None, "the evaluator showed an answer"
        return Encoded((puzzle.input.ravel() + 1).astype(np.int32), puzzle.group, layout=puzzle.input.shape)

    def labels(self, puzzle: Puzzle, encoded: Encoded) -> Tokens:
        return (puzzle.answer.ravel() + 1).astype(np.int32)

    def decode(self, tokens: Tokens, encoded: Encoded) -> Grid:
        return (tokens - 1).astype(np.uint8).reshape(encoded.layout)

    def measures(self, puzzle: Puzzle, answer: Grid | None) -> dict[str, float]:
        same = np.zeros(1) if answer is None or answer.shape != puzzle.answer.shape else answer == puzzle.answer
        return {"exact": float(same.all()), "cells": float(same.mean())}

    def _parse(self, name: str) -> tuple[int, NDArray[np.uint8]]:
        turn, _, symbols = (name or "0:12345").partition(":")
        return int(turn), np.array([0, *map(int, symbols)], dtype=np.uint8)


@dataclass
class Squares:
    """State of a batch: boards ``uint8 [n, side, side]`` filled so far, and the rows' seeds."""

    boards: NDArray[np.uint8]
    seeds: NDArray[np.uint64]


@dataclass
class Propagator:
    """``pause`` seconds a step give a test time to kill; ``sha256`` stands for weights."""

    pause: float = 0.0
    sha256: str = "a" * 64
    spec: ModelSpec = MODEL
    steps: int = 4
    encoding: Mapping[str, Any] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)

    def facts(self) -> ModelFacts:
        return ModelFacts(Parameters(10, 0, 0), 1, self.sha256, "test", {"steps": self.steps})

    def begin(self, batch: Batch) -> Squares:
        assert all(puzzle.answer is None for puzzle in batch.puzzles), "the evaluator showed an answer"
        self.batches.append(batch.size)
        side = round(batch.tokens.shape[1] ** 0.5)
        return Squares((batch.tokens - 1).astype(np.uint8).reshape(-1, side, side), batch.seeds)

    def step(self, state: Squares) -> tuple[Squares, Prediction]:
        time.sleep(self.pause)
        boards = np.stack([propagate(board) for board in state.boards])
        filled = np.stack([guess(board, int(seed)) for board, seed in zip(boards, state.seeds, strict=True)])
        blanks = (boards == 0).sum((1, 2))
        noise = np.array([np.random.default_rng(int(seed)).uniform(0, 0.4) for seed in state.seeds])
        halt = (0.5 - blanks + noise).astype(np.float32)
        return Squares(boards, state.seeds), Prediction((filled + 1).reshape(len(boards), -1).astype(np.int32), halt)

    def select(self, state: Squares, rows: Sequence[int]) -> Squares:
        return Squares(state.boards[list(rows)], state.seeds[list(rows)])

    def cost(self, length: int) -> Cost:
        return Cost(flops_per_step=float(length), bytes_per_example=100.0 * length)


def propagate(board: Grid) -> Grid:
    """The board with every cell filled that has one possible symbol."""
    side, filled = len(board), board.copy()
    for row, column in np.argwhere(board == 0):
        left = set(range(1, side + 1)) - set(board[row].tolist()) - set(board[:, column].tolist())
        if len(left) == 1:
            filled[row, column] = left.pop()
    return filled


def guess(board: Grid, seed: int) -> Grid:
    """The board with blanks filled at random."""
    drawn = np.random.default_rng(seed).integers(1, len(board) + 1, board.shape)
    return np.where(board == 0, drawn, board).astype(np.uint8)


PLAN = InferencePlan(split="test", augment=9, batch_size=7, seed=3)


def run(folder: Path, resumed: bool = False, pause: float = 0.004) -> RunRecord:
    """The run that the tests kill and finish."""
    watchers = Watchers(say=lambda message: print(message, file=sys.stderr, flush=True))
    if resumed:
        return resume(folder, LatinTask(), Propagator(pause), watchers)
    return evaluate(LatinTask(), Propagator(pause), PLAN, folder, Setting(), watchers)


if __name__ == "__main__":
    print(run(Path(sys.argv[1]), "--resume" in sys.argv).status)
