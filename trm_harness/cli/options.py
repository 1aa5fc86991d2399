"""What the verbs share: ``--json``, ``--data``, plain tables, a group that suggests, and grids on a terminal."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from trm_harness.grids import PALETTE, symbol
from trm_harness.plugins.host import PluginInfo, near

DEBUG = "TRM_HARNESS_DEBUG"
"""Set in the environment, errors come with all that Python says of them."""

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")

data_option: Callable[[Any], Any] = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder or file with the task's own data instead of the bundled one.",
)

device_option: Callable[[Any], Any] = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, or an accelerator that torch knows: cuda, mps, xpu."
)

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""All but tabs and line breaks, the marks that turn the direction of writing, and halves of characters."""


def complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion of names of ``kind``: task, model, trainer, plugin or card, models and cards as ``answerer``."""

    def names(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        try:
            return [name for name in _names(kind) if name.startswith(begun)]
        except Exception:
            # A shell that is completing has no use for an error.
            return []

    return names


class SuggestingGroup(click.Group):
    """A group whose unknown commands are answered with the nearest known ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            names = self.list_commands(ctx)
            hint = near(args[0], names) or f": known are {', '.join(names)}"
            raise click.UsageError(f"unknown command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


def echo_json(value: Any) -> None:
    """Print ``value`` as JSON: dataclasses, mappings, paths, numpy and pydantic values included, NaN as null."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """``value`` in JSON's own types."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    for convert in ("model_dump", "tolist"):
        if hasattr(value, convert):
            return plain(getattr(value, convert)())
    return [plain(item) for item in value] if isinstance(value, Iterable) else str(value)


def printable(text: str) -> str:
    """``text`` with control characters spelled out: names from other people's files must not steer the terminal."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """A plain-text table: columns padded to their widest cell, numbers to the right, two spaces between.

    On a terminal the last column is cut at the edge; elsewhere nothing is.
    """
    body = [list(row) for row in rows]
    numeric = [bool(body) and all(isinstance(row[i], int | float) for row in body) for i in range(len(headers))]
    cells = [list(headers), *([_cell(value) for value in row] for row in body)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(_fitted(lines))


def facts(pairs: Mapping[str, Any]) -> str:
    """``name  value`` lines for a ``show`` verb; empty values are left out."""
    kept = {name: value for name, value in pairs.items() if value not in ("", None, (), {}, [])}
    width = max(map(len, kept), default=0)
    return "\n".join(f"{name.ljust(width)}  {_fact(value)}" for name, value in kept.items())


def provenance(owner: PluginInfo) -> dict[str, str]:
    """The plugin a name came from, as every ``--json`` listing shows it."""
    return {"plugin": owner.name, "distribution": owner.distribution, "distribution_version": owner.version}


def dollars(value: float) -> str:
    """``$12.50``; of less than a dollar three digits, ``$0.000702``: small runs cost fractions of a cent."""
    from decimal import Decimal

    return f"${value:,.2f}" if value >= 1 else f"${Decimal(f'{value:.3g}'):f}"


def grid_lines(grid: Any, marks: Any = None) -> list[str]:
    """One line per row of a grid ``[h, w]``: a coloured two-column cell per symbol, bare digits off a terminal.

    ``marks`` (``[h, w]`` of one character each, a space for none) stand behind the symbols; the cells then have two
    columns everywhere.
    """
    if not colours() and marks is None:
        return ["".join(symbol(cell) for cell in row) for row in grid.tolist()] or ["(empty)"]
    paint = _coloured if colours() else _plain
    signs = [" " * grid.shape[1]] * grid.shape[0] if marks is None else marks.tolist()
    rows = zip(grid.tolist(), signs, strict=True)
    return ["".join(paint(cell, sign) for cell, sign in zip(*row, strict=True)) for row in rows] or ["(empty)"]


def flow(blocks: Sequence[Sequence[str]], columns: int, gap: int = 3) -> list[str]:
    """Blocks of lines side by side as far as ``columns`` allow, then below each other; one too wide stands alone."""
    shelves: list[list[list[str]]] = []
    room = 0
    for block in blocks:
        width = max((len(click.unstyle(line)) for line in block), default=0)
        padded = [line + " " * (width - len(click.unstyle(line))) for line in block]
        if shelves and room >= gap + width:
            shelves[-1].append(padded)
            room -= gap + width
        else:
            shelves.append([padded])
            room = columns - width
    lines: list[str] = []
    for shelf in shelves:
        height = max(map(len, shelf))
        full = [
            block + [" " * len(click.unstyle(block[0] if block else ""))] * (height - len(block)) for block in shelf
        ]
        lines += [(" " * gap).join(parts).rstrip() for parts in zip(*full, strict=True)]
    return lines


def beside(left: list[str], right: list[str], between: str = "  ->  ") -> list[str]:
    """Two blocks of lines side by side, aligned at the top; ``left``'s lines are equally wide on screen."""
    width = max((len(click.unstyle(line)) for line in left), default=0)
    height = max(len(left), len(right))
    lefts = left + [" " * width] * (height - len(left))
    rights = right + [""] * (height - len(right))
    joints = [between if i == 0 else " " * len(between) for i in range(height)]
    return ["".join(parts).rstrip() for parts in zip(lefts, joints, rights, strict=True)]


def colours() -> bool:
    """Whether standard output is a terminal that wants colours."""
    import os

    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _names(kind: str) -> list[str]:
    from trm_harness.registry import default

    registry = default()
    if kind == "plugin":
        return [info.name for info in registry.host.plugins]
    found: list[str] = []
    if kind in ("card", "answerer"):
        from trm_harness.zoo import cards

        found += cards(registry)
    if kind in ("model", "answerer"):
        found += registry.models.names()
    return {"task": registry.tasks.names(), "trainer": registry.trainers.names()}.get(kind, sorted(found))


def _coloured(cell: int, mark: str) -> str:
    background = PALETTE[cell % len(PALETTE)]
    dark = sum(background) < 330
    return click.style(f"{symbol(cell)}{mark}", fg="bright_white" if dark else "black", bg=background, bold=mark != " ")


def _plain(cell: int, mark: str) -> str:
    return f"{symbol(cell)}{mark}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else printable(str(value))


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return printable(", ".join(f"{name}={item}" for name, item in value.items()))
    return printable(", ".join(map(str, value))) if isinstance(value, tuple | list) else _cell(value)


def _fitted(lines: list[str]) -> list[str]:
    if not sys.stdout.isatty():
        return lines
    import shutil

    edge = shutil.get_terminal_size().columns
    return [line if len(line) <= edge else line[: edge - 1] + "…" for line in lines]
