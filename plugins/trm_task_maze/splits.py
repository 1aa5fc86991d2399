"""Which split a maze belongs to: decided by its walls as seen from whichever side makes them first in order.

All eight turns and reflections of a maze have the same canonical form, so they land in one split, and with them every
other choice of start and goal among the same walls.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from trm_harness.augment import dihedral
from trm_harness.solvers.maze import WALL
from trm_harness.types import Grid

HELD_OUT = {"test": (0,), "validation": (1,), "train": tuple(range(2, 10))}
"""The tenths of the hash range that each split owns."""


def canonical_walls(question: Grid) -> bytes:
    """The same bytes for exactly the square mazes whose walls are images of one another: the least of eight views."""
    walls = question == WALL
    return min(np.packbits(dihedral(walls, view)).tobytes() for view in range(8))


def split_of(question: Grid) -> str:
    """The split that owns ``question``: 10 % test, 10 % validation, 80 % train."""
    tenth = int.from_bytes(wall_hash(question)[:8], "big") % 10
    return next(split for split, tenths in HELD_OUT.items() if tenth in tenths)


def wall_hash(question: Grid) -> bytes:
    """sha256 of the side and the canonical walls: an order of mazes that says nothing of how hard they are."""
    return sha256(len(question).to_bytes(2, "big") + canonical_walls(question)).digest()
