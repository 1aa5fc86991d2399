"""A puzzle's steps as a file: an animated GIF (needs Pillow), or one HTML page that needs nothing but a browser."""

from __future__ import annotations

import html
import io
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_harness.errors import BadInput
from trm_harness.files.write import write_bytes
from trm_harness.grids import PALETTE, symbol

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from trm_harness.record.replay import Reel
    from trm_harness.types import Grid

LONGEST_SIDE = 480
"""Pixels of the longer side of a grid in a GIF, about."""
LAST_FRAME = 4
"""The last frame of a GIF stays so many times as long as the others."""
MARGIN = 12
HEAD = 62
BLACK, WHITE, CROSS = (0, 0, 0), (255, 255, 255), (200, 0, 0)
PAPER, INK, LINE = (250, 250, 250), (30, 30, 30), (120, 120, 120)


Colour = tuple[int, int, int]


def write_html(file: Path, reel: Reel, speed: float) -> None:
    """Write the page; ``BadInput`` if ``file`` cannot be written."""
    from trm_harness.files.write import write_text

    # "<" never stands in the data, so no puzzle's text can close the script element.
    data = json.dumps(_page_data(reel, speed), allow_nan=False).replace("<", "\\u003c")
    page = files("trm_harness.cli.runs").joinpath("film.html").read_text(encoding="utf-8")
    holes = {"puzzle": html.escape(reel.puzzle), "title": html.escape(reel.title), "film": data}
    # One pass, so that what fills a hole is never searched for holes.
    write_text(file, re.sub(r"{{(\w+)}}", lambda hole: holes[hole[1]], page))


def write_gif(file: Path, reel: Reel, speed: float) -> None:
    """Write the animation; ``BadInput`` if Pillow is missing or ``file`` cannot be written."""
    try:
        import PIL.Image
    except ImportError:
        raise BadInput(
            f"--save {file} needs Pillow: `pip install 'trm-harness[gif]'`, or save to a .html file"
        ) from None
    canvas = _Canvas(reel)
    images = [canvas.draw(index) for index in range(len(reel.frames))]
    # Whole hundredths of a second is what the format can say; browsers slow anything faster than two of them down.
    pause = max(20, round(100 / speed) * 10)
    pauses = [pause] * (len(images) - 1) + [LAST_FRAME * pause]
    buffer = io.BytesIO()
    # One palette for all, or colours would flicker from frame to frame.
    colours = PIL.Image.new("P", (1, 1))
    colours.putpalette([part for colour in _inks() for part in colour])
    flat = [image.quantize(palette=colours, dither=PIL.Image.Dither.NONE) for image in images]
    flat[0].save(buffer, format="GIF", save_all=True, append_images=flat[1:], duration=pauses, loop=0, disposal=1)
    write_bytes(file, buffer.getvalue())


def _inks() -> list[Colour]:
    """The colours of a GIF: of paper, cells and marks, and blends of ground and ink for the edges of letters."""
    grounds = [(PAPER, INK), *((colour, _ink(colour)) for colour in PALETTE)]
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    blends = [
        tuple(round(g + share * (i - g)) for g, i in zip(ground, ink, strict=True))
        for ground, ink in grounds
        for share in shares
    ]
    return list(dict.fromkeys([*blends, LINE, CROSS, BLACK, WHITE]))


def _ink(ground: Colour) -> Colour:
    """Black or white, whichever reads on the colour."""
    return WHITE if sum(ground) < 330 else BLACK


def _page_data(reel: Reel, speed: float) -> dict[str, Any]:
    """What the page's script reads: grids as the journal spells them, masks as grids of 0 and 1."""
    from trm_harness.record.journal import grid_text

    def text(grid: Grid | None) -> str | None:
        return None if grid is None else grid_text(grid.astype("uint8"))

    return {
        "speed": speed,
        "palette": PALETTE,
        "input": text(reel.input),
        "answer": text(reel.answer),
        "wrong": text(reel.wrong),
        "verdict": reel.verdict,
        "frames": [
            {
                "step": frame.step,
                "probability": frame.probability if frame.probability == frame.probability else None,
                "answer": text(frame.answer),
                "changed": text(frame.changed),
            }
            for frame in reel.frames
        ],
    }


class _Canvas:
    """Pictures of one size for all frames of a reel: the input, if known, and the answer."""

    def __init__(self, reel: Reel) -> None:
        from PIL import ImageFont

        self._reel = reel
        grids = [grid for grid in (reel.input, *(frame.answer for frame in reel.frames)) if grid is not None]
        height, width = (max([1, *(grid.shape[axis] for grid in grids)]) for axis in (0, 1))
        self._cell = max(6, min(40, LONGEST_SIDE // max(height, width)))
        self._panel = width * self._cell
        panels = 1 if reel.input is None else 2
        self._size = (
            max(360, panels * self._panel + (panels + 1) * MARGIN),
            HEAD + height * self._cell + MARGIN,
        )
        self._small = ImageFont.load_default(13)
        self._symbols = ImageFont.load_default(max(6, round(self._cell * 0.6)))

    def draw(self, place: int) -> Image:
        """The picture of a frame."""
        from PIL import Image, ImageDraw

        image = Image.new("RGB", self._size, PAPER)
        pen = ImageDraw.Draw(image)
        for number, line in enumerate((f"{self._reel.puzzle}: {self._reel.title}", *self._reel.status(place))):
            pen.text((MARGIN, 6 + 17 * number), line, INK, self._small)
        left = MARGIN
        if self._reel.input is not None:
            self._grid(pen, self._reel.input, left, None)
            left += self._panel + MARGIN
        answer = self._reel.frames[place].answer
        if answer is None:
            pen.text((left, HEAD), "no answer", INK, self._small)
        else:
            self._grid(pen, answer, left, self._reel.marks(place))
        return image

    def _grid(self, pen: ImageDraw, grid: Grid, left: int, marks: Any) -> None:
        """A grid of coloured cells, each with its symbol and its mark."""
        for (row, column), value in [(index, int(grid[index])) for index in _places(grid)]:
            x, y = left + column * self._cell, HEAD + row * self._cell
            box = (x, y, x + self._cell - 1, y + self._cell - 1)
            colour = PALETTE[value % len(PALETTE)]
            pen.rectangle(box, fill=colour, outline=LINE)
            _mark(pen, box, " " if marks is None else marks[row, column])
            if self._cell >= 14:
                middle = (x + self._cell / 2, y + self._cell / 2)
                pen.text(middle, symbol(value), _ink(colour), self._symbols, anchor="mm")


def _mark(pen: ImageDraw, box: tuple[int, int, int, int], sign: str) -> None:
    """A ring around a changed cell, a cross through a wrong one, in black and white to show on every colour."""
    left, top, right, bottom = box
    if sign == "*":
        pen.rectangle(box, outline=BLACK, width=2)
        pen.rectangle((left + 2, top + 2, right - 2, bottom - 2), outline=WHITE, width=1)
    if sign == "!":
        for line in ((left, top, right, bottom), (left, bottom, right, top)):
            pen.line(line, fill=WHITE, width=3)
            pen.line(line, fill=CROSS, width=1)


def _places(grid: Grid) -> list[tuple[int, int]]:
    return [(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]
