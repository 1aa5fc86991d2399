"""The journal: what goes in comes out to the bit, a cut end is mended, any other damage is refused."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_harness.errors import BadInput
from trm_harness.record import journal
from trm_harness.record.journal import Journal, Row, grid_text, recover, scan, text_grid
from trm_harness.types import Grid

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 30))


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    if draw(st.booleans()):
        return np.zeros((0, 0), dtype=np.uint8)
    cells = np.random.default_rng(draw(st.integers(0, 10**6))).integers(0, 36, draw(SHAPES))
    return cells.astype(np.uint8)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    answers = draw(st.lists(st.none() | grids(), min_size=1, max_size=4))
    answers += answers[-1:] * draw(st.integers(0, 2))
    logits = st.floats(width=32, allow_nan=False)
    halts = draw(st.lists(logits, min_size=len(answers), max_size=len(answers) + 3))
    name = st.text(max_size=12)
    return Row(draw(name), draw(st.integers(0, 999)), draw(name), 0, tuple(answers), tuple(halts), len(halts), 81)


def sample(count: int, seed: int = 0) -> list[Row]:
    """Rows like those of ARC: a grid of 12 x 13 and 16 logits."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 10, (40, 12, 13)).astype(np.uint8)
    halts = rng.normal(size=(40, 16)).astype(np.float32).tolist()
    return [
        Row(f"p{n // 100}", n % 100, "t3|||0123456789", 0, (shown[n % 40],), tuple(halts[n % 40]), 16, 900)
        for n in range(count)
    ]


def write(path: Path, items: list[Row]) -> Path:
    with Journal(path) as open_journal:
        open_journal.append(items)
    return path


def same(left: Row, right: Row) -> bool:
    def plain(row: Row) -> tuple:
        answers = [None if grid is None else (grid.shape, grid.tobytes()) for grid in row.answers]
        return (row.puzzle, row.view, row.transform, row.restart, answers, row.halts, row.steps, row.length)

    return plain(left) == plain(right)


@settings(deadline=None)
@given(st.lists(rows(), min_size=1, max_size=5))
def test_rows_come_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, items: list[Row]) -> None:
    path = write(tmp_path_factory.mktemp("journal") / "journal.jsonl", items)
    back = list(journal.read(path))
    assert len(back) == len(items)
    assert all(map(same, back, items))


def test_a_line_is_json_and_repeats_nothing(tmp_path: Path) -> None:
    first, second = np.array([[1, 2], [35, 0]], dtype=np.uint8), np.zeros((0, 0), dtype=np.uint8)
    row = Row("a", 0, "", 0, (first, first, second, None, None), (0.1, 0.1, 2.0, 3.0, -1.0), 5, 4)
    line = write(tmp_path / "journal.jsonl", [row]).read_text()
    assert json.loads(line)[:5] == ["a", 0, "", 0, ["12/z0", "=", "", None, "="]]
    assert line.count("\n") == 1


def test_logits_keep_their_float32_value(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    values[:3] = [np.nan, np.inf, -np.inf]
    row = Row("a", 0, "", 0, (None,), tuple(values.tolist()), len(values))
    (back,) = journal.read(write(tmp_path / "journal.jsonl", [row]))
    assert np.array_equal(np.array(back.halts, dtype=np.float32), values, equal_nan=True)


@pytest.mark.parametrize("text", ["12/3", "/12", "12/", "1 2", "1A", "12//12", "é"])
def test_text_that_is_no_grid_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        text_grid(text)


def test_symbols_above_35_are_refused() -> None:
    with pytest.raises(ValueError, match="symbol 36"):
        grid_text(np.full((2, 2), 36, dtype=np.uint8))


def test_a_cut_end_is_told_from_damage_and_mended(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl", sample(10))
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in (*range(len(whole) - 40, len(whole)), ends[3] + 1, ends[3], 5):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        if cut not in ends:
            with pytest.raises(BadInput, match=rf"middle of a row \(line {kept + 1}\)"):
                list(scan(path))
        found = recover(path)
        assert found.rows == kept
        assert found.dropped == cut - (ends[kept - 1] if kept else 0)
        assert path.read_bytes() == whole[: cut - found.dropped]
        assert len(list(scan(path))) == kept


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl", sample(6))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(whole) - 1, 60).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        line = whole[:place].count(b"\n") + 1
        with pytest.raises(BadInput, match=rf"damaged at line ({line}|{line + 1})"):
            recover(path)
        assert path.read_bytes() == bytes(damaged), "a damaged journal must be left as it is"


def test_a_missing_or_unwritable_journal_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        list(scan(tmp_path / "none.jsonl"))
    with pytest.raises(BadInput, match="cannot be written"), Journal(tmp_path / "no" / "journal.jsonl"):
        pass


def test_twenty_thousand_rows_stay_quick_and_small(tmp_path: Path) -> None:
    items = sample(20_000)
    began = time.process_time()
    path = write(tmp_path / "journal.jsonl", items)
    written = time.process_time()
    tracemalloc.start()
    assert sum(1 for _ in scan(path)) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written - began < 6
    assert time.process_time() - written < 6
    assert peak < 4 * 2**20, "reading must not hold the file"
