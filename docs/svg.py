"""Grids as SVG: text, so the same grid gives the same bytes on every machine, and no drawing library is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from trm_harness.grids import PALETTE

INK, FAINT, RULE, PAPER = "#1f2328", "#6e7781", "#8c959f", "#ffffff"
CHANGED, WRONG, GIVEN = "#fff3bf", "#ffc9c9", "#eef1f4"
FONT = 'font-family="Helvetica, Arial, sans-serif"'
MAZE = {1: "#30363d", 2: PAPER, 3: "#2da44e", 4: "#cf222e", 5: "#f2cc60"}
"""Colours of wall, floor, start, goal and path."""


@dataclass(frozen=True)
class Drawing:
    """A piece of SVG and the room it takes, in pixels."""

    width: int
    height: int
    body: str


def sheet(drawing: Drawing, title: str, margin: int = 8) -> str:
    """A whole SVG file on white paper, so that it is readable on a dark page too."""
    width, height = drawing.width + 2 * margin, drawing.height + 2 * margin
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">\n<title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" rx="6" fill="{PAPER}"/>\n'
        f'<g transform="translate({margin},{margin})">\n{drawing.body}</g>\n</svg>\n'
    )


def text(words: str, size: int = 13, colour: str = INK, width: int | None = None) -> Drawing:
    """A line of words; ``width`` is what it takes where its own guess will not do."""
    room = width or round(0.56 * size * len(words))
    body = f'<text y="{size}" {FONT} font-size="{size}" fill="{colour}">{escape(words)}</text>\n'
    return Drawing(room, size + 4, body)


def row(parts: Iterable[Drawing], gap: int = 16) -> Drawing:
    """Side by side, centred on one line."""
    parts = list(parts)
    height, left, body = max(part.height for part in parts), 0, ""
    for part in parts:
        body += _at(left, (height - part.height) // 2, part)
        left += part.width + gap
    return Drawing(left - gap, height, body)


def column(parts: Iterable[Drawing], gap: int = 6) -> Drawing:
    """One below the other, from the left edge."""
    parts, top, body = list(parts), 0, ""
    for part in parts:
        body += _at(0, top, part)
        top += part.height + gap
    return Drawing(max(part.width for part in parts), top - gap, body)


def arrow() -> Drawing:
    """From the question to the answer."""
    return Drawing(26, 12, f'<path d="M0 6h20m-6 -5l6 5l-6 5" fill="none" stroke="{FAINT}" stroke-width="2"/>\n')


def coloured(grid: Any, cell: int, palette: Any = PALETTE, wrong: Any = None) -> Drawing:
    """A grid ``[h, w]`` as coloured cells: ARC, or a maze with :data:`MAZE`; ``wrong`` cells get a red frame."""
    rows = grid.tolist()
    colours = (
        palette if isinstance(palette, dict) else {i: "#{:02x}{:02x}{:02x}".format(*c) for i, c in enumerate(palette)}
    )
    runs: dict[int, str] = {}
    for y, line in enumerate(rows):
        for x, length, symbol in _runs(line):
            runs[symbol] = runs.get(symbol, "") + f"M{x * cell} {y * cell}h{length * cell}v{cell}h-{length * cell}z"
    width, height = cell * len(rows[0]), cell * len(rows)
    body = "".join(f'<path fill="{colours[symbol]}" d="{path}"/>\n' for symbol, path in sorted(runs.items()))
    if cell >= 8:
        lines = "".join(f"M{x * cell} 0v{height}" for x in range(1, len(rows[0])))
        lines += "".join(f"M0 {y * cell}h{width}" for y in range(1, len(rows)))
        body += f'<path d="{lines}" stroke="#555" stroke-width="0.5" fill="none"/>\n'
    if wrong is not None:
        marks = "".join(f"M{x * cell} {y * cell}h{cell}v{cell}h-{cell}z" for y, x in zip(*wrong.nonzero(), strict=True))
        body += f'<path d="{marks}" stroke="#e03131" stroke-width="1.5" fill="none"/>\n'
    return Drawing(width, height, body + f'<path d="M0 0h{width}v{height}h-{width}z" fill="none" stroke="{RULE}"/>\n')


def digits(
    grid: Any, cell: int, box: tuple[int, int], given: Any = None, changed: Any = None, wrong: Any = None
) -> Drawing:
    """A Sudoku ``[n, n]`` with boxes of ``box`` (rows, columns), 0 blank; masks ``bool [n, n]`` tint cells."""
    side, size = len(grid), cell * len(grid)
    body = "".join(
        f'<rect x="{x * cell}" y="{y * cell}" width="{cell}" height="{cell}" fill="{colour}"/>\n'
        for mask, colour in ((given, GIVEN), (changed, CHANGED), (wrong, WRONG))
        if mask is not None
        for y in range(side)
        for x in range(side)
        if mask[y, x]
    )
    for y in range(side):
        for x in range(side):
            if grid[y, x]:
                place = f'x="{x * cell + cell / 2:g}" y="{y * cell + 0.68 * cell:.4g}" text-anchor="middle"'
                bold = ' font-weight="bold"' if given is not None and given[y, x] else ""
                body += f'<text {place} {FONT} font-size="{0.56 * cell:.3g}"{bold} fill="{INK}">{grid[y, x]}</text>\n'
    thin = "".join(f"M{i * cell} 0v{size}M0 {i * cell}h{size}" for i in range(side + 1))
    thick = "".join(f"M{i * cell} 0v{size}" for i in range(0, side + 1, box[1]))
    thick += "".join(f"M0 {i * cell}h{size}" for i in range(0, side + 1, box[0]))
    body += f'<path d="{thin}" stroke="{RULE}" stroke-width="0.6" fill="none"/>\n'
    return Drawing(size, size, body + f'<path d="{thick}" stroke="{INK}" stroke-width="1.6" fill="none"/>\n')


def _runs(line: Sequence[int]) -> Iterable[tuple[int, int, int]]:
    """(start, length, symbol) of every stretch of one symbol."""
    start = 0
    for x in range(1, len(line) + 1):
        if x == len(line) or line[x] != line[start]:
            yield start, x - start, line[start]
            start = x


def _at(x: int, y: int, part: Drawing) -> str:
    return f'<g transform="translate({x},{y})">\n{part.body}</g>\n'
