"""Grids for a notebook: an HTML table, in ARC's customary colours or as digits. Pure text in and out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLOURS = (
    "#141414", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25",
    "#ffffff",
)  # fmt: skip
"""Background of symbol 0, 1, ...: ARC's colours, and white for a tenth."""

_CELL = "width:1.35em;height:1.35em;padding:0;text-align:center;line-height:1.35em;border:1px solid #8884;"


def grid_text(grid: Sequence[Sequence[int]]) -> str:
    """One line a row, one character a cell; symbols from 10 on are letters."""
    return "\n".join("".join("0123456789abcdefghijklmnopqrstuvwxyz"[cell] for cell in row) for row in grid)


def grid_html(
    grid: Sequence[Sequence[int]], coloured: bool = True, given: Sequence[Sequence[int]] | None = None, title: str = ""
) -> str:
    """A table. ``coloured`` paints cells, else symbols stand as digits, 0 as a blank.

    Cells that ``given`` (of the same shape) has already are set in bold.
    """
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
        return f"<td style='{_CELL}background:{COLOURS[symbol % len(COLOURS)]}' title='{symbol}'></td>"
    weight = "font-weight:bold" if bold else "color:#06c"
    return f"<td style='{_CELL}{weight}'>{symbol or ''}</td>"
