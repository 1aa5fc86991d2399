"""From rows to a board: one line per system and metric, ranked only among its like."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from trm_harness.errors import BadInput
from trm_harness.leaderboard.rows import OURS, Result, Row, with_intervals

ORDER = ("public", "semi-private", "test")
UNRANKED = "shown, not ranked"


@dataclass(frozen=True)
class Line:
    """A row in its place: its rank in each score column it is ranked in, and the section it stands in."""

    row: Row
    section: str
    ranks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """A task's leaderboard: ``columns`` are sets of puzzles, ``metric`` is the one that is ranked."""

    task: str
    metric: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def build(rows: Iterable[Row], task: str, metric: str = "", column: str = "") -> Board:
    """The board of ``task``. ``metric`` (default: the one most rows carry) is ranked, other metrics are shown.

    ``column`` keeps one set of puzzles only. ``BadInput`` if it does not occur.
    """
    merged = _merge(row for row in rows if row.task == task)
    # Merged before ranking: one system is one line, but each of its columns is ranked by itself.
    columns = _columns(merged)
    if column:
        if column not in columns:
            raise BadInput(f"no score of {task} is on split {column!r}: there are {', '.join(columns) or 'none'}")
        columns, merged = (column,), [_only(row, column) for row in merged if column in row.results]
    metric = metric or next((name for name, _ in Counter(row.metric for row in merged).most_common(1)), "")
    labelled = [with_intervals(_labelled(row, metric)) for row in merged]
    ranks = {name: _ranks(labelled, name) for name in columns}
    lines = [_line(row, place, columns, ranks) for place, row in enumerate(labelled)]
    return Board(task, metric, columns, tuple(sorted(lines, key=lambda line: _order(line, columns))))


def _merge(rows: Iterable[Row]) -> list[Row]:
    """One row for a system whose scores on several sets come from one source; costs stay with their score."""
    merged: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (row.system, row.metric, row.family, row.parameters, row.source, row.level, row.labels)
        copies = 0
        # The same system twice on the same set stays two lines: two measurements, not one.
        while (*key, copies) in merged and merged[(*key, copies)].results.keys() & row.results.keys():
            copies += 1
        known = merged.get((*key, copies))
        merged[(*key, copies)] = _joined(known, row) if known else row
    return list(merged.values())


def _joined(row: Row, other: Row) -> Row:
    notes = "; ".join(dict.fromkeys(filter(None, (row.notes, other.notes))))
    return replace(row, results={**row.results, **other.results}, notes=notes)


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    found = {name for row in rows for name in row.results}
    return (*(name for name in ORDER if name in found), *sorted(found - set(ORDER)))


def _only(row: Row, column: str) -> Row:
    return replace(row, results={column: row.results[column]})


def _labelled(row: Row, metric: str) -> Row:
    """The row with one more label if its metric is not the board's."""
    return row if row.metric == metric else replace(row, labels=(f"metric {row.metric}", *row.labels))


def _ranks(rows: Sequence[Row], column: str) -> dict[int, int]:
    """Place in ``rows`` -> rank in ``column``: one more than the rows whose interval lies wholly above its own.

    Rows whose intervals overlap share a rank. Without an interval the score stands for both its ends.
    """
    # Only rows without labels compete; a label always says why its row does not.
    ranked = {place: row.results[column] for place, row in enumerate(rows) if column in row.results and not row.labels}
    lows = sorted(_end(result.low, result) for result in ranked.values())
    return {place: 1 + len(lows) - bisect_right(lows, _end(result.high, result)) for place, result in ranked.items()}


def _end(value: float | None, result: Result) -> float:
    return result.percent if value is None else value


def _line(row: Row, place: int, columns: Sequence[str], ranks: dict[str, dict[int, int]]) -> Line:
    own = {name: ranks[name][place] for name in columns if place in ranks[name]}
    first = next((name for name in columns if name in own), "")
    alone = first and first != columns[0]
    return Line(row, f"{first} set{' only' if alone else ''}" if first else UNRANKED, own)


def _order(line: Line, columns: Sequence[str]) -> tuple[object, ...]:
    """Sections in the order of their columns, the unranked last; ours before others' at equal score."""
    place = next((i for i, name in enumerate(columns) if name in line.ranks), len(columns))
    first = next(name for name in columns if name in line.row.results)
    # False sorts first: our row leads where scores are equal and among the unranked, where it would be lost.
    ours = line.row.level != OURS
    value = -line.row.results[first].percent
    if place == len(columns):
        return place, ours, line.row.metric, columns.index(first), value, line.row.system
    return place, -line.row.results[columns[place]].percent, ours, line.row.system
