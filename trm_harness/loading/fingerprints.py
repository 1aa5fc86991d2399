"""Fingerprints of splits that are drawn rather than listed: drawing takes minutes, so they are kept between runs.

A file holds one number a pair, :func:`trm_harness.fingerprint.symmetry_keys`, and which puzzle the pair is of. A task
may bring the file of a split along; else it lies in the user's cache. A number only says where to look: whatever is
found is drawn again and compared in full. A file that is damaged, or of other data, is passed over and made anew.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.files.paths import cache
from trm_harness.files.read import MIB, read_arrays
from trm_harness.files.write import replacing
from trm_harness.fingerprint import symmetry_keys
from trm_harness.lazy import Lazy
from trm_harness.progress import progress
from trm_harness.types import Grid, Puzzle

Pair = tuple[Grid, Grid]
"""A question and its answer."""

Named = Iterable[tuple[str, Pair]]
"""Pairs, each under the id of its puzzle."""

_FORM = "fingerprints 1"
_LARGEST = 64 * MIB


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """``keys`` ``uint32 [pairs]`` and ``places`` ``uint32 [pairs]``: the number of a pair and the puzzle it is of."""

    keys: NDArray[np.uint32]
    places: NDArray[np.uint32]


@dataclass(frozen=True)
class Described:
    """Whose fingerprints they are: a split of a task by its hash, and the part of its puzzles that is trained on."""

    task: str
    version: int
    sha256: str
    puzzles: int
    use: str

    @property
    def digest(self) -> bytes:
        """32 bytes for everything stated here, and the form of the file."""
        told = "|".join([_FORM, self.task, str(self.version), self.sha256, str(self.puzzles), self.use])
        return hashlib.sha256(told.encode()).digest()

    @property
    def cached(self) -> Path:
        """Where they lie in the user's cache."""
        return cache() / "fingerprints" / f"{self.digest.hex()[:32]}.npz"


def keys_of(pairs: Sequence[Pair]) -> NDArray[np.uint32]:
    """The number of each pair, ``uint32 [pairs]``; those of one size are computed together."""
    same_size: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    for place, (question, answer) in enumerate(pairs):
        same_size[question.shape, answer.shape].append(place)
    keys = np.zeros(len(pairs), np.uint32)
    for places in same_size.values():
        questions, answers = (np.stack([pairs[place][side] for place in places]) for side in (0, 1))
        keys[places] = symmetry_keys(questions, answers)
    return keys


def kept(about: Described, shipped: Path | None, draw: Callable[[], Fingerprints]) -> Fingerprints:
    """The fingerprints of ``about``: from ``shipped`` or the cache, else by ``draw``, and then in the cache."""
    for path in filter(None, (shipped, about.cached)):
        with suppress(BadInput):
            return load(path, about)
    made = draw()
    # A cache that cannot be written costs time, no more.
    with suppress(BadInput):
        save(about.cached, about, made)
    return made


def drawn(puzzles: Sequence[Puzzle], pairs_of: Callable[[Iterable[Puzzle]], Named]) -> Fingerprints:
    """The fingerprints of all ``puzzles``, each drawn once. A bar on stderr shows how far it is."""
    place_of: dict[str, int] = {}

    def noted() -> Iterator[Puzzle]:
        with progress("training puzzles drawn, to compare with; kept for the next time") as show:
            for place, puzzle in enumerate(puzzles.passing() if isinstance(puzzles, Lazy) else puzzles):
                place_of[puzzle.id] = place
                yield puzzle
                show(place + 1, len(puzzles))

    named = list(pairs_of(noted()))
    places = np.array([place_of[name] for name, _ in named], np.uint32)
    return Fingerprints(keys_of([pair for _, pair in named]), places)


def load(path: Path, about: Described) -> Fingerprints:
    """The fingerprints in ``path``. ``BadInput`` if it is missing, damaged, or about anything else."""
    wanted = {"about": ("uint8", 1), "check": ("uint8", 1), "keys": ("uint32", 1), "places": ("uint32", 1)}
    arrays = read_arrays(path, wanted, _LARGEST)
    found = Fingerprints(arrays["keys"], arrays["places"])
    within = len(found.keys) == len(found.places) and found.places.max(initial=0) < max(about.puzzles, 1)
    if not within or arrays["about"].tobytes() != about.digest or arrays["check"].tobytes() != _checksum(found):
        raise BadInput(f"{path}: not the fingerprints of {about.task}: remove it")
    return found


def save(path: Path, about: Described, found: Fingerprints) -> None:
    """Write ``found`` to ``path``, whole or not at all."""
    digests = {"about": about.digest, "check": _checksum(found)}
    with replacing(path, parents=True) as temporary, temporary.open("wb") as file:
        arrays = {name: np.frombuffer(digest, np.uint8) for name, digest in digests.items()}
        np.savez_compressed(file, keys=found.keys, places=found.places, **arrays)


def _checksum(found: Fingerprints) -> bytes:
    return hashlib.sha256(found.keys.astype("<u4").tobytes() + found.places.astype("<u4").tobytes()).digest()
