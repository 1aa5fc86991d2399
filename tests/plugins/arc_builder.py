"""The reference's ARC data builder, made of the draws and encodings that the product uses, so that these are proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_harness import augment
from trm_harness.types import BLANK_NAME
from trm_task_arc.data import ArcProblem, Pair
from trm_task_arc.encoding import FULL_SIDE, encode_grid
from trm_task_arc.reference import Views, drawn_views, known_pairs, view_names


@dataclass(frozen=True, eq=False)
class Dataset:
    """What the reference's builder writes.

    ``identifiers[i]`` is the name of id ``i``; ``arrays["train.inputs"]`` and so on are ``inputs`` and ``labels``
    ``uint8 [n, 900]``, ``puzzle_identifiers`` ``int32 [puzzles]`` and the ``int32`` bounds ``puzzle_indices`` and
    ``group_indices``; ``test_tasks`` are the ids of the test subset in shuffled order.
    """

    identifiers: list[str]
    arrays: dict[str, NDArray[np.integer]]
    test_tasks: list[str]


class Group(NamedTuple):
    """A task's pairs for one split and the views under which they are stored."""

    task: str
    pairs: tuple[Pair, ...]
    views: Views


def build_dataset(
    subsets: Mapping[str, Sequence[ArcProblem]], test_subset: str, num_aug: int, seed: int, first_id: int
) -> Dataset:
    """The builder's arrays for ``subsets`` in their order; ``test_subset`` gives the test pairs to evaluate on.

    The train arrays hold all demonstrations and the other subsets' test pairs. ``test_subset`` may not come first:
    the reference's own order then varies by process.
    """
    assert test_subset in list(subsets)[1:]
    rng = np.random.RandomState(seed)
    train, test = [], []
    for subset, tasks in subsets.items():
        for task, views in drawn_views(rng, tasks, num_aug):
            if subset == test_subset:
                train.append(Group(task.id, task.train, views))
                test.append(Group(task.id, known_pairs(task.test), views))
            else:
                train.append(Group(task.id, known_pairs(task.pairs), views))
    # Train before test, whatever the subsets' order: a released table's rows were numbered so.
    names = dict.fromkeys(name for group in (*train, *test) for name in view_names(group.task, group.views))
    ids = {name: first_id + place for place, name in enumerate(names)}
    arrays = {f"train.{key}": array for key, array in _arrays(rng, train, ids, translate=True).items()}
    arrays |= {f"test.{key}": array for key, array in _arrays(rng, test, ids, translate=False).items()}
    return Dataset([BLANK_NAME] * first_id + list(ids), arrays, [group.task for group in test])


def _arrays(
    rng: np.random.RandomState, groups: Sequence[Group], ids: Mapping[str, int], translate: bool
) -> dict[str, NDArray[np.integer]]:
    """One split's arrays; of each view of a task, one drawn example stays at the origin."""
    rows: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    puzzle_ids, puzzle_bounds, group_bounds = [], [0], [0]
    for group in groups:
        for name, *view in zip(view_names(group.task, group.views), *group.views, strict=True):
            fixed = rng.randint(0, len(group.pairs))
            rows += [_placed(rng, pair, view, translate and i != fixed) for i, pair in enumerate(group.pairs)]
            puzzle_ids.append(ids[name])
            puzzle_bounds.append(len(rows))
        group_bounds.append(len(puzzle_ids))
    inputs, labels = (np.array(side, dtype=np.uint8) for side in zip(*rows, strict=True))
    bounds = {"puzzle_identifiers": puzzle_ids, "puzzle_indices": puzzle_bounds, "group_indices": group_bounds}
    return {"inputs": inputs, "labels": labels, **{k: np.array(v, dtype=np.int32) for k, v in bounds.items()}}


def _placed(
    rng: np.random.RandomState, pair: Pair, view: Sequence[NDArray], translate: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Both grids of a pair under a view, on full canvases at one offset."""
    dihedral, colours = view
    seen = [augment.dihedral(augment.permute_symbols(grid, colours), int(dihedral)) for grid in pair]
    row = column = 0
    if translate:
        height, width = np.maximum(*(grid.shape for grid in seen))
        row, column = rng.randint(0, FULL_SIDE - height + 1), rng.randint(0, FULL_SIDE - width + 1)
    question, answer = (encode_grid(grid, FULL_SIDE, row, column) for grid in seen)
    return question, answer
