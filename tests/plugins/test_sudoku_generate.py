"""Generated Sudokus: one solution each, the same everywhere, and splits that share nothing under symmetry."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from tests.test_solvers_sudoku import plain_solutions
from trm_harness.solvers.sudoku import box_shape
from trm_harness.solvers.sudoku_bands import Guessing
from trm_harness.types import Puzzle
from trm_task_sudoku import GENERATED, SPLITS, generate, native, shidoku, symmetry
from trm_task_sudoku.classes import canonical, renamed, signature, split_of
from trm_task_sudoku.generate import Recipe, draw, rated

from .sudoku_tasks import task

SIZES = tuple(GENERATED)


def recipe(size: int) -> Recipe:
    return Recipe.of({"size": size, **GENERATED[size]})


def cell_moves(size: int) -> np.ndarray:
    """Every way to move cells, closed up from single swaps alone: shares no code with the package."""
    height, width = box_shape(size)
    start = np.arange(size * size).reshape(size, size)
    lines = list(range(size))
    swaps = []
    for axis, band in ((0, height), (1, width)):
        for first in range(0, size, band):
            for inner in range(first, first + band - 1):
                swapped = lines.copy()
                swapped[inner], swapped[inner + 1] = inner + 1, inner
                swaps.append(np.take(start, swapped, axis).ravel())
            if first + band < size:
                swapped = lines[:first] + lines[first + band : first + 2 * band] + lines[first : first + band]
                swaps.append(np.take(start, swapped + lines[first + 2 * band :], axis).ravel())
    if height == width:
        swaps.append(start.T.ravel())
    found, fresh = {start.tobytes()}, [start.ravel()]
    while fresh:
        fresh = [move[swap] for move in fresh for swap in swaps]
        fresh = [move for move in {move.tobytes(): move for move in fresh}.values() if move.tobytes() not in found]
        found |= {move.tobytes() for move in fresh}
    return np.array([np.frombuffer(move, np.int64) for move in found])


def images(puzzle: np.ndarray, moves: np.ndarray) -> Iterator[tuple[int, ...]]:
    """All images of a puzzle, digits named in order of appearance (which covers every renaming)."""
    for cells in puzzle.ravel()[moves].tolist():
        names: dict[int, int] = {}
        yield tuple(names.setdefault(digit, len(names) + 1) if digit else 0 for digit in cells)


def own_image(puzzle: np.ndarray) -> tuple[int, ...]:
    return next(images(puzzle, np.arange(puzzle.size)[None]))


@pytest.mark.parametrize(("size", "ways"), [(4, 128), (6, 3456)])
def test_the_group_is_complete(size: int, ways: int) -> None:
    moves = cell_moves(size)
    assert len(moves) == ways
    assert symmetry.order(size) == ways * {4: 24, 6: 720}[size]


def test_no_4x4_puzzle_is_in_two_splits_by_brute_force() -> None:
    moves, seen = cell_moves(4), {}
    for split in SPLITS:
        for puzzle in task(4).puzzles(split):
            for image in set(images(puzzle.input, moves)):
                assert seen.setdefault(image, puzzle.id) == puzzle.id, "two listed puzzles are images of one another"
    # Other streams of training puzzles meet only images of the training list.
    for index in range(500):
        assert seen[own_image(task(4).sample(9, index).input)].startswith("train")


def test_no_6x6_puzzle_is_in_two_splits_by_brute_force() -> None:
    moves, subject = cell_moves(6), task(6)
    held_out = [*subject.puzzles("test")[:8], *subject.puzzles("validation")[:8]]
    seen = {image: puzzle.id for puzzle in held_out for image in images(puzzle.input, moves)}
    others = [*subject.puzzles("test")[8:], *subject.puzzles("validation")[8:]]
    others += [subject.sample(seed, index) for seed in (0, 5) for index in range(100)]
    assert not [other.id for other in others if own_image(other.input) in seen]
    assert own_image(held_out[0].input) in seen


@pytest.mark.parametrize("size", [6, 9])
def test_every_puzzle_is_in_the_split_that_owns_its_class(size: int) -> None:
    def key(puzzle: Puzzle) -> bytes:
        return canonical(puzzle.input) if size == 6 else signature(puzzle.answer)

    for split in ("validation", "test"):
        keys = [key(puzzle) for puzzle in task(size).puzzles(split)]
        assert len(set(keys)) == len(keys)
        assert {split_of(one) for one in keys} == {split}
    assert {split_of(key(task(size).sample(3, index))) for index in range(40)} == {"train"}


@pytest.mark.parametrize("size", SIZES)
def test_class_keys_do_not_change_under_symmetry(size: int) -> None:
    random = np.random.default_rng(size)
    for index in range(4):
        puzzle = task(size).puzzles("test")[index]
        moved = [symmetry.random(size, random) for _ in range(25)]
        assert len({signature(move.apply(puzzle.answer)) for move in moved}) == 1
        if size < 9:
            assert len({canonical(move.apply(puzzle.input)) for move in moved}) == 1


def test_4x4_puzzles_are_counted_exactly() -> None:
    listed = shidoku.essential_puzzles((0, 16))
    by_clues = np.bincount([mask.bit_count() for _, mask in listed])
    # 13 essentially different 4-clue puzzles, none with fewer: the known numbers for 4x4.
    assert by_clues[:5].tolist() == [0, 0, 0, 0, 13]
    assert by_clues[4:9].tolist() == [13, 96, 376, 711, 1040]
    # Burnside's other side: the orbits of the list fill the space of all uniquely solvable clue sets.
    moves, total = cell_moves(4), 0
    for puzzle in listed:
        question, answer = shidoku.boards(puzzle)
        pairs = {
            (own_image(a.reshape(4, 4)), tuple(q > 0))
            for q, a in zip(question.ravel()[moves], answer.ravel()[moves], strict=True)
        }
        total += len(pairs)
    shapes = {own_image(grid.reshape(4, 4)) for grid in shidoku.full_grids()}
    assert total == sum(len(shidoku.determining(np.array(shape, np.uint8), (0, 16))) for shape in shapes)


def test_split_sizes() -> None:
    sizes = {size: [len(task(size).puzzles(split)) for split in SPLITS] for size in SIZES}
    assert sizes == {4: [1486, 250, 500], 6: [10_000, 500, 500], 9: [10_000, 500, 500]}
    assert sum(sizes[4]) == len(shidoku.essential_puzzles((4, 8)))


@pytest.mark.parametrize(("size", "count"), [(4, 500), (6, 60), (9, 6)])
def test_solutions_are_unique_by_an_independent_search(size: int, count: int) -> None:
    for puzzle in task(size).puzzles("test")[:count]:
        found = plain_solutions(puzzle.input.copy())
        assert np.array_equal(next(found), puzzle.answer)
        assert next(found, None) is None


@pytest.mark.parametrize("size", SIZES)
def test_bundled_sets_are_what_the_generator_makes(size: int) -> None:
    low, high = GENERATED[size]["givens"]
    for split in ("validation", "test", *(["train"] if recipe(size).listed else [])):
        puzzles = task(size).puzzles(split)
        assert len(puzzles) == recipe(size).counts[split]
        for index in (0, 1, len(puzzles) - 1):
            made = draw(recipe(size), split, 0, index)
            assert np.array_equal(made.question, puzzles[index].input)
            assert np.array_equal(made.answer, puzzles[index].answer)
            assert made.rating == puzzles[index].facts["rating"]
        clues = [puzzle.facts["givens"] for puzzle in puzzles]
        assert min(clues) >= low
        assert max(clues) <= high


@pytest.mark.parametrize("size", SIZES)
def test_training_puzzles_are_proper_and_differ(size: int) -> None:
    made = [draw(recipe(size), "train", 4, index) for index in range(12)]
    assert len({drawn.question.tobytes() for drawn in made}) == 12
    for drawn in made:
        assert rated(drawn.question, drawn.answer).rating == drawn.rating
        assert ((drawn.question == 0) | (drawn.question == drawn.answer)).all()


def test_the_same_in_every_process() -> None:
    code = "import hashlib; from tests.plugins.test_sudoku_generate import fingerprint; print(fingerprint())"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for salt in ("1", "2")
    }
    assert runs == {fingerprint()}


def fingerprint() -> str:
    """Hash of some puzzles of every stream."""
    digest = hashlib.sha256()
    for size in SIZES:
        for seed, index in ((0, 0), (7, 3), (7, 4)):
            puzzle = task(size).sample(seed, index)
            digest.update(puzzle.id.encode() + puzzle.input.tobytes() + puzzle.answer.tobytes())
    return digest.hexdigest()


def test_renaming_is_by_appearance() -> None:
    assert renamed([0, 3, 3, 1, 0, 2]) == bytes([0, 1, 1, 2, 0, 3])


def test_the_c_solver_draws_the_same_puzzles(monkeypatch: pytest.MonkeyPatch) -> None:
    if native.compiled() is None:
        pytest.skip("no C compiler here")
    asked = []

    def listening(grid: np.ndarray, wanted: int) -> Guessing:
        asked.append(grid)
        return compiled(grid, wanted=wanted)

    compiled = native.compiled()
    monkeypatch.setattr(native, "compiled", lambda: listening)
    drawn = []
    for already in (-1_000_000, 1_000_000):
        monkeypatch.setattr(generate, "_ASKED", count(already))
        assert not asked
        drawn.append([draw(recipe(9), "train", 0, index) for index in range(12)])
    assert len(asked) > 200
    for one, other in zip(*drawn, strict=True):
        assert np.array_equal(one.question, other.question)
        assert (one.rating, one.answer.tobytes()) == (other.rating, other.answer.tobytes())
