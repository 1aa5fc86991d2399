"""The short table for a README: the best published and the best trained score of every task, between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trm_harness.errors import BadInput
from trm_harness.leaderboard.board import Board
from trm_harness.leaderboard.rows import Row
from trm_harness.leaderboard.tables import markdown_cell, percent
from trm_harness.leaderboard.views import best, caveats, n_text, parameters_text

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"


def table(boards: Iterable[Board]) -> str:
    """The table as Markdown, without padding: a row changes only with its own task."""
    headers = ("task, split", "metric", "best published", "best trained here", "95 % interval", "n", "protocol")
    rows = [row for board in boards for row in _rows(board)]
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(text: str, made: str) -> str:
    """``text`` with ``made`` between its two marks; ``BadInput`` unless it has both, once, in order."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in tail:
        raise BadInput(f"the file needs the marks {BEGIN} and {END} once each, in this order")
    return f"{head}{BEGIN}\n\n{made}\n\n{END}{tail}"


def _rows(board: Board) -> Iterator[tuple[str, ...]]:
    for column in board.columns:
        found = best(board, column)
        published, ours = found["published"], found["ours"]
        if published or ours:
            yield (
                f"{board.task}, {column}",
                board.metric,
                _named(published, column),
                _named(ours, column),
                _interval(ours, column),
                n_text(ours) if ours else "",
                ours.protocol if ours else "",
            )


def _named(row: Row | None, column: str) -> str:
    if row is None:
        return "none"
    told = ", ".join(filter(None, [parameters_text(row), *caveats(row)]))
    name = markdown_cell(row.system)
    return f"{percent(row.results[column].percent)} {name}{f' ({markdown_cell(told)})' if told else ''}"


def _interval(row: Row | None, column: str) -> str:
    result = row.results[column] if row else None
    return f"{result.low:.1f} to {result.high:.1f}" if result and result.low is not None else ""
