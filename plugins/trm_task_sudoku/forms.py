"""Forms of puzzle files: CSV with Sudoku-Extreme's columns, ``source,question,answer,rating``, or lists of boards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from trm_harness.errors import BadInput
from trm_harness.files.read import TABLE_LIMIT, read_text
from trm_harness.grids import text_rows
from trm_harness.gridtask import TableRow, table_rows

HEADER = ("source", "question", "answer", "rating")
ALSO: Mapping[str, str] = {
    "puzzle": "question",
    "puzzles": "question",
    "quiz": "question",
    "quizzes": "question",
    "solution": "answer",
    "solutions": "answer",
    "difficulty": "rating",
}
"""Names that other collections give to the columns."""

LISTS = (".txt", ".sdm", ".sdk", ".ss")
ENDINGS = (".csv", *LISTS)
"""Endings of puzzle files: tables, and lists of boards without answers."""

LONGEST_RATING = 9
"""Digits of a rating before the point."""

_REMARK = re.compile(r"\s*(#|//|;|\[|[A-Za-z])")


def read_rows(path: Path, size: int) -> list[TableRow]:
    """Source, question, answer and rating of every puzzle of a file as they stand there, with their lines.

    Questions and answers of another form than ``size * size`` characters come as they are; what a file does not say is
    empty. ``BadInput`` for a file that is no table and no list.
    """
    if path.suffix.lower() in LISTS:
        return list(_boards(path, size))
    return table_rows(path, HEADER, optional=("source", "answer", "rating"), also=ALSO)


def _boards(path: Path, size: int) -> Iterator[TableRow]:
    """The boards of a list: one a line, its answer behind it where there is one, or drawn over several lines.

    Lines that begin with a letter, ``#``, ``//``, ``;`` or ``[`` are titles and remarks.
    """
    cells, drawn, began, found = size * size, "", 0, False
    text = read_text(path, TABLE_LIMIT, "a list of Sudokus")
    for line, written in enumerate(text.splitlines(), 1):
        bare = "" if _REMARK.match(written) else "".join(text_rows(written.partition("#")[0]))
        if not bare:
            continue
        found, began = True, began if drawn else line
        if not drawn and len(bare) in (cells, 2 * cells):
            yield TableRow(line, ["", bare[:cells], bare[cells:], ""])
        elif len(bare) == size and len(drawn) < cells:
            drawn += bare
            if len(drawn) == cells:
                yield TableRow(began, ["", drawn, "", ""])
                drawn = ""
        else:
            # Whoever reads the rows says what is wrong with them.
            yield TableRow(line, ["", bare, "", ""])
    if drawn:
        count = f"{len(drawn)} of {cells} cells"
        raise BadInput(f"{path}, line {began}: the board that begins here has {count}: correct it")
    if not found:
        raise BadInput(f"{path} holds no puzzles: give one board a line, {cells} characters each")
