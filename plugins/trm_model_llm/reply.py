"""Reading a grid out of a reply: the last block of rows, however it is dressed up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trm_harness.types import Grid
from trm_model_llm.thoughts import without_thoughts

LONGEST_SIDE = 255
LONGEST_REPLY = 1 << 20
"""Characters that are read, from the end: the last grid counts."""
_DEEPEST = 8

_FENCE = re.compile(r"^\s*(```|~~~)")
_RULE = frozenset(" \t|+:=-")
_LABEL = re.compile(r"^\s*(?:[-*\u2022]\s+)?(?:(?:row|line|r)\s*[0-9]+\s*[:.)-]\s*)?", re.IGNORECASE)
_ROW = re.compile(r"[0-9]+(?:[\s,;|]+[0-9]+)*")
_SLASHED = re.compile(r"[0-9]+(?:[\s,;|]+[0-9]+)*(?:\s*/\s*[0-9]+(?:[\s,;|]+[0-9]+)*)+")
_DRESS = " \t\r[](){}\"'`*,;|$"
_QUOTE = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE)
_MATRIX = re.compile(r"\\{1,4}(begin|end)\{([a-z]*(?:matrix|array|tabular)\*?)\}(?:\{[^{}]*\})?")
_LINES_IN_MATRIX = re.compile(r"\\hline|\\[ct]?midrule|\\cline\{[^{}]*\}|\\(?:top|mid|bottom)rule")
_ROW_TAG = re.compile(r"</?\s*(?:row|tr|line|td|cell|li|r)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ROW_END = re.compile(r"(?:</\s*(?:row|tr|line|li|r)\s*>|<br\s*/?>)(?![ \t]*\r?\n)", re.IGNORECASE)
_TAG = re.compile(r"<\|[^<>|]*\|>|</?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>")
_WRITTEN_BREAK = re.compile(r"(?<!\\)\\{1,4}n(?![A-Za-z])")
_STRING = re.compile(r"([\"'])([0-9\s.,;|]+)\1")
_WHOLE = re.compile(r"(?<=[0-9])\.0+(?![0-9])")
_TOKEN = re.compile(r"[\s,]+|(?:#|//)[^\n]*|[\[\]()]|[0-9]+(?:\.0*)?(?![0-9.])|\"[0-9\s.,;|]*\"|'[0-9\s.,;|]*'")
_LIST = re.compile(r"\[|\(\s*\(")
_APART = "\n;\n"
"""A line that is no row: what stands before and behind it are two blocks."""

Block = list[list[int]]
Nested = list["str | Nested"]


def read_grid(text: str, symbols: int) -> Grid | None:
    """The last grid ``uint8 [h, w]`` in ``text``, ``None`` if there is none or it is ragged.

    Takes rows of digits with spaces, commas, bars or nothing between them, in code fences or without, in Markdown
    quotes and tables, between tags, boards with rules between boxes, LaTeX matrices, and JSON or Python lists on one
    line or many, their cells numbers or strings, their rows strings. What a model marks as its thoughts is none of it,
    whether it comes to an end or not. What stands in a code fence counts before what does not; a lone number outside of
    one counts only if there is nothing else. ``symbols`` is the number of symbols a cell can hold: digits written
    together are cells of their own unless they name a symbol.
    """
    fenced, loose = _blocks(_plain(without_thoughts(text)[-LONGEST_REPLY:]), min(symbols, 36))
    larger = [block for block in loose if len(block) > 1 or len(block[0]) > 1]
    for block in reversed(fenced or larger or loose):
        return _grid(block, min(symbols, 36))
    return None


def _plain(text: str) -> str:
    """The same reply with every grid as rows on lines of their own, cells apart by spaces."""
    text = _WRITTEN_BREAK.sub("\n", _without_matrices(_QUOTE.sub("", text)).replace('\\"', '"'))
    text = _STRING.sub(lambda found: _APART + found[2] + _APART if "\n" in found[2].strip() else found[0], text)
    text = _TAG.sub(_APART, _ROW_TAG.sub(" ", _ROW_END.sub("\n", text)))
    return _WHOLE.sub("", _unpacked(text))


def _without_matrices(text: str) -> str:
    """``text`` with LaTeX matrices as rows; one that is cut short is left out, with all that follows."""
    parts, done, begun = [], 0, None
    for mark in _MATRIX.finditer(text):
        if mark[1] == "begin":
            parts.append(text[done : mark.start()])
            begun = mark
        elif begun is not None and begun[2] == mark[2]:
            parts.append(_APART + _matrix_rows(text[begun.end() : mark.start()]) + _APART)
            begun = None
        done = mark.end()
    return "".join(parts if begun is not None else [*parts, text[done:]])


def _matrix_rows(body: str) -> str:
    """Rows of a LaTeX matrix, one a line."""
    rows = re.split(r"\\\\+|\\cr\b", _LINES_IN_MATRIX.sub(" ", body))
    return "\n".join(" ".join(row.replace("&", " ").split()) for row in rows if row.strip())


def _unpacked(text: str) -> str:
    """``text`` with lists as rows; a list that the text's end cuts short is left out, with all that follows."""
    parts, done = [], 0
    while mark := _LIST.search(text, done):
        begin = mark.start()
        parts.append(text[done:begin])
        found, end = _list_at(text, begin)
        if found is None:
            if end == len(text):
                return "".join(parts)
            # No list: what stands in the bracket is read like any other text.
            parts.append(text[begin : begin + 1])
            done = begin + 1
            continue
        parts.append(_listed(found))
        done = end
    return "".join([*parts, text[done:]])


