"""Drawn training puzzles on disk: the same puzzles, drawn once a machine, and a bad file costs nothing but time."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from trm_task_sudoku import pool
from trm_task_sudoku.generate import Drawn, draw
from trm_task_sudoku.pool import Pool
from trm_task_sudoku.task import generated

from .sudoku_tasks import spec, task

COUNT = 40


@pytest.fixture
def drawn() -> list[int]:
    """The numbers of the puzzles that were really drawn."""
    return []


def made(file: Path, drawn: list[int]) -> Pool:
    recipe = task(6).recipe

    def make(index: int) -> Drawn:
        drawn.append(index)
        return draw(recipe, "train", 0, index)

    return Pool(file, 6, COUNT, make)


def same(one: Drawn, other: Drawn) -> bool:
    grids = np.array_equal(one.question, other.question) and np.array_equal(one.answer, other.answer)
    return grids and one.rating == other.rating


def test_puzzles_are_drawn_once_a_machine(tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SAVED_EVERY", 4)
    file = tmp_path / "below" / "pool.npz"
    first, other = made(file, drawn), made(file, drawn)
    whole = {index: first[index] for index in (7, 3, 9, 3, 1)}
    assert drawn == [7, 3, 9, 1]
    # Another process that began before the file was there keeps what it finds when it saves its own.
    for index in (2, 4, 5, 6):
        other[index]
    drawn.clear()
    later = made(file, drawn)
    assert all(same(later[index], puzzle) for index, puzzle in whole.items())
    assert all(same(later[index], draw(task(6).recipe, "train", 0, index)) for index in (2, 4, 5, 6))
    assert drawn == []


@pytest.mark.parametrize("content", ["cut", "other shape", "no solution", "nothing"])
def test_a_bad_file_is_passed_over_and_made_anew(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(pool, "SAVED_EVERY", 2)
    file = tmp_path / "pool.npz"
    first = made(file, drawn)
    whole = [first[0], first[1]]
    good = file.read_bytes()
    if content == "cut":
        file.write_bytes(good[:-30])
    elif content == "nothing":
        file.write_bytes(b"")
    else:
        with np.load(file) as arrays:
            grids, ratings = arrays["grids"], arrays["ratings"]
        if content == "no solution":
            grids[0, 1, 0, 0] = grids[0, 1, 0, 1]
        np.savez(file, grids=grids[:-1] if content == "other shape" else grids, ratings=ratings)
    drawn.clear()
    again = made(file, drawn)
    assert all(same(again[index], whole[index]) for index in (0, 1))
    assert drawn == [0, 1]
    drawn.clear()
    assert same(made(file, drawn)[1], whole[1])
    assert drawn == []


def test_a_cache_that_cannot_be_written_changes_nothing(drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SAVED_EVERY", 1)
    kept = made(Path(os.devnull, "pool.npz"), drawn)
    assert same(kept[5], draw(task(6).recipe, "train", 0, 5))
    assert same(kept[5], kept[5])
    assert drawn == [5]


def test_training_puzzles_are_the_stream_with_and_without_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(pool, "SAVED_EVERY", 3)
    places = (0, 63, 64, 70, 9_999)
    for _ in range(2):
        mine = generated(spec(6))
        for place in places:
            puzzle, want = mine.puzzles("train")[place], mine.sample(0, place)
            assert (puzzle.id, puzzle.facts) == (want.id, want.facts)
            assert np.array_equal(puzzle.input, want.input)
            assert np.array_equal(puzzle.answer, want.answer)
    assert len(list((tmp_path / "trm-harness" / "drawn").iterdir())) == 1


def test_a_part_of_the_pool_travels_to_a_process_that_draws() -> None:
    source = task(6).training_source(1, {}, {"puzzles": 20})
    there = pickle.loads(pickle.dumps(source))
    (bucket,) = source.buckets
    assert (there.draw(bucket, 3, 8).tokens == source.draw(bucket, 3, 8).tokens).all()
