"""Content hashes: of grids, puzzles, data sets and files, and of puzzles up to their symmetries.

The plain hashes change with a single cell; :func:`canonical_fingerprint` stays the same when a puzzle is turned,
mirrored, recoloured or its demonstrations are shuffled, which is how equal puzzles are found across data sets whose
names for them differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_harness.augment import dihedral
from trm_harness.errors import BadInput
from trm_harness.types import Grid, Puzzle

_FREE = 256
_NO_GRID = b"none"
_AT_ONCE = 1024
"""Pairs whose eight views are held in memory together."""


def grid_bytes(grid: Grid) -> bytes:
    """Height and width in one byte each, then the cells row by row (the byte string the reference hashes).

    ``ValueError`` for a grid that is not 2-D or longer than 255 on a side.
    """
    if grid.ndim != 2 or max(grid.shape) > 255:
        raise ValueError(f"a grid of shape {grid.shape} has no byte form: 2-D, up to 255 on a side")
    return bytes(grid.shape) + np.asarray(grid, dtype=np.uint8).tobytes()


def puzzle_sha256(puzzle: Puzzle) -> str:
    """Hex sha256 of a puzzle's content: input, answer (or that it is hidden) and demonstrations in their order.

    Names (``id``, ``group``) and ``facts`` stay out of it.
    """
    digest = hashlib.sha256()
    for question, answer in ((puzzle.input, puzzle.answer), *puzzle.demonstrations):
        for grid in (question, answer):
            _feed(digest, _NO_GRID if grid is None else grid_bytes(grid))
    return digest.hexdigest()


def dataset_sha256(puzzles: Iterable[Puzzle]) -> str:
    """Hex sha256 of puzzles in their order: ``id``, ``group`` and content of each."""
    digest = hashlib.sha256()
    for puzzle in puzzles:
        for part in (puzzle.id, puzzle.group, puzzle_sha256(puzzle)):
            _feed(digest, part.encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in pieces. ``BadInput`` if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): check the path") from error


def canonical_fingerprint(puzzle: Puzzle, fixed: Collection[int] = (0,)) -> str:
    """Hex sha256 that equal puzzles share whatever their orientation, colours and order of demonstrations.

    The 8 dihedral maps and any renaming of symbols act on input, answer and demonstrations together; symbols in
    ``fixed`` keep their names (0: black in ARC, blank in Sudoku; a maze fixes all of its symbols). Equal puzzles
    never differ. Different ones could agree only if colour refinement cannot tell their demonstrations apart, such
    as six demonstrations of one two-colour pattern whose colours link up as one ring of six or two of three.
    """
    pairs = ((puzzle.input, puzzle.answer), *puzzle.demonstrations)
    return hashlib.sha256(min(_oriented_code(pairs, index, fixed) for index in range(8))).hexdigest()


def symmetry_keys(questions: NDArray[np.uint8], answers: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """A number for each (question, answer) pair that no symmetry of :func:`canonical_fingerprint` changes.

    ``questions`` and ``answers`` are ``uint8 [n, height, width]`` of any two sizes, the result is ``uint32 [n]``. Equal
    pairs share their number, and of unequal ones one in four thousand million does. Some 30 us a pair, many at once.
    """
    count = len(questions)
    flat = np.concatenate([questions.reshape(count, -1), answers.reshape(count, -1)], axis=1)
    symbols = np.union1d(flat, [0])
    cells = np.searchsorted(symbols, flat).astype(np.uint8)
    first, second = _views(questions.shape[1:]), _views(answers.shape[1:])
    orders = np.concatenate([first, second + np.int32(first.shape[1])], axis=1)
    keys = [
        _orbit_hash(cells[start : start + _AT_ONCE, orders].reshape(-1, cells.shape[1]), len(symbols))
        for start in range(0, count, _AT_ONCE)
    ]
    return np.concatenate(keys) if keys else np.zeros(0, np.uint32)


@dataclass(frozen=True)
class _Pattern:
    """An (input, answer) pair with its free symbols numbered by first appearance; ``symbols`` undoes the numbering."""

    code: bytes
    symbols: tuple[int, ...]


def _feed(digest: hashlib._Hash, part: bytes) -> None:
    """Add a part and its length, so that parts cannot run into each other."""
    # Without the length, moving a byte from one part to the next would not change the hash.
    digest.update(len(part).to_bytes(8, "big"))
    digest.update(part)


def _pattern(pair: tuple[Grid, Grid | None], index: int, fixed: Collection[int], role: bytes) -> _Pattern:
    """The pair under dihedral map ``index``."""
    grids = [dihedral(grid, index) for grid in pair if grid is not None]
    header = role + b"".join(bytes(grid.shape) for grid in grids)
    cells = np.concatenate([grid.ravel() for grid in grids])
    # The order in which symbols appear does not depend on their names: numbering by it undoes any renaming.
    values, first = np.unique(cells, return_index=True)
    # Free symbols get numbers above every real symbol, so that a fixed one is never mistaken for them.
    names, symbols = np.arange(_FREE, dtype=np.uint16), []
    for symbol in values[np.argsort(first)].tolist():
        if symbol not in fixed:
            names[symbol] = _FREE + len(symbols)
            symbols.append(symbol)
    return _Pattern(header + names[cells].tobytes(), tuple(symbols))


def _oriented_code(pairs: tuple[tuple[Grid, Grid | None], ...], index: int, fixed: Collection[int]) -> bytes:
    """Byte string of the pairs in one orientation that does not depend on colours or order of demonstrations.

    Colours get classes that say how they are used; each round tells apart colours whose patterns differ in the
    classes of the other colours, until nothing new is told apart.
    """
    # The question is not interchangeable with a demonstration, the demonstrations are with each other.
    patterns = [_pattern(pair, index, fixed, b"d" if place else b"q") for place, pair in enumerate(pairs)]
    classes = dict.fromkeys((symbol for pattern in patterns for symbol in pattern.symbols), 0)
    while True:
        keys = [(pattern.code, tuple(classes[symbol] for symbol in pattern.symbols)) for pattern in patterns]
        refined = _refine(patterns, keys, classes)
        # Classes only ever split: as many as before means the same ones.
        if len(set(refined.values())) == len(set(classes.values())):
            return b"".join(len(code).to_bytes(4, "big") + code + bytes(used) for code, used in sorted(keys))
        classes = refined


def _refine(
    patterns: list[_Pattern], keys: list[tuple[bytes, tuple[int, ...]]], classes: dict[int, int]
) -> dict[int, int]:
    """One round: a colour's new class is the rank of (old class, where it stands in which patterns)."""
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    uses: dict[int, list[tuple[int, int]]] = {symbol: [] for symbol in classes}
    for pattern, key in zip(patterns, keys, strict=True):
        for index, symbol in enumerate(pattern.symbols):
            uses[symbol].append((ranks[key], index))
    signatures = {symbol: (classes[symbol], tuple(sorted(used))) for symbol, used in uses.items()}
    order = {signature: rank for rank, signature in enumerate(sorted(set(signatures.values())))}
    return {symbol: order[signature] for symbol, signature in signatures.items()}


