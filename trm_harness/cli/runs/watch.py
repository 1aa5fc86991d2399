"""``trm-harness runs watch``: an answer filling in on a terminal, and the same as plain frames elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trm_harness.cli import report
from trm_harness.cli.options import beside, colours, grid_lines
from trm_harness.errors import BadInput, HarnessError
from trm_harness.grids import PALETTE

if TYPE_CHECKING:
    from trm_harness.contracts import Task
    from trm_harness.record import RunRecord
    from trm_harness.record.replay import Reel
    from trm_harness.types import Grid, Puzzle

WRITERS = (".gif", ".html")
FASTEST = 100
NO_SYMBOL = (60, 60, 60)
CHANGED = (255, 255, 255)
WRONG = (255, 65, 54)

Loader = Callable[[Path], "Task"]
Colour = tuple[int, int, int]


def run_watch(folder: Path, puzzle: str | None, speed: float, save: Path | None, load: Loader) -> None:
    """Play the steps of a puzzle, or write them to ``save``; ``load`` gives the run's task (input and answer)."""
    if save and save.suffix.lower() not in WRITERS:
        raise BadInput(f"--save {save}: the file's name must end in {' or '.join(WRITERS)}")
    if not 0 < speed <= FASTEST:
        raise BadInput(f"--speed {speed:g}: use a number of steps a second above 0 and up to {FASTEST}")
    reel = make_reel(folder, puzzle, load)
    if save:
        from trm_harness.cli.runs import film

        write = film.write_gif if save.suffix.lower() == ".gif" else film.write_html
        write(save, reel, speed)
        click.echo(f"wrote {save}: {len(reel.frames)} steps of {reel.puzzle}")
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _play(reel, speed)
    else:
        _list(reel)


def make_reel(folder: Path, wanted: str | None, load: Loader) -> Reel:
    """The steps of a puzzle (or of a group's first one; ``None``: the one that changed most often)."""
    from trm_harness.record import read, replay

    record = read(folder)
    entry = None if wanted else replay.liveliest(folder)
    puzzle = _known(folder, wanted or entry.puzzle, load)
    entry = entry or replay.find(folder, puzzle.id if puzzle else wanted)
    seen = (puzzle.input, puzzle.answer) if puzzle else (None, None)
    return replay.Reel(entry.puzzle, _title(record), replay.frames(entry), *seen)


def _known(folder: Path, wanted: str, load: Loader) -> Puzzle | None:
    """The puzzle from the task that the run was made with; without its data a warning and ``None``."""
    from trm_harness.inference.plan_file import StoredPlan

    try:
        selection = StoredPlan.load(folder).check_task(load(folder))
    except HarnessError as error:
        click.echo(f"warning: input and answer are not shown: {error}", err=True)
        return None
    found = [puzzle for puzzle in selection if wanted in (puzzle.id, puzzle.group)]
    if len(found) > 1:
        click.echo(f"{wanted} has {len(found)} puzzles: {', '.join(puzzle.id for puzzle in found)}", err=True)
    return found[0] if found else None


def _title(record: RunRecord) -> str:
    return f"{record.task.id}, {report.model_name(record.model_dump(mode='json'))}, run {record.id}"


def _list(reel: Reel) -> None:
    """Every frame, one below the other."""
    blocks = [] if reel.input is None else [["input", *_cells(reel.input)]]
    blocks += [[", ".join(reel.status(index)), *_answer(reel, index)] for index in range(len(reel.frames))]
    click.echo(f"{reel.puzzle}: {reel.title}")
    for block in blocks:
        click.echo("\n" + "\n".join(line.rstrip() for line in block))


def _play(reel: Reel, speed: float) -> None:
    """One frame over the other; each below the one before where the terminal is too low for that."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    size = shutil.get_terminal_size()
    scenes = [scene(reel, index, size.columns, size.lines) for index in range(len(reel.frames))]
    if max(map(len, scenes)) >= size.lines:
        for lines in scenes:
            click.echo("\n".join([*lines, ""]))
            time.sleep(1 / speed)
        return
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        for lines in scenes:
            live.update(Text.from_ansi("\n".join(lines), no_wrap=True), refresh=True)
            time.sleep(1 / speed)


def scene(reel: Reel, place: int, columns: int, lines: int) -> list[str]:
    """What a terminal of ``columns`` x ``lines`` shows of a frame: the input beside the answer if there is room.

    Where a terminal with colours is too low, two rows of cells share a line, and a second picture marks the cells.
    """
    head = [_cut(line, columns) for line in (f"{reel.puzzle}: {reel.title}", *reel.status(place))]
    # One line is left to the cursor.
    room, answer = lines - len(head) - 1, _answer(reel, place)
    pair = answer if reel.input is None else beside(_cells(reel.input), answer)
    fits = len(pair) <= room and max(len(click.unstyle(line)) for line in pair) <= columns
    if fits:
        return head + pair
    return head + (answer if len(answer) <= room or not colours() else _low(reel, place))


def _cut(line: str, columns: int) -> str:
    return line if len(line) <= columns else line[: columns - 1] + "…"


def _cells(grid: Grid) -> list[str]:
    from trm_harness.record.replay import marked

    return grid_lines(grid, marked(grid.shape))


def _answer(reel: Reel, place: int) -> list[str]:
    """The answer of a frame with its marks."""
    answer = reel.frames[place].answer
    return ["(no answer)"] if answer is None else grid_lines(answer, reel.marks(place))


def _low(reel: Reel, place: int) -> list[str]:
    """A frame at half height, and beside it where its marks are: white changed, red wrong."""
    answer = reel.frames[place].answer
    if answer is None or not answer.size:
        return _answer(reel, place)
    tints = {" ": NO_SYMBOL, "*": CHANGED, "!": WRONG}
    symbols = [[PALETTE[cell % len(PALETTE)] for cell in row] for row in answer.tolist()]
    signs = [[tints[sign] for sign in row] for row in reel.marks(place).tolist()]
    return beside(_halves(symbols), _halves(signs), "   ")


def _halves(rows: list[list[Colour]]) -> list[str]:
    """Coloured rows, two to a line: the upper one as the upper half of each character."""
    pairs = [(rows[i], rows[i + 1] if i + 1 < len(rows) else None) for i in range(0, len(rows), 2)]
    return [
        "".join(
            click.style("▀", fg=top, bg=None if lower is None else lower[column]) for column, top in enumerate(upper)
        )
        for upper, lower in pairs
    ]
