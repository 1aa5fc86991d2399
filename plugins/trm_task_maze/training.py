"""Training mazes without end: mazes of a pool, if wanted each time turned or reflected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from trm_harness.augment import dihedral
from trm_harness.contracts import TrainingRows
from trm_harness.errors import BadInput
from trm_harness.solvers.maze import solve
from trm_harness.types import DataSource, Grid, Puzzle

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
DEFAULTS: Mapping[str, Any] = {"puzzles": None, "augment": "relabel", "hold_out": False}
"""``puzzles``: only the first so many of the pool (default all). ``augment``: see :data:`AUGMENTS`. ``hold_out``: leave
out the validation mazes where the task takes them from train."""

_DRAW = 0x7EED
_SOLVED = 16_384
"""Relabelled views kept, about 2 KB each for 30x30: enough for all 8 views of 2,000 mazes."""


def checked_options(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` over the defaults; ``BadInput`` for an unknown name or augmentation."""
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise BadInput(f"{task} training: unknown option {unknown[0]!r}: known are {', '.join(DEFAULTS)}")
    merged = {**DEFAULTS, **options}
    if merged["augment"] not in AUGMENTS:
        raise BadInput(f"{task} training: augment is {merged['augment']!r}: use one of {', '.join(AUGMENTS)}")
    return merged


class MazeTraining:
    """Keeps the contract :class:`trm_harness.contracts.TrainingSource`.

    A draw picks mazes evenly (a maze may come twice). Labels are the whole answer, walls included, as in the reference.
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
    ) -> None:
        """``held_out`` makes the mazes that no draw shows; ``None`` if all there are may be drawn."""
        self._puzzles, self._seed, self._augment, self._held_out = puzzles, seed, augment, held_out
        self._relabelled = lru_cache(_SOLVED)(self._relabel)
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
        pairs = np.stack([self._pair(place, view) for place, view in zip(places, views, strict=True)])
        tokens, labels = pairs.reshape(size, 2, -1).swapaxes(0, 1).astype(np.int32)
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
        return TrainingRows(tokens, labels, positions, ("",) * size)

    def _pair(self, place: int, view: int) -> tuple[Grid, Grid]:
        if self._augment == "relabel":
            return self._relabelled(place, view)
        puzzle = self._puzzles[place]
        return dihedral(puzzle.input, view), dihedral(puzzle.answer, view)

    def _relabel(self, place: int, view: int) -> tuple[Grid, Grid]:
        puzzle = self._puzzles[place]
        question = np.ascontiguousarray(dihedral(puzzle.input, view))
        answer = solve(question)
        if view == 0 and not np.array_equal(answer, puzzle.answer):
            raise BadInput(
                f"{puzzle.id} is not labelled by the rule down, left, right, up, so its views cannot be labelled anew: "
                'train with augment = "none" or "turn"'
            )
        return question, answer
