"""Reading a grid out of a reply: the last block of rows, however it is dressed up."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from trm_harness.types import Grid

LONGEST_SIDE = 255
LONGEST_REPLY = 1 << 20
"""Characters that are read, from the end: the last grid counts."""
_THOUGHT = "</think>"
_FENCE = re.compile(r"^\s*(```|~~~)")
_RULE = frozenset(" \t|+:=-")
_LABEL = re.compile(r"^\s*(?:row|line)\s*[0-9]+\s*[:.)-]\s*", re.IGNORECASE)
_ROW = re.compile(r"[0-9]+(?:[\s,;|]+[0-9]+)*")
_DRESS = " \t\r[](){}\"'`*,;|"

Block = list[list[int]]


def read_grid(text: str, symbols: int) -> Grid | None:
    """The last grid ``uint8 [h, w]`` in ``text``, ``None`` if there is none or it is ragged.

    Takes rows of digits with spaces, commas, bars or nothing between them, in code fences or without, Markdown
    tables, boards with rules between boxes, and JSON or Python lists. What stands in a code fence counts before what
    does not; a lone number outside of one counts only if there is nothing else. ``symbols`` is the number of
    symbols a cell can hold: digits written together are cells of their own unless they name a symbol.
    """
    fenced, loose = _blocks(_answer_part(text[-LONGEST_REPLY:]), min(symbols, 36))
    larger = [block for block in loose if len(block) > 1 or len(block[0]) > 1]
    for block in reversed(fenced or larger or loose):
        return _grid(block, min(symbols, 36))
    return None


def _answer_part(text: str) -> str:
    """What comes after the thoughts of a model that writes them down, with every list's rows on their own lines."""
    text = text.rpartition(_THOUGHT)[2]
    # The end of one list of rows must not run into the beginning of the next.
    text = re.sub(r"\]\s*(?:,\s*)?\]", "\n;\n", text)
    return re.sub(r"\]\s*(?:,\s*)?\[", "\n", re.sub(r"\[\s*\[", "\n", text))


def _blocks(text: str, symbols: int) -> tuple[list[Block], list[Block]]:
    """Runs of lines that are rows: those inside code fences, and the others."""
    found: tuple[list[Block], list[Block]] = ([], [])
    for inside, lines in _runs(text):
        found[0 if inside else 1].append([_cells(line, symbols) for line in lines])
    return found


def _runs(text: str) -> Iterator[tuple[bool, list[str]]]:
    """``(in a code fence, rows)`` for each run of lines that look like rows; rules between boxes do not end one."""
    inside, run = False, []
    for line in [*text.splitlines(), "end"]:
        bare = _LABEL.sub("", line).strip(_DRESS)
        if _ROW.fullmatch(bare):
            run.append(bare)
        elif not _is_rule(line):
            if run:
                yield inside, run
            run = []
            inside ^= bool(_FENCE.match(line))


def _is_rule(line: str) -> bool:
    """Whether a line only parts boxes or a table's head from one another."""
    return ("--" in line or "==" in line) and _RULE.issuperset(line)


def _cells(row: str, symbols: int) -> list[int]:
    """The numbers of a row; groups of digits that are no symbol are read digit by digit."""
    parts = re.findall("[0-9]+", row)
    if all(len(part) < 3 and int(part) < symbols for part in parts):
        return [int(part) for part in parts]
    return [int(digit) for part in parts for digit in part]


def _grid(rows: Block, symbols: int) -> Grid | None:
    widths = {len(row) for row in rows}
    if len(widths) != 1 or max(len(rows), *widths) > LONGEST_SIDE or max(map(max, rows)) >= symbols:
        return None
    return np.array(rows, dtype=np.uint8)
