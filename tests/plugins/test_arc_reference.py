"""The reference's augmentation and builder: every draw, every array, every identifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from trm_harness.augment import dihedral, permute_symbols
from trm_harness.errors import BadInput
from trm_task_arc import data as arc_data
from trm_task_arc import reference
from trm_task_arc.data import ArcProblem, Pair

from .arc_support import CONCEPT, FULL, SUBSET, arc1_tasks, read_json, sha256

BUILDER = read_json(SUBSET / "builder.json")
PREFIXES = {
    "arcagi": (730_515, "082676e9992a2e8e8c54ae4d730bf8a16c216c03e24598c718e04d7ff2d925a5"),
    "kaggle2025": (1_045_839, "7d64b4d04bf4b98cda3762cca02e2bf3503b540cd5bbaff3901d523cf5de3356"),
}
WITH_CONCEPT = {
    "arcagi": (876_406, "9f42efad9afc8796ba45dafa973e19484bc7d9006a847eba632453ff397b1ac9"),
    "kaggle2025": (1_191_730, "d7ff9bada1e1b449013a475ea6cd83d4dfda6c38ad40ca58940c2c7e6ad3aca3"),
}


def subsets() -> dict[str, list[ArcProblem]]:
    """The fixture's tasks, by id, in its order of tasks and of pairs."""
    return {
        name: [ArcProblem(id, arc1_tasks()[id].train, arc1_tasks()[id].test, test_first=first) for id, first in tasks]
        for name, tasks in BUILDER["subsets"].items()
    }


def plain_keys(pairs: Sequence[Pair], views: reference.Views) -> list[tuple]:
    """Each augmented copy's pairs themselves, in an order that does not depend on the original's."""

    def seen(grid: np.ndarray, k: int, colours: np.ndarray) -> tuple:
        turned = dihedral(permute_symbols(grid, colours), int(k))
        return turned.shape, turned.tobytes()

    return [tuple(sorted((seen(q, *view), seen(a, *view)) for q, a in pairs)) for view in zip(*views, strict=True)]


@pytest.mark.parametrize("case", BUILDER["cases"], ids=["augmented", "plain, ids from 3"])
def test_built_arrays_equal_the_references(case: dict) -> None:
    built = reference.build_dataset(subsets(), "evaluation", case["num_aug"], case["seed"], case["first_id"])
    assert sha256(built.identifiers) == case["identifiers_sha256"]
    assert built.test_tasks == case["test_tasks"]
    for name, expected in case["arrays"].items():
        split, key = name.split(".")
        array = built.arrays[split][key]
        assert [str(array.dtype), list(array.shape), sha256(array.tobytes())] == expected, name


@pytest.mark.skipif(not FULL.is_dir(), reason="the full fixtures are not here")
@pytest.mark.parametrize(("file", "num_aug", "first_id"), [("expected", 20, 1), ("expected_noaug_start3", 0, 3)])
def test_building_from_the_source_files_gives_the_fixture(file: str, num_aug: int, first_id: int) -> None:
    folder = FULL / "data" / "arc"
    tasks = {split: arc_data.folder(folder / "input", split).tasks for split in arc_data.SPLITS}
    built = reference.build_dataset(tasks, "evaluation", num_aug, first_id=first_id)
    for name, expected in np.load(folder / f"{file}.npz").items():
        split, key = name.split(".")
        np.testing.assert_array_equal(built.arrays[split][key], expected, strict=True)


@pytest.mark.parametrize("order", [["evaluation", "training"], ["training"]])
def test_a_test_subset_that_comes_first_or_not_at_all_is_refused(order: list[str]) -> None:
    with pytest.raises(BadInput, match="must be one of the subsets"):
        reference.build_dataset({name: subsets()[name] for name in order}, "evaluation", 0)


def test_hidden_answers_become_the_references_dummy() -> None:
    known = subsets()
    hidden = [
        ArcProblem(t.id, t.train, tuple(Pair(p.input, None) for p in t.test), t.test_first) for t in known["evaluation"]
    ]
    built = reference.build_dataset({**known, "evaluation": hidden}, "evaluation", 0)
    dummy = np.zeros((30, 30), np.uint8)
    dummy[0, 0], dummy[0, 1], dummy[1, 0] = 2, 1, 1
    assert (built.arrays["test"]["labels"] == dummy.ravel()).all()


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
    identifiers = reference.reference_identifiers(version, concept_dir=CONCEPT)
    assert (len(identifiers), sha256(identifiers)) == WITH_CONCEPT[version]
    assert sha256(identifiers[: PREFIXES[version][0]]) == PREFIXES[version][1]
