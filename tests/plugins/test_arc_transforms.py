"""ARC views: the reference's names and maps, exact inverses, the same draws everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.parity_files import golden, read_json
from trm_harness.errors import BadInput
from trm_harness.types import Grid
from trm_task_arc import transforms

GRIDS = arrays(np.uint8, st.tuples(st.integers(0, 12), st.integers(0, 12)), elements=st.integers(0, 9))
NAMES = st.builds(lambda k, p: f"t{k}|||{''.join(map(str, p))}", st.integers(0, 7), st.permutations(list(range(10))))


def grid_sha256(grid: Grid) -> str:
    return hashlib.sha256(bytes(grid.shape) + np.ascontiguousarray(grid).tobytes()).hexdigest()


EXAMPLES = [
    pytest.param(item, id=f"{item['name']}-{found.id}")
    for found in golden("data/aug_examples.json")
    for item in read_json(found.values[0])["items"]
]


@pytest.mark.parametrize("dihedral", range(8))
@pytest.mark.parametrize("file", golden("data/dihedral.npz"))
def test_dihedral_maps_equal_the_references(file: Path, dihedral: int) -> None:
    fixture = np.load(file)
    # The fixture numbers its cells 0-11, two more than there are colours.
    grid, turned, back = (
        fixture[key] % 10 for key in ("input", f"t{dihedral}", f"inverse_of_t{dihedral}_applied_to_input")
    )
    name = f"t{dihedral}|||0123456789"
    np.testing.assert_array_equal(transforms.apply(grid, name), turned)
    np.testing.assert_array_equal(transforms.invert(grid, name), back)


@pytest.mark.parametrize("item", EXAMPLES)
def test_augmentations_equal_the_references(item: dict) -> None:
    grid, expected = (np.array(item[key], np.uint8) for key in ("grid", "augmented"))
    _, view = transforms.split_identity(item["name"])
    np.testing.assert_array_equal(transforms.apply(grid, view), expected)
    np.testing.assert_array_equal(transforms.invert(expected, view), grid)
    assert grid_sha256(grid) == item["grid_sha256"]
    assert grid_sha256(transforms.apply(grid, view)) == item["augmented_sha256"]


@given(GRIDS, NAMES)
def test_inverting_gives_back_the_grid(grid: Grid, name: str) -> None:
    np.testing.assert_array_equal(transforms.invert(transforms.apply(grid, name), name), grid)
    np.testing.assert_array_equal(transforms.apply(transforms.invert(grid, name), name), grid)


@given(NAMES)
def test_names_survive_parsing(name: str) -> None:
    assert transforms.name_of(*transforms.parse(name)) == ("" if name == "t0|||0123456789" else name)
    assert transforms.split_identity(transforms.identity_of("00576224", name)) == ("00576224", name)


def test_the_identity_has_no_name() -> None:
    assert transforms.identity_of("00576224", "") == "00576224"
    assert transforms.split_identity("00576224") == ("00576224", "")
    grid = np.array([[1, 2]], np.uint8)
    assert transforms.apply(grid, "") is grid


@pytest.mark.parametrize("name", ["t8|||0123456789", "t1|||0012345678", "t1|||123", "t1", "x", "t1|||0123456789|||"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="is malformed"):
        transforms.apply(np.zeros((1, 1), np.uint8), name)


def test_samples_are_distinct_prefix_stable_and_keep_black() -> None:
    names = transforms.sample("00576224", 300, seed=3)
    assert names[0] == ""
    assert len(set(names)) == 300
    assert transforms.sample("00576224", 17, seed=3) == names[:17]
    assert all(transforms.parse(name).permutation[0] == 0 for name in names)
    assert {transforms.parse(name).dihedral for name in names} == set(range(8))
    assert transforms.sample("00576224", 9, seed=4)[1:] != names[1:9]
    assert transforms.sample("007bbfb7", 9, seed=3)[1:] != names[1:9]
    assert transforms.sample("00576224", 0, seed=3) == []


def test_samples_do_not_depend_on_the_process() -> None:
    script = "from trm_task_arc import transforms; print(*transforms.sample('00576224', 5, 7), sep=',')"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip().split(",") == transforms.sample("00576224", 5, 7)
