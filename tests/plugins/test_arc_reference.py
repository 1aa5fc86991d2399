"""The reference's augmentation and builder: every draw, every array, every identifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity_files import golden, read_json
from trm_harness.augment import dihedral, permute_symbols
from trm_harness.types import BLANK_NAME
from trm_task_arc import data as arc_data
from trm_task_arc import reference
from trm_task_arc.data import ArcProblem, Pair

from .arc_builder import Dataset, build_dataset
from .arc_support import CONCEPT, arc1_tasks, sha256

PREFIXES = {
    "arcagi": (730_515, "082676e9992a2e8e8c54ae4d730bf8a16c216c03e24598c718e04d7ff2d925a5"),
    "kaggle2025": (1_045_839, "7d64b4d04bf4b98cda3762cca02e2bf3503b540cd5bbaff3901d523cf5de3356"),
}
WITH_CONCEPT = {
    "arcagi": (876_406, "9f42efad9afc8796ba45dafa973e19484bc7d9006a847eba632453ff397b1ac9"),
    "kaggle2025": (1_191_730, "d7ff9bada1e1b449013a475ea6cd83d4dfda6c38ad40ca58940c2c7e6ad3aca3"),
}


@dataclass(frozen=True)
class Built:
    """Golden arrays of the reference's builder, and how it was run: the arrays' name says which part of the facts."""

    file: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The part of ``meta.json`` that is about these arrays."""
        facts, variant = read_json(self.file.with_name("meta.json")), self.file.stem.partition("_")[2]
        return {"config": facts["config"] | {"num_aug": None}, **facts[variant]} if variant else facts

    @cached_property
    def identifiers(self) -> list[str]:
        """The builder's list of names."""
        return self.facts.get("identifiers") or read_json(self.file.with_name("identifiers.json"))

    @property
    def first_id(self) -> int:
        """Number of the first name: those before it are blank."""
        return sum(name == BLANK_NAME for name in self.identifiers)

    @property
    def augmentations(self) -> int:
        """How many were asked for, where that is not said the most that a task got."""
        told = self.facts["config"]["num_aug"]
        return max(map(len, reference.views_by_task(self.identifiers).values())) - 1 if told is None else told

    @cached_property
    def subsets(self) -> dict[str, list[ArcProblem]]:
        """The tasks in the order of the files."""
        folder, names = self.file.with_name("input"), self.facts["config"]["subsets"]
        files = {
            name: [folder / f"arc-agi_{name}_{what}.json" for what in ("challenges", "solutions")] for name in names
        }
        return {name: arc_data.kaggle(challenges, solutions) for name, (challenges, solutions) in files.items()}

    def built(self) -> Dataset:
        """The data set by our own pieces."""
        config = self.facts["config"]
        return build_dataset(self.subsets, config["test_set_name"], self.augmentations, config["seed"], self.first_id)


BUILT = [pytest.param(Built(found.values[0]), id=found.id) for found in golden("data/arc/expected*.npz")]


def plain_keys(pairs: Sequence[Pair], views: reference.Views) -> list[tuple]:
    """Each augmented copy's pairs themselves, in an order that does not depend on the original's."""

    def seen(grid: np.ndarray, k: int, colours: np.ndarray) -> tuple:
        turned = dihedral(permute_symbols(grid, colours), int(k))
        return turned.shape, turned.tobytes()

    return [tuple(sorted((seen(q, *view), seen(a, *view)) for q, a in pairs)) for view in zip(*views, strict=True)]


@pytest.mark.parametrize("case", BUILT)
def test_built_arrays_equal_the_references(case: Built) -> None:
    built = case.built()
    assert built.identifiers == case.identifiers
    assert built.test_tasks == case.facts.get("test_puzzles_order", built.test_tasks)
    with np.load(case.file) as expected:
        assert set(built.arrays) == set(expected.files)
        for name in expected.files:
            np.testing.assert_array_equal(built.arrays[name], expected[name], strict=True)


@pytest.mark.parametrize("case", BUILT)
def test_names_are_those_of_the_reference_whatever_the_split(case: Built) -> None:
    tasks = case.subsets.values()
    names = reference.identifiers_of(tasks, case.facts["config"]["seed"], case.augmentations)
    assert names == case.identifiers[case.first_id - 1 :]


