"""The reference's token encoding of ARC grids, and the way back by its crop rule.

A grid of colours 0-9 lies on a square canvas (30 cells a side in the reference): PAD = 0, end marker = 1, colour
``c`` = ``c + 2``. End markers fill the row below and the column right of the grid, not the corner, and fall off
where the canvas ends. Canvases are flattened row by row.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.types import IGNORE_LABEL, Grid, Puzzle, Tokens

PAD = 0
END = 1
FIRST_COLOUR = 2
VOCABULARY = 12
FULL_SIDE = 30
LADDER = (4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
"""Canvas sides of ``canvas="fit"``: few enough that puzzles of one side fill a batch."""

Size = tuple[int, int]


def encode_grid(grid: Grid, side: int = FULL_SIDE, row: int = 0, column: int = 0) -> Tokens:
    """Tokens ``int32 [side * side]`` of ``grid [h, w]`` with its top-left cell at ``(row, column)``.

    A canvas smaller than 30 must have room for the end markers too; ``BadInput`` where the grid does not fit.
    """
    height, width = grid.shape
    bottom, right = row + height, column + width
    room = side if side == FULL_SIDE else side - 1
    if bottom > room or right > room:
        raise BadInput(
            f"a {height}x{width} grid at row {row}, column {column} does not fit a {side}x{side} canvas: "
            "use a larger canvas or a smaller offset"
        )
    canvas = np.zeros((side, side), dtype=np.int32)
    # Markers first: the slices clip at the canvas edge, and the grid's own cells are written after them.
    canvas[bottom : bottom + 1, column:right] = END
    canvas[row:bottom, right : right + 1] = END
    canvas[row:bottom, column:right] = grid
    canvas[row:bottom, column:right] += FIRST_COLOUR
    return canvas.reshape(-1)


def encode_pair(
    question: Grid, answer: Grid, side: int = FULL_SIDE, row: int = 0, column: int = 0
) -> tuple[Tokens, Tokens]:
    """Tokens of a training input and its labels on one canvas at one offset, each ``int32 [side * side]``."""
    return encode_grid(question, side, row, column), labels_of(encode_grid(answer, side, row, column))


def labels_of(tokens: Tokens) -> Tokens:
    """Targets of an encoded answer: colours and end markers count, PAD is ``IGNORE_LABEL`` as in the reference."""
    return np.where(tokens == PAD, np.int32(IGNORE_LABEL), tokens)


def random_offset(rng: np.random.Generator, question: Grid, answer: Grid, side: int = FULL_SIDE) -> Size:
    """A uniform (row, column) that keeps both grids on the canvas, as the reference draws for training pairs."""
    room = side if side == FULL_SIDE else side - 1
    height, width = np.maximum(question.shape, answer.shape)
    return int(rng.integers(0, room - height + 1)), int(rng.integers(0, room - width + 1))


def crop_sizes(canvases: NDArray[np.integer]) -> NDArray[np.int64]:
    """Sizes ``int64 [n, 2]`` of the grids that predicted canvases ``[n, rows, columns]`` hold.

    The reference looks from the top-left corner: after each row, the usable width is the smallest number of leading
    colour tokens so far; the largest area wins, the first one among equals. ``(0, 0)`` if the corner is no colour.
    """
    count, rows, _ = canvases.shape
    colour = (canvases >= FIRST_COLOUR) & (canvases < VOCABULARY)
    leading = np.logical_and.accumulate(colour, axis=2).sum(axis=2)
    width = np.minimum.accumulate(leading, axis=1)
    best = np.argmax(width * np.arange(1, rows + 1), axis=1)
    size = np.stack([best + 1, width[np.arange(count), best]], axis=1)
    size[size[:, 1] == 0] = 0
    return size


def decode_canvas(tokens: NDArray[np.integer], side: int = FULL_SIDE, row: int = 0, column: int = 0) -> Grid:
    """Grid of predicted tokens ``[side * side]`` whose answer starts at ``(row, column)``; may be ``(0, 0)``."""
    canvas = np.asarray(tokens).reshape(side, side)[row:, column:]
    height, width = crop_sizes(canvas[None])[0]
    return (canvas[:height, :width] - FIRST_COLOUR).astype(np.uint8)


@cache
def positions(side: int) -> Tokens:
    """Places ``int32 [side * side]`` of a canvas' cells on the full 30x30 canvas: ``row * 30 + column``. Read-only."""
    rows, columns = np.indices((side, side), dtype=np.int32)
    places = (rows * FULL_SIDE + columns).reshape(-1)
    places.setflags(write=False)
    return places


def ladder_side(extent: int) -> int:
    """Smallest canvas side of :data:`LADDER` for a largest grid side of ``extent`` cells and its end marker."""
    wanted = min(extent + 1, FULL_SIDE)
    return next(side for side in LADDER if side >= wanted)


def pair_side(question: Grid, answer: Grid) -> int:
    """Smallest canvas side that holds both grids of a training pair with their end markers.

    For a pair beyond the full canvas it is the pair's own extent, which no canvas has.
    """
    extent = max(*question.shape, *answer.shape)
    return ladder_side(extent) if extent <= FULL_SIDE else extent


def fit_side(puzzle: Puzzle) -> int:
    """Canvas side for a puzzle whose answer is unknown, guessed from demonstrations and test input alone.

    Never reads ``puzzle.answer``. A puzzle without demonstrations gets the full canvas.
    """
    if not puzzle.demonstrations:
        return FULL_SIDE
    return ladder_side(max(*puzzle.input.shape, *guess_size(puzzle)))


def guess_size(puzzle: Puzzle) -> Size:
    """Expected (height, width) of the answer of a puzzle with demonstrations; each axis is guessed by itself."""
    pairs = puzzle.demonstrations
    height, width = (
        _guess_axis(tuple((q.shape[axis], a.shape[axis]) for q, a in pairs), puzzle.input.shape[axis])
        for axis in (0, 1)
    )
    return height, width


@lru_cache(maxsize=4096)
def _guess_axis(lengths: tuple[Size, ...], test: int) -> int:
    """Answer length along one axis: kept, constant or in constant ratio to the input; else a generous bound."""
    outputs = {after for _, after in lengths}
    ratios = {Fraction(after, before) for before, after in lengths}
    scaled = test * max(ratios)
    if ratios == {Fraction(1)} or (len(ratios) == 1 and scaled.denominator == 1 and scaled <= FULL_SIDE):
        return int(scaled)
    if len(outputs) == 1:
        return max(outputs)
    # A third more than anything seen holds every ARC-1 answer; without it ten of the 835 would not fit.
    return min(math.ceil(max(*outputs, test, scaled) * 4 / 3), FULL_SIDE)
