"""The values that travel between folders: frozen, numpy in and out, no torch.

A *grid* is a 2-D ``uint8`` array in the task's own symbols (ARC colours 0-9, Sudoku digits with 0 = blank, Maze
1-5). A *token* is what a network reads; only a task's ``encode``/``decode`` know how one becomes the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.uint8]
"""2-D ``uint8`` array ``[height, width]`` in the task's symbols."""

Tokens = NDArray[np.int32]
"""``int32`` array ``[length]`` of token ids; 0 is padding in every encoding of the reference."""

IGNORE_LABEL = -100
"""Label of a cell that takes no part in the loss (the reference's ``IGNORE_LABEL_ID``)."""

BLANK_NAME = "<blank>"
"""Name of a puzzle table's row 0, which stands for every puzzle that has none of its own."""

IDENTITY = ""
"""Name of the transform that changes nothing."""


def plain(value: Any) -> Any:
    """``value`` with Python's own numbers and truth values in place of numpy's, in mappings and sequences too."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


@dataclass(frozen=True, eq=False)
class Puzzle:
    """One question with one answer. An ARC task with two test inputs is two puzzles of one ``group``.

    ``id`` is unique in its split (``00576224_0``), ``group`` names the cluster that scores and intervals count by
    (``00576224``; equal to ``id`` where every puzzle stands alone). ``answer`` is ``None`` when hidden: the
    evaluator hides it from every model. ``facts`` holds what the task knows of the puzzle (rating, path length).
    """

    id: str
    group: str
    input: Grid
    answer: Grid | None = None
    demonstrations: tuple[tuple[Grid, Grid], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def without_answer(self) -> Puzzle:
        """The puzzle as a model may see it."""
        return replace(self, answer=None)


@dataclass(frozen=True, eq=False)
class Encoded:
    """A puzzle as a network reads it.

    ``tokens`` ``int32 [length]``; ``positions`` ``int32 [length]`` is each token's place on the task's full canvas
    (``None``: ``0..length-1``), so that a cropped canvas keeps the positions it was trained with; ``identity`` names
    the row of a puzzle-embedding table (``""`` for tasks without one); ``layout`` is what ``decode`` needs to know
    (canvas height and width, offset).
    """

    tokens: Tokens
    identity: str = ""
    positions: Tokens | None = None
    layout: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Number of tokens."""
        return int(self.tokens.shape[0])


@dataclass(frozen=True, eq=False)
class Batch:
    """What a model answers at once: ``size`` puzzles whose encodings share one length.

    ``puzzles`` carry no answers. ``tokens`` and ``positions`` are ``int32 [size, length]``. ``seeds`` ``uint64
    [size]`` depend on the puzzle, view and restart alone, never on the batch, so that noise does not change with
    batch size.
    """

    puzzles: tuple[Puzzle, ...]
    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    identities: tuple[str, ...]
    seeds: NDArray[np.uint64]

    @property
    def size(self) -> int:
        """Number of puzzles."""
        return len(self.puzzles)

    def select(self, rows: Sequence[int]) -> Batch:
        """The named rows only, in that order."""
        kept = np.asarray(rows, dtype=np.int64)
        return Batch(
            tuple(self.puzzles[row] for row in rows),
            self.tokens[kept],
            self.positions[kept],
            tuple(self.identities[row] for row in rows),
            self.seeds[kept],
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answers of one supervision step for the rows still in the batch.

    Networks fill ``tokens`` (``int32 [size, length]``); solvers and language models fill ``answers`` (grids in the
    frame of the batch's puzzles, ``None`` for no answer) and leave ``tokens`` ``None``. ``halt`` is ``float32
    [size]``: the halting logit, positive = "this answer is finished".
    """

    tokens: NDArray[np.int32] | None
    halt: NDArray[np.float32]
    answers: tuple[Grid | None, ...] | None = None


@dataclass(frozen=True)
class Parameters:
    """A model's size, told apart: the network, the whole puzzle table, and table values one puzzle touches."""

    network: int = 0
    puzzle_table: int = 0
    touched_per_puzzle: int = 0


@dataclass(frozen=True)
class ModelFacts:
    """What a record says of a loaded model. ``weights_sha256`` is empty for models without weights."""

    parameters: Parameters = Parameters()
    effective_depth: int = 0
    weights_sha256: str = ""
    weights_source: str = "none"
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Work for one example: FLOPs of one supervision step, and bytes of memory it holds while in the batch.

    ``widest_bytes`` are those of the largest array that one operation makes: what should stay in a processor's cache
    (0: not stated). ``most_puzzles`` bounds a batch whatever fits, for models whose work is neither (0: no bound of
    their own).
    """

    flops_per_step: float = 0.0
    bytes_per_example: float = 0.0
    most_puzzles: int = 0
    widest_bytes: float = 0.0


@dataclass(frozen=True)
class DataSource:
    """Where a split's puzzles came from. ``sha256`` covers the puzzles' content, not the file's bytes.

    ``remarks`` are what a reader of a score on them must know; they go among a run's notes.
    """

    name: str
    version: str
    sha256: str
    n_groups: int
    n_puzzles: int
    notes: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Candidate:
    """One answer that got votes for a puzzle: ``votes`` views gave it, with ``halt`` their mean sigmoid (float64).

    ``peak`` is their highest halting logit (minus infinity if none is a number), ``first_seen`` the first of them.
    """

    answer: Grid
    votes: int
    halt: float
    first_seen: int
    peak: float = -np.inf


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval and the name of the method that made it."""

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Score:
    """A score with everything needed to read it: ``value = numerator / denominator``.

    ``rule`` names the scoring rule, ``unit`` what the denominator counts (``tasks``, ``outputs``, ``puzzles``).
    """

    name: str
    rule: str
    value: float
    numerator: float
    denominator: int
    unit: str
    interval: Interval | None = None