def _list_at(text: str, begin: int) -> tuple[Nested | None, int]:
    """The list of digits that begins there, and where it ends; ``None`` and the place where it ceases to be one.

    One that is deeper than any list of grids is passed over whole.
    """
    open_lists: list[Nested] = []
    place = begin
    while token := _TOKEN.match(text, place):
        place, word = token.end(), token[0]
        if word in "[(":
            inner: Nested = []
            if open_lists:
                open_lists[-1].append(inner)
            open_lists.append(inner)
            if len(open_lists) > _DEEPEST:
                return [], place
        elif word in "])":
            done = open_lists.pop()
            if not open_lists:
                return done, place
        elif word[0] in "#/":
            # A remark behind an item; "[#1]" is no list.
            if not open_lists[-1]:
                return None, begin + 1
        elif word.strip(" \t\r\n,"):
            # numpy prints whole numbers of a float array as "1.".
            open_lists[-1].append(word.rstrip("."))
    return None, place


def _listed(found: Nested) -> str:
    """A list's rows: lists of lists and lists of row strings stand apart, a flat one is part of its line."""
    words = [item for item in found if isinstance(item, str)]
    if len(words) == len(found):
        rows = [_unquoted(word) for word in words]
        written_out = [row for word, row in zip(words, rows, strict=True) if word[0] in "\"'" and len(row) > 1]
        if len(rows) > 1 and len(written_out) == len(rows):
            return _APART + "\n".join(rows) + _APART
        return " " + " ".join(rows) + " "
    if words:
        return _APART
    inner = [item for item in found if not isinstance(item, str)]
    if all(all(isinstance(cell, str) for cell in row) for row in inner):
        return _APART + "\n".join(" ".join(map(_unquoted, row)) for row in inner) + _APART
    return _APART.join(map(_listed, inner))


def _unquoted(word: str) -> str:
    return word.strip("\"'").strip()


def _blocks(text: str, symbols: int) -> tuple[list[Block], list[Block]]:
    """Runs of lines that are rows: those inside code fences, and the others."""
    found: tuple[list[Block], list[Block]] = ([], [])
    chain: list[_Run] = []
    for run in [*_runs(text), None]:
        if run is not None and chain and run.follows and run.inside == chain[-1].inside:
            chain.append(run)
            continue
        if chain:
            found[0 if chain[0].inside else 1].extend(_joined([_cells(one.rows, symbols) for one in chain]))
        chain = [run] if run is not None else []
    return found


class _Run(NamedTuple):
    """Lines on end that are rows: whether in a code fence, and whether only empty lines part them from those before."""

    inside: bool
    follows: bool
    rows: list[str]


def _runs(text: str) -> Iterator[_Run]:
    """The runs of a text in order; rules between boxes do not end one."""
    inside, follows, rows = False, False, []
    for line in [*text.splitlines(), "end"]:
        bare = _LABEL.sub("", line).strip(_DRESS)
        if _ROW.fullmatch(bare):
            rows.append(bare)
        elif _SLASHED.fullmatch(bare):
            rows += [row.strip() for row in bare.split("/")]
        elif not _is_rule(line):
            if rows:
                yield _Run(inside, follows, rows)
                follows = True
            rows = []
            follows = follows and not line.strip()
            inside ^= bool(_FENCE.match(line))


def _joined(runs: list[Block]) -> list[Block]:
    """Blocks of runs that only empty lines part: single rows are one grid, and so are the bands of a square board."""
    rows = [row for run in runs for row in run]
    bands = {(len(run), *map(len, run)) for run in runs}
    square = len(bands) == 1 and len(set(map(len, rows))) == 1 and len(rows) == len(rows[0])
    return [rows] if all(len(run) == 1 for run in runs) or square else runs


def _is_rule(line: str) -> bool:
    """Whether a line only parts boxes or a table's head from one another."""
    return ("--" in line or "==" in line) and _RULE.issuperset(line)


def _cells(rows: list[str], symbols: int) -> Block:
    """The numbers of rows; groups of digits that name no symbol are read digit by digit.

    So are rows that are one group each, all of a length: a column of numbers above 9 is not written that way.
    """
    parts = [re.findall("[0-9]+", row) for row in rows]
    lengths = {len(group) for row in parts for group in row}
    together = len(rows) > 1 and all(len(row) == 1 for row in parts) and len(lengths) == 1
    return [
        [int(digit) for group in row for digit in group]
        if together or not all(_is_symbol(group, symbols) for group in row)
        else [int(group) for group in row]
        for row in parts
    ]


def _is_symbol(group: str, symbols: int) -> bool:
    return group == "0" or (len(group) < 3 and group[0] != "0" and int(group) < symbols)


def _grid(rows: Block, symbols: int) -> Grid | None:
    widths = {len(row) for row in rows}
    if len(widths) != 1 or max(len(rows), *widths) > LONGEST_SIDE or max(map(max, rows)) >= symbols:
        return None
    return np.array(rows, dtype=np.uint8)
