"""Names of ARC views, and going there and back: ``t<k>|||<perm>``, as the reference names its augmentations.

``k`` is a dihedral map (0-7) and ``perm`` ten digits: colour ``c`` becomes ``perm[c]``. The identity is ``""``.
Colour 0 stays fixed in every sampled view, as in the reference, though any permutation of the ten can be applied.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_harness import augment
from trm_harness.errors import BadInput
from trm_harness.types import IDENTITY, Grid, Puzzle

SEPARATOR = "|||"
SAME_COLOURS = "0123456789"
VIEWS = 8 * 362_880
"""Distinct views that keep colour 0: 8 dihedral maps x 9! permutations, the identity included."""

_NAME = re.compile(r"t([0-7])\|\|\|(\d{10})")


class View(NamedTuple):
    """A parsed transform: the dihedral map and the colour permutation ``uint8 [10]``."""

    dihedral: int
    permutation: NDArray[np.uint8]


@lru_cache(maxsize=4096)
def parse(name: str) -> View:
    """The view called ``name``; ``BadInput`` for anything but ``""`` or ``t<0-7>|||<ten distinct digits>``."""
    if name == IDENTITY:
        return View(0, _permutation(SAME_COLOURS))
    match = _NAME.fullmatch(name)
    if match is None or len(set(match[2])) != 10:
        raise BadInput(f"transform {name!r} is malformed: use t<0-7>|||<each digit once>, as in t3|||0213456789")
    return View(int(match[1]), _permutation(match[2]))


def name_of(dihedral: int, permutation: NDArray[np.integer]) -> str:
    """Name of a view; the identity's is ``""``."""
    digits = "".join(map(str, permutation))
    return IDENTITY if dihedral == 0 and digits == SAME_COLOURS else f"t{dihedral}{SEPARATOR}{digits}"


def identity_of(task: str, name: str) -> str:
    """Name of a task seen through a view in a puzzle table: ``<task>`` or ``<task>|||t<k>|||<perm>``."""
    return f"{task}{SEPARATOR}{name}" if name else task


def split_identity(identity: str) -> tuple[str, str]:
    """Task and view name of an identity: its first field, and its last two (``""`` if there is but one field)."""
    fields = identity.split(SEPARATOR)
    return fields[0], SEPARATOR.join(fields[-2:]) if len(fields) > 1 else IDENTITY


def apply(grid: Grid, name: str) -> Grid:
    """``grid [h, w]`` seen through the view called ``name``."""
    if name == IDENTITY:
        return grid
    view = parse(name)
    return augment.dihedral(augment.permute_symbols(grid, view.permutation), view.dihedral)


def invert(grid: Grid, name: str) -> Grid:
    """The grid that :func:`apply` shows as ``grid``."""
    if name == IDENTITY:
        return grid
    view = parse(name)
    colours = augment.inverse_permutation(view.permutation)
    return augment.permute_symbols(augment.inverse_dihedral(grid, view.dihedral), colours)


def sample(group: str, count: int, seed: int) -> list[str]:
    """``count`` distinct view names, the identity first (all :data:`VIEWS` at most).

    The same in every process and on every machine; a smaller ``count`` gives a prefix.
    """
    rng = np.random.Generator(np.random.Philox(_seed(group, seed)))
    return _distinct(count, VIEWS, lambda: random_view(rng))


def random_view(rng: np.random.Generator, turns: bool = True, colours: bool = True) -> str:
    """A uniformly drawn view that keeps colour 0; may be the identity. Without ``turns`` or ``colours`` those stay."""
    dihedral = int(rng.integers(8)) if turns else 0
    return name_of(dihedral, np.concatenate([[0], rng.permutation(9) + 1]) if colours else np.arange(10))


def sample_free(puzzle: Puzzle, count: int, seed: int) -> list[str]:
    """Like :func:`sample`, but only the :func:`free_colours` of the puzzle are renamed; as many views as there are."""
    free = free_colours(puzzle.demonstrations)
    rng = np.random.Generator(np.random.Philox(_seed(f"free\n{puzzle.group}", seed)))

    def view() -> str:
        permutation = np.arange(10)
        permutation[free] = rng.permutation(free)
        return name_of(int(rng.integers(8)), permutation)

    return _distinct(count, 8 * math.factorial(len(free)), view)


def free_colours(demonstrations: Sequence[tuple[Grid, Grid]]) -> list[int]:
    """Colours that play no part of their own in any demonstration, ascending: whatever the rule is, it treats them
    alike, as far as the demonstrations tell.

    A colour plays one if it is 0, is in every demonstration, or is in some output but not in its input.
    """
    shown = [(set(np.unique(question)), set(np.unique(answer))) for question, answer in demonstrations]
    everywhere = set.intersection(*(before | after for before, after in shown)) if shown else set(range(10))
    introduced = set().union(*(after - before for before, after in shown))
    return sorted(set(range(1, 10)) - everywhere - introduced)


def turns(count: int) -> list[str]:
    """Names of the first ``count`` views, at most eight, that turn or reflect and keep all colours; identity first."""
    return [name_of(dihedral, np.arange(10)) for dihedral in range(min(count, 8))]


def _distinct(count: int, most: int, draw: Callable[[], str]) -> list[str]:
    """``count`` distinct names, the identity first, of the ``most`` that ``draw`` can give."""
    # A dict, for its order.
    names = {IDENTITY: None}
    while len(names) < min(count, most):
        names[draw()] = None
    return list(names)[:count]


def _permutation(digits: str) -> NDArray[np.uint8]:
    permutation = np.array([int(d) for d in digits], dtype=np.uint8)
    permutation.setflags(write=False)
    return permutation


def _seed(group: str, seed: int) -> int:
    # Philox and sha256, because Python's own hash differs from process to process.
    return int.from_bytes(hashlib.sha256(f"arc view\n{group}\n{seed}".encode()).digest()[:16], "big")
