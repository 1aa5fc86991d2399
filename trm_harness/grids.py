"""Grids as text, read and written, and as HTML for a notebook, in ARC's customary colours or as digits."""

from __future__ import annotations

import re
from collections.abc import Sequence

SYMBOLS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Character of symbol 0, 1, ...: what journals write."""

PALETTE = (
    (20, 20, 20),
    (0, 116, 217),
    (255, 65, 54),
    (46, 204, 64),
    (255, 220, 0),
    (170, 170, 170),
    (240, 18, 190),
    (255, 133, 27),
    (127, 219, 255),
    (135, 12, 37),
    (255, 255, 255),
)
"""Colour of symbol 0, 1, ...: ARC's customary colours, and white for a tenth."""

BLANKS = str.maketrans(".*_", "000")
"""Characters that stand for a blank cell besides 0."""

_RULE = re.compile(r"[\s|+=\-\u2500-\u257f]*[=\-\u2500-\u257f][\s|+=\-\u2500-\u257f]*")
_BETWEEN = re.compile(r"[\s|,\u2500-\u257f]+")

_CELL = "width:1.35em;height:1.35em;padding:0;text-align:center;line-height:1.35em;border:1px solid #8884;"


def symbol(cell: int) -> str:
    """The character of a symbol; a question mark for those past the last."""
    return SYMBOLS[cell] if cell < len(SYMBOLS) else "?"


def text_rows(text: str, side: int | None = None) -> list[str]:
    """The rows of a grid written as text, one digit a cell: rows on lines or between slashes.

    ``.``, ``*`` and ``_`` are blanks and become 0. Spaces, commas, bars, drawn boxes and empty lines carry nothing.
    A grid of ``side`` rows and columns may stand on one line. Characters that are no digits are left for the caller.
    """
    lines = [line for line in re.split(r"[\n/]", text) if not _RULE.fullmatch(line)]
    rows = [row for line in lines if (row := _BETWEEN.sub("", line).translate(BLANKS))]
    if side and len(rows) == 1 and len(rows[0]) == side * side:
        return [rows[0][at : at + side] for at in range(0, side * side, side)]
    return rows


def grid_text(grid: Sequence[Sequence[int]]) -> str:
    """One line a row, one character a cell; symbols from 10 on are letters."""
    return "\n".join("".join(SYMBOLS[cell] for cell in row) for row in grid)


def grid_html(
    grid: Sequence[Sequence[int]], coloured: bool = True, given: Sequence[Sequence[int]] | None = None, title: str = ""
) -> str:
    """A table. ``coloured`` paints cells, else symbols stand as digits, 0 as a blank.

    Cells that ``given`` (of the same shape) has already are set in bold.
    """
    from html import escape

    rows = []
    for row, cells in enumerate(grid):
        known = given[row] if given is not None else None
        painted = (_cell(cell, coloured, bool(known is not None and known[at])) for at, cell in enumerate(cells))
        rows.append(f"<tr>{''.join(painted)}</tr>")
    caption = f"<caption style='caption-side:bottom'>{escape(title)}</caption>" if title else ""
    style = "display:inline-table;border-collapse:collapse;margin:0 1em 0.5em 0;vertical-align:top"
    return f"<table style='{style}'>{caption}{''.join(rows)}</table>"


def _cell(symbol: int, coloured: bool, bold: bool) -> str:
    if coloured:
        colour = "#{:02x}{:02x}{:02x}".format(*PALETTE[symbol % len(PALETTE)])
        return f"<td style='{_CELL}background:{colour}' title='{symbol}'></td>"
    weight = "font-weight:bold" if bold else "color:#06c"
    return f"<td style='{_CELL}{weight}'>{symbol or ''}</td>"
