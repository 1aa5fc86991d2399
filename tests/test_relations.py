"""Relations between cells: the named ones are what their names say, and nonsense is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from trm_harness.errors import BadInput
from trm_harness.relations import NAMES, relation, relations


def test_rows_columns_and_boxes_of_a_sudoku() -> None:
    rows, columns, boxes = relations(("rows", "columns", "boxes"), 36)
    for found in (rows, columns, boxes):
        assert np.array_equal(found.speaks, found.hears)
        assert found.speaks.sum(axis=0).tolist() == [1] * 36
        assert found.speaks.sum(axis=1).tolist() == [6] * 6
    assert np.flatnonzero(rows.speaks[0]).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(columns.speaks[0]).tolist() == [0, 6, 12, 18, 24, 30]
    # 2 rows high, 3 columns wide.
    assert np.flatnonzero(boxes.speaks[0]).tolist() == [0, 1, 2, 6, 7, 8]


def test_neighbours_speak_to_the_cell_they_are_beside() -> None:
    below = relation("below", 9)
    heard = {
        int(np.flatnonzero(h)[0]): np.flatnonzero(s).tolist() for s, h in zip(below.speaks, below.hears, strict=True)
    }
    assert heard == {0: [3], 1: [4], 2: [5], 3: [6], 4: [7], 5: [8]}
    around = relation("around", 9)
    assert around.speaks.sum(axis=1).tolist() == [3, 5, 3, 5, 8, 5, 3, 5, 3]
    assert np.array_equal(relation("shift:1,0", 9).speaks, below.speaks)
    diagonals = relation("diagonals", 9)
    assert [np.flatnonzero(group).tolist() for group in diagonals.speaks] == [[0, 4, 8], [2, 4, 6]]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_group_has_somebody_who_speaks_and_somebody_who_hears(name: str) -> None:
    found = relation(name, 16)
    assert found.speaks.any(axis=1).all()
    assert found.hears.any(axis=1).all()


@pytest.mark.parametrize(
    ("names", "cells", "message"),
    [
        (("knights",), 16, "use one of rows, columns"),
        (("rows", "rows"), 16, "comes twice"),
        (("rows",), 15, "square"),
        (("boxes",), 25, "cannot be cut into boxes"),
        (("shift:1",), 16, "two whole numbers"),
        (("shift:0,0",), 16, "leads nowhere"),
        (("shift:4,0",), 16, "leads nowhere"),
    ],
)
def test_nonsense_is_refused(names: tuple[str, ...], cells: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        relations(names, cells)
