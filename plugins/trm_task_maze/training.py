"""Training mazes without end: mazes of a pool, if wanted each time turned or reflected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.augment import dihedral
from trm_harness.contracts import TrainingRows
from trm_harness.errors import BadInput
from trm_harness.solvers.maze import directions, solve
from trm_harness.types import IGNORE_LABEL, DataSource, Grid, Puzzle

BUCKET = "all"
AUGMENTS = {
    "none": "no augmentation",
    "turn": "each maze through a random one of 8 turns and reflections, its label turned with it",
    "relabel": "each maze through a random one of 8 turns and reflections, its path chosen anew by the labels' rule",
}
"""What ``augment`` may say.

Labels follow a rule that prefers down to left to right to up, so a turned label is in general not the label of the
turned maze: ``turn`` (the reference's ``aug``) shows a network eight rules that contradict each other, ``relabel``
shows one.
"""
DEFAULTS: Mapping[str, Any] = {"puzzles": None, "augment": "relabel", "hold_out": False, "directions": False}
"""``puzzles``: only the first so many of the pool (default all). ``augment``: see :data:`AUGMENTS`. ``hold_out``: leave
out the validation mazes where the task takes them from train. ``directions``: auxiliary labels of four classes, for
every free cell the way that its shortest path to the goal takes (:func:`~trm_harness.solvers.maze.directions`)."""

_DRAW = 0x7EED
_SOLVED = 16_384
"""Views kept, about 2 KB each for 30x30: enough for all 8 views of 2,000 mazes."""


def checked_options(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` over the defaults; ``BadInput`` for an unknown name or augmentation."""
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise BadInput(f"{task} training: unknown option {unknown[0]!r}: known are {', '.join(DEFAULTS)}")
    merged = {**DEFAULTS, **options}
    if merged["augment"] not in AUGMENTS:
        raise BadInput(f"{task} training: augment is {merged['augment']!r}: use one of {', '.join(AUGMENTS)}")
    if not isinstance(merged["directions"], bool):
        raise BadInput(f"{task} training: directions is {merged['directions']!r}: use true or false")
    if merged["directions"] and merged["augment"] == "turn":
        raise BadInput(
            f"{task} training: directions follow the labels' rule, turned labels do not: use relabel or none"
        )
    return merged


class MazeTraining:
    """Keeps the contract :class:`trm_harness.contracts.TrainingSource`.

    A draw picks mazes evenly (a maze may come twice). Labels are the whole answer, walls included, as in the reference;
    ``directions`` adds auxiliary ones.
    """

    buckets: Mapping[str, float] = {BUCKET: 1.0}
    identities: tuple[str, ...] = ("",)

    def __init__(
        self,
        puzzles: Sequence[Puzzle],
        source: DataSource,
        seed: int,
        augment: str,
        notes: str = "",
        held_out: Callable[[], Sequence[Puzzle]] | None = None,
        directions: bool = False,
    ) -> None:
        """``held_out`` makes the mazes that no draw shows; ``None`` if all there are may be drawn."""
        self._puzzles, self._seed, self._augment, self._held_out = puzzles, seed, augment, held_out
        self._directions, self._example = directions, lru_cache(_SOLVED)(self._make)
        use = {
            "name": f"{source.name} train",
            "version": source.version,
            "sha256": source.sha256,
            "puzzles": len(puzzles),
            "notes": "; ".join(filter(None, (notes, AUGMENTS[augment]))),
        }
        self.declaration: Mapping[str, Any] = {
            "data": [use],
            "transduction": "inductive",
            "demonstrations": "inductive",
        }

    def validation(self) -> tuple[str, Sequence[Puzzle]]:
        """The split ``validation``. ``BadInput`` if these draws show it."""
        if self._held_out is None:
            raise BadInput(
                "the validation mazes are among the training mazes: set source.hold_out = true in the recipe"
            )
        return "validation", self._held_out()

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """Batch ``index`` of ``size`` examples; ``bucket`` is always ``"all"``."""
        random = np.random.default_rng([_DRAW, self._seed, index, size])
        places = random.integers(len(self._puzzles), size=size).tolist()
        views = random.integers(1 if self._augment == "none" else 8, size=size).tolist()
        grids = np.stack([self._example(place, view) for place, view in zip(places, views, strict=True)])
        tokens, *labels = grids.reshape(size, grids.shape[1], -1).swapaxes(0, 1).astype(np.int32)
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
        return TrainingRows(tokens, np.concatenate(labels, axis=1), positions, ("",) * size)

    def _make(self, place: int, view: int) -> NDArray[np.int8]:
        """Question, answer and, if wanted, directions: ``int8 [2 or 3, height, width]``."""
        puzzle = self._puzzles[place]
        question = np.ascontiguousarray(dihedral(puzzle.input, view))
        answer = self._solved(puzzle, question, view) if self._augment == "relabel" else dihedral(puzzle.answer, view)
        if not self._directions:
            return np.stack((question, answer)).astype(np.int8)
        ways = directions(question)
        return np.stack((question, answer, np.where(ways < 0, IGNORE_LABEL, ways))).astype(np.int8)

    def _solved(self, puzzle: Puzzle, question: Grid, view: int) -> Grid:
        answer = solve(question)
        if view == 0 and not np.array_equal(answer, puzzle.answer):
            raise BadInput(
                f"{puzzle.id} is not labelled by the rule down, left, right, up, so its views cannot be labelled anew: "
                'train with augment = "none" or "turn"'
            )
        return answer
