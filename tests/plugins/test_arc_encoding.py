"""ARC tokens: equal to the reference's builder, decoded by its crop rule, on canvases that never see the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.parity_files import golden_groups
from trm_harness.errors import BadInput
from trm_harness.types import IGNORE_LABEL, Grid
from trm_task_arc import encoding as enc

from .arc_cases import ARC_CASES, ArcCase
from .arc_support import arc_task, made_puzzle, puzzle

GRIDS = arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.integers(0, 9))
CANVASES = arrays(np.int32, st.just((6, 6)), elements=st.integers(0, 12))


def plain_crop(canvas: np.ndarray) -> tuple[int, int]:
    """The crop rule as a person reads it: every rectangle of colours at the corner, row by row."""
    best, best_area, usable = (0, 0), 0, canvas.shape[1]
    for row in range(canvas.shape[0]):
        for column in range(usable):
            if not 2 <= canvas[row, column] <= 11:
                usable = column
                break
        if (row + 1) * usable > best_area:
            best, best_area = (row + 1, usable), (row + 1) * usable
    return best


@pytest.mark.parametrize(("file", "index"), golden_groups("data/translation_examples.npz"))
def test_sequences_equal_the_references(file: Path, index: str) -> None:
    fixture = np.load(file)
    question, answer = fixture[f"{index}.input_grid"], fixture[f"{index}.output_grid"]
    expected = fixture[f"{index}.input_seq"], fixture[f"{index}.output_seq"]
    offset = np.argwhere(expected[0].reshape(30, 30)).min(axis=0)
    assert offset.any() == fixture[f"{index}.do_translation"]
    for grid, sequence in zip((question, answer), expected, strict=True):
        np.testing.assert_array_equal(enc.encode_grid(grid, 30, *offset), sequence)


def test_end_markers_surround_the_grid_but_not_its_corner() -> None:
    canvas = enc.encode_grid(np.array([[0, 9]], np.uint8), side=4).reshape(4, 4)
    np.testing.assert_array_equal(canvas, [[2, 11, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_labels_ignore_padding_and_keep_end_markers() -> None:
    _, labels = enc.encode_pair(np.zeros((3, 3), np.uint8), np.array([[5]], np.uint8), side=4)
    assert labels.dtype == np.int32
    assert {int(v): int((labels == v).sum()) for v in np.unique(labels)} == {IGNORE_LABEL: 13, 1: 2, 7: 1}


@given(GRIDS, st.data())
def test_decoding_gives_back_what_was_encoded(grid: Grid, data: st.DataObject) -> None:
    side = data.draw(st.sampled_from([s for s in enc.LADDER if s >= enc.pair_side(grid, grid)]))
    room = side - (side < 30)
    row, column = data.draw(st.integers(0, room - grid.shape[0])), data.draw(st.integers(0, room - grid.shape[1]))
    tokens = enc.encode_grid(grid, side, row, column)
    assert tokens.shape == (side * side,)
    assert tokens.max() < enc.VOCABULARY
    np.testing.assert_array_equal(enc.decode_canvas(tokens, side, row, column), grid)


@given(arrays(np.int32, st.just((3, 6, 6)), elements=st.integers(0, 12)), st.integers(2, 11))
def test_the_fast_crop_is_the_plain_one(canvases: np.ndarray, corner: int) -> None:
    # Random corners are rarely colours for long, so one canvas is mostly colours with a few holes.
    canvases[0] = np.where(canvases[0] < 2, canvases[0], corner)
    assert enc.crop_sizes(canvases).tolist() == [list(plain_crop(canvas)) for canvas in canvases]


def test_crop_takes_the_first_of_equal_areas_and_nothing_without_a_corner() -> None:
    ragged = np.array([[3, 3, 3, 3, 0], [3, 3, 0, 0, 0], [0, 0, 0, 0, 0], [0] * 5, [0] * 5])
    assert enc.crop_sizes(ragged[None]).tolist() == [[1, 4]]
    assert enc.decode_canvas(np.ones(25, np.int32), 5).shape == (0, 0)
    assert [enc.decode_canvas(tokens, 5).shape for tokens in (ragged.ravel(), np.zeros(25, int))] == [
        (1, 4),
        (0, 0),
    ]


@pytest.mark.parametrize("case", ARC_CASES)
def test_crops_of_recorded_predictions_equal_the_plain_rule(case: ArcCase) -> None:
    canvases = case.stream.preds.reshape(-1, 30, 30)
    expected = [list(plain_crop(canvas)) for canvas in canvases]
    assert enc.crop_sizes(canvases).tolist() == expected
    assert len({tuple(size) for size in expected}) > 1


@pytest.mark.parametrize(
    ("shape", "side", "row", "column"),
    [((12, 3), 10, 0, 0), ((3, 10), 10, 0, 0), ((30, 30), 30, 0, 1), ((9, 9), 10, 1, 0), ((31, 2), 30, 0, 0)],
)
def test_nothing_is_cut_to_fit(shape: tuple[int, int], side: int, row: int, column: int) -> None:
    with pytest.raises(BadInput, match=rf"{shape[0]}x{shape[1]} grid .* does not fit a {side}x{side} canvas"):
        enc.encode_grid(np.zeros(shape, np.uint8), side, row, column)


def test_a_full_canvas_takes_a_30x30_grid_without_markers() -> None:
    tokens = enc.encode_grid(np.full((30, 30), 4, np.uint8))
    assert (tokens == 6).all()


@given(GRIDS, GRIDS, st.integers(0, 2**32))
def test_random_offsets_keep_both_grids_on_the_canvas(question: Grid, answer: Grid, seed: int) -> None:
    side = enc.pair_side(question, answer)
    offset = enc.random_offset(np.random.default_rng(seed), question, answer, side)
    tokens, _ = enc.encode_pair(question, answer, side, *offset)
    np.testing.assert_array_equal(enc.decode_canvas(tokens, side, *offset), question)


@pytest.mark.parametrize(
    ("question", "demonstrations", "guess"),
    [
        ((7, 5), [((3, 3), (3, 3)), ((4, 9), (4, 9))], (7, 5)),
        ((7, 5), [((3, 3), (2, 6)), ((4, 9), (2, 6))], (2, 6)),
        ((4, 5), [((2, 4), (6, 2)), ((3, 6), (9, 3))], (12, 7)),
        ((4, 6), [((2, 4), (6, 2)), ((3, 6), (9, 3))], (12, 3)),
        ((20, 20), [((2, 2), (6, 6)), ((3, 3), (9, 9))], (30, 30)),
        ((5, 5), [((3, 3), (9, 9)), ((4, 4), (16, 16))], (27, 27)),
    ],
    ids=["kept", "constant", "ratio no whole number", "ratio", "ratio over 30", "no rule"],
)
def test_answer_sizes_are_guessed_axis_by_axis(
    question: tuple[int, int], demonstrations: list, guess: tuple[int, int]
) -> None:
    made = made_puzzle(question, demonstrations)
    assert enc.guess_size(made) == guess
    assert enc.fit_side(made) == enc.ladder_side(max(*question, *guess))


def test_without_demonstrations_the_canvas_is_full() -> None:
    assert enc.fit_side(made_puzzle((3, 3), [])) == 30


@pytest.mark.parametrize(
    ("task", "split", "lost", "cells"),
    [("arc1", "training", [], 270), ("arc1", "evaluation", [], 390), ("arc2", "evaluation", ["bf45cf4b_0"], 680)],
)
def test_guessed_canvases_hold_real_answers_and_save_cells(task: str, split: str, lost: list[str], cells: int) -> None:
    puzzles = arc_task(task).puzzles(split)
    assert [p.id for p in puzzles if enc.fit_side(p) < enc.pair_side(p.input, p.answer)] == lost
    assert np.mean([enc.fit_side(p) ** 2 for p in puzzles]) < cells


@pytest.mark.parametrize("canvas", ["full", "fit", 30])
def test_encoding_never_looks_at_the_answer(canvas: str | int) -> None:
    task, real = arc_task(), puzzle("00576224")
    seen = task.encode(real, "", {"canvas": canvas})
    for answer in (None, np.full((30, 30), 7, np.uint8), np.zeros((1, 1), np.uint8)):
        other = task.encode(replace(real, answer=answer), "", {"canvas": canvas})
        np.testing.assert_array_equal(seen.tokens, other.tokens)
        assert (seen.layout, seen.identity) == (other.layout, other.identity)


def test_a_fitted_canvas_keeps_the_positions_of_the_full_one() -> None:
    task, real = arc_task(), puzzle("00576224")
    full, fit = (task.encode(real, "", {"canvas": canvas}) for canvas in ("full", "fit"))
    assert (full.positions, full.length, full.layout) == (None, 900, (30, 30, 0, 0))
    assert (fit.length, fit.layout) == (64, (8, 8, 0, 0))
    np.testing.assert_array_equal(full.tokens[fit.positions], fit.tokens)
    np.testing.assert_array_equal(enc.positions(30), np.arange(900))