@lru_cache(maxsize=1024)
def _views(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Where the cells of a flat grid of ``shape`` come from under each dihedral map: ``int32 [8, cells]``."""
    places = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    return np.stack([dihedral(places, index).ravel() for index in range(8)])


def _orbit_hash(views: NDArray[np.uint8], symbols: int) -> NDArray[np.uint32]:
    """Hash of every eight rows of ``views [8 n, cells]``, whatever their order and the names of symbols above 0."""
    first = np.full((len(views), symbols), views.shape[1], np.int64)
    for symbol in range(1, symbols):
        found = views == symbol
        first[:, symbol] = np.where(found.any(axis=1), found.argmax(axis=1), views.shape[1])
    # 0 keeps its name.
    first[:, 0] = -1
    names = first.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    named = np.take_along_axis(names, views.astype(np.int64), axis=1).astype(np.uint64)
    # Multilinear hashing, then a step that is not linear, so that views cannot cancel in the sum.
    salt = hashlib.shake_128(b"symmetry keys").digest(8 * views.shape[1])
    hashes = named @ (np.frombuffer(salt, "<u8").astype(np.uint64) | np.uint64(1))
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    hashes ^= hashes >> np.uint64(32)
    return (hashes.reshape(-1, 8).sum(axis=1) >> np.uint64(32)).astype(np.uint32)
