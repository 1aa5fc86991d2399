"""A board as text: for the terminal, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from itertools import groupby
from typing import Any

from trm_harness.leaderboard.board import Board, Line
from trm_harness.leaderboard.rows import Result, Row

HEADERS = ("interval", "n", "votes", "training", "cost", "level", "date", "notes", "source")


def render(board: Board, form: str) -> str:
    """``board`` as ``table``, ``md``, ``csv`` or ``json`` text."""
    return {"table": _terminal, "md": _markdown, "csv": _csv, "json": _json}[form](board)


def flat(line: Line, columns: tuple[str, ...]) -> dict[str, Any]:
    """A line as flat data: every fact in a field of its own, each score column with its rank, interval, n and cost."""
    row, fields = line.row, {}
    for name in columns:
        result = row.results.get(name)
        prefix = name.replace("-", "_")
        fields[prefix] = result and result.percent
        fields[f"{prefix}_rank"] = line.ranks.get(name)
        for fact in ("low", "high", "done", "total", "unit", "cost_usd"):
            fields[f"{prefix}_{fact}"] = getattr(result, fact) if result else None
    return {
        "task": row.task,
        "system": row.system,
        "family": row.family,
        "parameters": row.parameters,
        "network_parameters": row.network,
        "puzzle_table_parameters": row.puzzle_table,
        "metric": row.metric,
        **fields,
        "views": row.views,
        "demonstrations": row.demonstrations,
        "cost_basis": row.cost_basis,
        "level": row.level,
        "date": row.date,
        "source": row.source,
        "source_title": row.facts.get("source_title", ""),
        "rule": row.facts.get("rule", ""),
        "interval_method": row.facts.get("interval", ""),
        "data_sha256": row.facts.get("data_sha256", ""),
        "not_ranked_because": "; ".join(row.labels),
        "notes": row.notes,
    }


def markdown_cell(text: str) -> str:
    """Somebody's text in a cell of Markdown: nothing in it ends the cell, begins a tag, a link or code."""
    for mark in "\\|[]`*":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.replace("<", "&lt;").split())


def _json(board: Board) -> str:
    lines = [flat(line, board.columns) for line in board.lines]
    told = {"task": board.task, "metric": board.metric, "columns": list(board.columns), "rows": lines}
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)


def _csv(board: Board) -> str:
    lines = [flat(line, board.columns) for line in board.lines]
    stream = io.StringIO()
    if lines:
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return stream.getvalue().rstrip("\n")


def _markdown(board: Board) -> str:
    parts = [f"## {board.task}, {board.metric} in percent", *_remarks(board)]
    for section, lines in groupby(board.lines, key=lambda line: line.section):
        parts += [f"### {section[0].upper()}{section[1:]}", _grid(board, list(lines), "github")]
    return "\n\n".join(parts)


def _terminal(board: Board) -> str:
    """One grid, so that the columns of all sections stand under each other, cut apart by section titles."""
    if not board.lines:
        return f"no scores of {board.task} yet: `--runs DIR` adds local runs"
    # tabulate's "simple" form is a header, a rule and one line per row: titles go between the lines.
    top, rule, *body = _grid(board, list(board.lines), "simple").splitlines()
    parts = [f"{board.task}, {board.metric} in percent; #n is the rank in its column", top, rule]
    texts = iter(body)
    for section, lines in groupby(board.lines, key=lambda line: line.section):
        parts += [f"-- {section}", *(next(texts) for _ in lines)]
    return "\n".join([*parts, "", *_remarks(board)])


def _remarks(board: Board) -> list[str]:
    """What a reader must know before comparing."""
    remarks = []
    if {"public", "semi-private"} <= set(board.columns):
        remarks.append("Public and semi-private are different sets of tasks: compare within a column only.")
    if any(line.row.cost_basis == "compute share" for line in board.lines):
        remarks.append(
            "Cost per task: API is the price of calls; compute share is a whole run's compute over its tasks."
        )
    if any(line.row.network for line in board.lines):
        remarks.append("Parameters: network + puzzle table for ours; as printed by the source for others.")
    return remarks


def _grid(board: Board, lines: list[Line], form: str) -> str:
    from tabulate import tabulate

    headers = ["system", "family", "parameters", "metric", *board.columns, *HEADERS]
    cells = [_cells(line, board.columns) for line in lines]
    cells = [[" ".join(cell.split()) for cell in row] for row in cells]
    if form == "github":
        cells = [[markdown_cell(cell) for cell in row] for row in cells]
    # A column that is empty throughout costs width and says nothing.
    kept = [place for place in range(len(headers)) if any(row[place] for row in cells)]
    cells = [[row[place] for place in kept] for row in cells]
    return tabulate(cells, [headers[place] for place in kept], tablefmt=form, disable_numparse=True)


def _cells(line: Line, columns: tuple[str, ...]) -> list[str]:
    row = line.row
    results = [row.results[name] for name in columns if name in row.results]
    scores = [_score(row.results.get(name), line.ranks.get(name)) for name in columns]
    return [
        row.system,
        row.family,
        _parameters(row),
        row.metric,
        *scores,
        " / ".join(f"{result.low:.1f} to {result.high:.1f}" for result in results if result.low is not None),
        " / ".join(f"{result.done}/{result.total} {result.unit}" for result in results if result.done is not None),
        "" if row.views is None else str(row.views),
        row.demonstrations,
        _cost(row, results),
        row.level,
        row.date,
        "; ".join(filter(None, [*row.labels, row.notes if row.level == "ours" else ""])),
        row.source,
    ]


def _score(result: Result | None, rank: int | None) -> str:
    if result is None:
        return ""
    text = percent(result.percent)
    return f"{text} #{rank}" if rank else text


def percent(value: float) -> str:
    """At least one decimal, a second one where it says something: 99.96 must not read 100."""
    text = f"{value:.2f}"
    return text.removesuffix("0") if text.endswith("0") else text


def _parameters(row: Row) -> str:
    if row.network is None:
        return row.parameters
    table = f" + {count(row.puzzle_table)} table" if row.puzzle_table else ""
    return f"{count(row.network)}{table}"


def count(number: int) -> str:
    """A number of parameters in three digits: 6.83M, 410K, 27."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def _cost(row: Row, results: list[Result]) -> str:
    """Dollars per task in the order of the score columns, and what they count."""
    dollars = " / ".join(f"${result.cost_usd:.3g}" for result in results if result.cost_usd is not None)
    return f"{dollars} {row.cost_basis}".strip()