def test_hidden_answers_become_the_references_dummy() -> None:
    (task, *_) = arc1_tasks().values()
    hidden = tuple(Pair(pair.input, None) for pair in task.test)
    for pair, known in zip(hidden, reference.known_pairs((*hidden, *task.train)), strict=False):
        assert known.input is pair.input
        np.testing.assert_array_equal(known.output, np.zeros((1, 1), np.uint8), strict=True)
    assert reference.known_pairs(task.train) == task.train


CROSS = np.array([[0, 1, 0], [2, 0, 2], [0, 1, 0]], np.uint8)
DOT = np.zeros((1, 1), np.uint8)
MADE = {
    # Symmetric under every turn, with two colours that change places with a turn: few different views.
    "symmetric": (Pair(CROSS, CROSS), Pair(CROSS[:1], CROSS[:, :1].T.copy()), Pair(CROSS, CROSS)),
    # Exchanging two colours keeps how often each colour lies in each cell, but not the grids.
    "balanced": tuple(Pair(np.array([row], np.uint8), DOT) for row in ([1, 9], [9, 3], [3, 1])),
}


@pytest.mark.parametrize("task", ["67a3c6ac", "7468f01a", "25ff71a9", "00576224", "f25ffba3", *MADE])
def test_content_keys_are_equal_exactly_when_the_pairs_are(task: str) -> None:
    pairs = MADE[task] if task in MADE else arc1_tasks()[task].pairs
    rng = np.random.default_rng(0)
    permutation = np.tile(np.arange(10, dtype=np.uint8), (400, 1))
    for row in permutation[::2]:
        row[1:] = rng.permutation(row[1:])
    # Few colours change in the other half, so that some copies are equal for want of a colour.
    for row in permutation[1::2]:
        row[[1, 9]] = row[rng.permutation([1, 9])]
    views = reference.Views(rng.integers(0, 8, 400), permutation)
    keys, plain = reference.ContentHash(pairs)(views), plain_keys(pairs, views)
    assert len(set(zip(keys, plain, strict=True))) == len(set(keys)) == len(set(plain))
    assert len(set(plain)) < 400


def test_a_task_with_few_different_views_ends_after_five_trials_a_view() -> None:
    black = np.zeros((2, 2), np.uint8)
    rng, untouched = np.random.RandomState(0), np.random.RandomState(0)
    views = reference.draw_views(rng, (Pair(black, black),), 7)
    assert len(views.dihedral) == 1
    for _ in range(35):
        untouched.randint(0, 8)
        untouched.permutation(np.arange(1, 10, dtype=np.uint8))
    assert rng.randint(2**31) == untouched.randint(2**31)


def test_views_by_task_follow_the_identifiers() -> None:
    listed = ["<blank>", "a", "a|||t7|||0612397845", "b", "b|||t1|||0123456789"]
    assert reference.views_by_task(listed) == {"a": ["", "t7|||0612397845"], "b": ["", "t1|||0123456789"]}


@pytest.mark.slow
@pytest.mark.parametrize("version", PREFIXES)
def test_identifiers_equal_the_references(version: str) -> None:
    identifiers = reference.reference_identifiers(version)
    assert (len(identifiers), sha256(identifiers)) == PREFIXES[version]


@pytest.mark.slow
@pytest.mark.skipif(not CONCEPT.is_dir(), reason="ConceptARC is not here")
@pytest.mark.parametrize("version", WITH_CONCEPT)
def test_identifiers_with_concept_arc_equal_the_references(version: str) -> None:
    subsets = [arc_data.bundled(version, split).tasks for split in arc_data.SPLITS]
    concept = arc_data.folder(CONCEPT, "evaluation", {"evaluation": ("concept",)}).tasks
    identifiers = reference.identifiers_of([*subsets, concept])
    assert (len(identifiers), sha256(identifiers)) == WITH_CONCEPT[version]
    assert sha256(identifiers[: PREFIXES[version][0]]) == PREFIXES[version][1]
