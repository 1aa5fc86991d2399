"""The picture of the training curves that lie beside the cards. ``docs/build.py`` writes it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import svg

PICTURE = Path(__file__).parent / "img" / "curves.svg"
ZOO = Path(__file__).parent.parent / "zoo"
WIDTH, HEIGHT, LINES, COLUMNS = 300, 170, 4, 2
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df")
"""The validations of a run, the one that chose its weights first."""

Line = Sequence[tuple[int, float]]
"""Steps, and the share of right answers there."""


def pages() -> dict[Path, str]:
    """A panel a card: right answers against steps, of the training rows that halted and on each validation."""
    cards: dict[bytes, list[Path]] = {}
    for file in sorted(ZOO.glob("*/curve.csv")):
        # The same weights may have cards for several tasks. A training without validation has no curve to show.
        if b"validation n" in (content := file.read_bytes()):
            cards.setdefault(content, []).append(file)
    panels = [_panel(files) for files in cards.values()]
    if not panels:
        return {}
    rows = [svg.row(panels[start : start + COLUMNS], gap=28) for start in range(0, len(panels), COLUMNS)]
    return {
        PICTURE: svg.sheet(
            svg.column(rows, gap=20), "Validation against optimizer steps, last training of the cards that keep a curve"
        )
    }


def _panel(files: Sequence[Path]) -> svg.Drawing:
    with files[0].open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    last = max(int(row["step"]) for row in rows)
    names = [name for name in rows[0] if name.startswith("validation ") and name != "validation n"]
    lines_of = [[(int(row["step"]), float(row[name])) for row in rows if row[name]] for name in names]
    counts = {row["validation n"] for row in rows if row["validation n"]}
    parts = [name.removeprefix("validation ").removesuffix("exact").strip("/") for name in names]
    told = [svg.text(part or "chooses the weights", 11, colour) for part, colour in zip(parts, COLOURS, strict=False)]
    first, *others = [file.parent.name for file in files]
    title = svg.text(", ".join([first, *(name.split(".", 1)[-1] for name in others)]), 12)
    under = svg.text(f"{last:,} steps, {' or '.join(sorted(counts))} puzzles a validation", 11, svg.FAINT)
    trained = [(int(row["step"]), float(row["exact_accuracy"])) for row in rows if row["exact_accuracy"]]
    told.append(svg.text("training rows", 11, svg.FAINT))
    return svg.column([title, _chart(lines_of, trained, last), svg.row(told), under])


def _chart(validations: Iterable[Line], trained: Line, last: int) -> svg.Drawing:
    """Lines over a grid from 0 to 100 %; the whole width is ``last`` steps."""
    left, body = 34, ""
    for part in range(LINES + 1):
        y = HEIGHT - part * HEIGHT // LINES + 6
        share = f"{100 * part // LINES} %"
        body += f'<path d="M{left} {y}h{WIDTH - left}" stroke="{svg.GIVEN}"/>\n'
        body += f'<text x="0" y="{y + 4}" {svg.FONT} font-size="10" fill="{svg.FAINT}">{share}</text>\n'
    for line, colour in ((trained, svg.RULE), *zip(validations, COLOURS, strict=False)):
        spots = [(left + round((WIDTH - left) * step / last), HEIGHT + 6 - round(HEIGHT * y)) for step, y in line]
        path = " ".join(f"{x},{y}" for x, y in spots)
        width = 0.7 if line is trained else 1.5
        body += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>\n'
        if line is not trained:
            body += "".join(f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>\n' for x, y in spots)
    return svg.Drawing(WIDTH, HEIGHT + 12, body)
