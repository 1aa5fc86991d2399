"""What the pages of the site show: rows, records and verdicts in the shape that templates and charts read."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from trm_harness.leaderboard.archive import RERUN, RESCORED, SELF_REPORTED, Filed
from trm_harness.leaderboard.board import Board, Line
from trm_harness.leaderboard.rows import ENDS, OURS, Row, filed_row
from trm_harness.leaderboard.tables import count, percent
from trm_harness.leaderboard.verdicts import Verdict
from trm_harness.record import RunRecord, ScoreEntry, describe

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", re.IGNORECASE)
_SIZES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_LINKS = (
    (re.compile(r"arXiv:(\d{4}\.\d{4,5})\b"), "https://arxiv.org/abs/{}"),
    (re.compile(r"github:([\w.-]+/[\w.-]+)@([0-9a-f]{7,40})\b"), "https://github.com/{}/tree/{}"),
    (re.compile(r"^github:([\w.-]+/[\w.-]+)$"), "https://github.com/{}"),
    (re.compile(r"^([\w.-]+/[\w.-]+)#(\d+)$"), "https://github.com/{}/issues/{}"),
    (re.compile(r"^((?:arcprize\.org|[\w-]+\.github\.io)/[\w/-]+)$"), "https://{}"),
    (re.compile(r"^arcprize\.org/leaderboard via ([\w-]+/[\w-]+) "), "https://github.com/{}"),
)


def slug(name: str) -> str:
    """``name`` as part of an address: short, and never that of another name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    return plain if plain == name and len(plain) <= 80 else f"{plain[:60]}-{_digest(name)}"


def _digest(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:8]


def model_name(record: RunRecord) -> str:
    """The card; without one the architecture, of a language model also its name at the endpoint."""
    model = record.model
    served = model.config.get("model", "") if model.family == "llm" else ""
    return model.card or f"{model.id} {served}".strip()


def parameters_number(row: Row) -> float | None:
    """Network parameters as a number; the middle of a range by its ratio; ``None`` where nobody says."""
    if row.network:
        return float(row.network)
    found = _NUMBER.findall(row.parameters)
    if not found:
        return None
    # In "5-7M" the unit stands once, behind the last number.
    unit = found[-1][1].upper()
    values = [float(number) * _SIZES[(letter or unit).upper()] for number, letter in found[:2]]
    product = values[0] * values[-1]
    return product**0.5 if product else None


def parameters_text(row: Row) -> str:
    """``6.83M + 135K table`` of ours; as printed by the source of others."""
    if row.network is None:
        return row.parameters if row.level != OURS else "not disclosed" if describe.is_service(row.family) else "none"
    return f"{count(row.network)}{f' + {count(row.puzzle_table)} table' if row.puzzle_table else ''}"


def source_link(source: str) -> str:
    """Address of a source that names a paper, a repository or a thread; empty for any other text."""
    for pattern, address in _LINKS:
        found = pattern.search(source)
        if found:
            return address.format(*found.groups())
    return ""


def claim_key(row: Row, column: str) -> tuple[Any, ...]:
    """What tells one published score from all others, on a board as in its file."""
    return row.task, row.system, row.metric, row.source, column, row.results[column].percent


def anchors(rows: Iterable[Row]) -> Iterator[str]:
    """A stable fragment for each row: who was measured by whom; the second of the same gets a number."""
    seen: Counter[str] = Counter()
    for row in rows:
        anchor = f"r-{_digest(row.task, row.system, row.metric, row.source, row.level)}"
        seen[anchor] += 1
        yield anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor]}"


def lines(board: Board, verdicts: Mapping[tuple[Any, ...], Verdict]) -> list[dict[str, Any]]:
    """The rows of a task's table, in the order of the board."""
    named = zip(anchors(line.row for line in board.lines), board.lines, strict=True)
    return [_line(anchor, line, board, verdicts) for anchor, line in named]


def caveats(row: Row) -> list[str]:
    """What weakens a leading score, by one rule for every row: many answers, more data, nobody who looked."""
    told = []
    if (row.samples or 1) > 1:
        told.append(f"{row.samples:,} samples")
    if row.training_data.startswith("extra"):
        told.append("extra data")
    if "protocol not checked" in row.notes:
        told.append("protocol unchecked")
    if row.level == "second-hand":
        told.append("second-hand")
    if row.verified == SELF_REPORTED:
        told.append("self-reported")
    if _is_our_service(row):
        told.append("training unknown")
    return told


def _is_our_service(row: Row) -> bool:
    """Whether a record of ours is of a service; what others published says so by its family."""
    return row.level == OURS and describe.is_service(row.family)


def level_text(row: Row) -> str:
    """How far a row was checked. A service is a level of its own: its answers can be scored again, not made again."""
    return f"service, {row.verified or row.level}" if _is_our_service(row) else row.verified or row.level


def samples_text(row: Row) -> str:
    """Answers drawn for a puzzle at test time."""
    return "not stated" if row.samples is None else f"{row.samples:,}"


def data_text(row: Row) -> str:
    """What the weights were trained on, in two or three words."""
    if row.training_data:
        return "its own" if row.training_data == "benchmark" else "extra"
    if describe.is_service(row.family):
        return "undisclosed"
    return "none" if (row.level == OURS and not row.network) or row.family in ENDS else "not stated"


def _line(anchor: str, line: Line, board: Board, verdicts: Mapping[tuple[Any, ...], Verdict]) -> dict[str, Any]:
    row = line.row
    found = [verdicts[key] for column in row.results if (key := claim_key(row, column)) in verdicts]
    return {
        "id": anchor,
        "row": row,
        "ours": row.level == OURS,
        "cells": [(column, row.results.get(column), line.ranks.get(column)) for column in board.columns],
        "ranked": bool(line.ranks),
        "parameters": parameters_number(row),
        "parameters_text": parameters_text(row),
        "training": row.demonstrations or ("" if row.network or row.level != OURS else "nothing trained"),
        "samples": samples_text(row),
        "data": data_text(row),
        "caveats": caveats(row),
        "n": n_text(row),
        "dollars": next((result.cost_usd for result in row.results.values() if result.cost_usd is not None), None),
        "level": level_text(row),
        "verdict": max(found, key=lambda one: bool(one.place), default=None),
        "href": f"models/{slug(row.system)}.html" if row.place else "",
        "record": f"records/{row.place}.html" if row.place else "",
        "source_href": source_link(row.source),
    }


def n_text(row: Row) -> str:
    """``400 of 400 tasks``; the sources of others seldom say how many they asked."""
    told = [f"{r.done:,} of {r.total:,} {r.unit}" for r in row.results.values() if r.done is not None and r.total]
    return " / ".join(dict.fromkeys(told)) or "not stated"


def charts(board: Board, told: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the pictures of a task are drawn from; some rows bear a name in them, column by column."""
    names: dict[str, dict[str, str]] = {}
    for column in board.columns:
        for row, name in _landmarks(board, column):
            anchor = next(line["id"] for line in told if line["row"] is row)
            names.setdefault(anchor, {})[column] = name
    rows = [point | ({"n": names[point["id"]]} if point["id"] in names else {}) for point in points(told)]
    return {"columns": board.columns, "metric": board.metric, "rows": rows, "curves": curves}


def _landmarks(board: Board, column: str) -> Iterator[tuple[Row, str]]:
    """Rows that a picture names: TRM, HRM, the best recursive and language models, the best trained here."""
    ranked = _ranked(board, column)
    published = [row for row in ranked if row.level != OURS]
    ours = [line.row for line in board.lines if line.row.level == OURS and column in line.row.results]
    ours = sorted((row for row in ours if row.family not in ENDS), key=lambda row: -row.results[column].percent)
    wanted = [
        ("TRM", next((row for row in published if row.model.startswith("trm")), None)),
        ("HRM", next((row for row in published if row.model.startswith("hrm")), None)),
        *((_short(row.system), row) for family in ("recursive", "llm") if (row := _first(published, family))),
        *((f"{row.system.removesuffix(f'.{board.task}')} (ours)", row) for row in ours[:2]),
    ]
    seen: list[Row] = []
    for name, row in wanted:
        if row is not None and not any(row is other for other in seen):
            seen.append(row)
            yield row, name


def _short(system: str) -> str:
    """A name without what stands in brackets behind it."""
    return re.sub(r"\s*\([^)]*\)\s*$", "", system) or system


def choices(told: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What the filters of a table offer."""
    return {
        "family": sorted({line["row"].family or "not stated" for line in told}),
        "training": sorted({line["training"] or "not stated" for line in told}),
        "data": sorted({line["data"] for line in told}),
        "level": sorted({line["level"] for line in told}),
    }


def points(told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as the charts read them."""
    return [_point(line) for line in told]


def _point(line: Mapping[str, Any]) -> dict[str, Any]:
    row = line["row"]
    scores = {
        column: {"v": result.percent, "l": result.low, "h": result.high, "c": result.cost_usd}
        for column, result in row.results.items()
    }
    told = {
        "id": line["id"],
        "s": row.system,
        "f": row.family,
        "o": line["ours"],
        "k": line["ranked"],
        "p": line["parameters"],
        "t": line["parameters_text"],
        "a": line["samples"] if row.samples and row.samples > 1 else "",
        "b": row.cost_basis if line["dollars"] is not None else "",
        "w": float(row.facts["flops"]) if row.facts.get("flops") else None,
        "r": {column: {k: v for k, v in score.items() if v is not None} for column, score in scores.items()},
    }
    return {key: value for key, value in told.items() if value not in (None, "", False)}


def curves(filed: Filed) -> Iterator[dict[str, Any]]:
    """Accuracy against supervision steps of a run that has several."""
    curve = filed.record.depth_curve
    # A curve of zeros shows nothing.
    if curve and len(curve.accuracy) > 1 and any(curve.accuracy):
        row = filed_row(filed)
        column = next(iter(row.results)) if row else ""
        yield {
            "name": model_name(filed.record),
            "href": f"records/{filed.place}.html",
            "c": column,
            "n": curve.n,
            "y": [_rounded(100 * value) for value in curve.accuracy],
        }


def record_charts(filed: Filed) -> dict[str, Any]:
    """Depth curve and calibration of one run."""
    halting, curve = filed.record.halting, filed.record.depth_curve
    several = bool(curve and len(curve.accuracy) > 1)
    bins = halting.calibration if halting and several else ()
    return {
        "curves": list(curves(filed)),
        "bins": [{"x": _rounded(one.confidence), "y": _rounded(one.accuracy), "n": one.n} for one in bins],
        "halts": [
            {"x": _rounded(one.mean_steps), "y": _rounded(100 * one.accuracy), "t": one.threshold}
            for one in (halting.thresholds if halting else ())
        ]
        if several
        else [],
    }


def scores(record: RunRecord) -> list[ScoreEntry]:
    """The scores of a run; a vote of one answer is the single pass and is not shown twice."""
    alone = record.protocol.views * record.protocol.restarts == 1
    return [entry for entry in record.scores if entry.pooling == "voted" or not alone]


def best(board: Board, column: str) -> dict[str, Any]:
    """The best ranked scores of a column: published, our trained one, by family, and what marks the ends."""
    ranked = _ranked(board, column)
    published = [row for row in ranked if row.level != OURS]
    own = [line.row for line in board.lines if line.row.level == OURS and column in line.row.results]
    trained = next((row for row in ranked if row.level == OURS), None)
    leaders = [(name, row) for family, name in LEADERS if (row := _first(published, family))]
    # A family of its own is named where it leads.
    if published and published[0] not in [row for _, row in leaders]:
        leaders.insert(0, ("Best published", published[0]))
    return {
        "column": column,
        "published": published[0] if published else None,
        "ours": trained,
        "leaders": [*leaders, *([("Best trained here", trained)] if trained else [])],
        "ends": sorted((row for row in own if row.family in ENDS), key=lambda row: -row.results[column].percent),
    }


def _ranked(board: Board, column: str) -> list[Row]:
    """Rows that are ranked in a column, the best first: the board itself stands in the order of its first column."""
    rows = [line.row for line in board.lines if column in line.ranks]
    # Among equals the newest: twice stable.
    newest = sorted(rows, key=lambda row: row.date or row.collected, reverse=True)
    return sorted(newest, key=lambda row: -row.results[column].percent)


def _first(rows: Iterable[Row], family: str) -> Row | None:
    return next((row for row in rows if row.family == family), None)


LEADERS = (("recursive", "Best recursive"), ("llm", "Best language model"))


def remarks(board: Board) -> list[str]:
    """What a reader must know before comparing, computed from the rows."""
    told = []
    if {"public", "semi-private"} <= set(board.columns):
        told.append(
            "Public and semi-private are different sets of tasks. Compare within a column only; no chart mixes them."
        )
    told += _language_models(board)
    told += [f"Published scores were read at their sources {text}."] if (text := collected(_published(board))) else []
    if any(line.row.cost_basis == "compute share" for line in board.lines):
        told.append(
            "Dollars are labelled by what they count: API is the price of calls, compute share a whole run's compute "
            "divided by its tasks. The two do not compare."
        )
    return told


def empty(board: Board) -> str:
    """What there is to say where no network of ours has solved anything; empty where one has."""
    own = [line.row for line in board.lines if line.row.level == OURS]
    trained = [row for row in own if row.family not in ENDS]
    if not own:
        return "No record of this harness here yet: the puzzles do not ship with it. All rows are published scores."
    if not trained:
        return "No network trained with this harness has a record here yet: our rows are exact solvers and baselines."
    if not any(result.percent for row in trained for result in row.results.values()):
        return "None of our networks solves a task here yet."
    return ""


def _published(board: Board) -> list[Row]:
    return [line.row for line in board.lines if line.row.level != OURS]


def collected(rows: Iterable[Row]) -> str:
    """``on 2026-06-16 (402), 2026-09-23 (164), 9 on a day not noted``: when published scores were read."""
    days = Counter(row.collected for row in rows for _ in row.results)
    unknown = days.pop("", 0)
    told = [f"{day} ({count})" for day, count in sorted(days.items())]
    rest = [f"{unknown} on a day not noted"] if unknown else []
    return f"on {', '.join([*told, *rest])}" if told else ""


def checked(filed: Iterable[Filed]) -> dict[str, int]:
    """How many records were re-run, by what was re-run, and how many only re-scored."""
    found = {"networks": 0, "ends": 0, "rescored": 0, "unchecked": 0}
    for one in filed:
        if one.level == RERUN:
            found["ends" if one.record.model.family in ENDS else "networks"] += 1
        else:
            found["rescored" if one.level == RESCORED else "unchecked"] += 1
    return found


def _language_models(board: Board) -> Iterator[str]:
    """Where language models stand, column by column."""
    for column in board.columns:
        ranked = _ranked(board, column)
        llms = [row for row in ranked if row.family == "llm"]
        tiny = [row for row in ranked if row.family == "recursive" and row.level != OURS]
        if not llms or not tiny:
            continue
        top, small = llms[0], tiny[0]
        if not any(row.results[column].percent for row in llms):
            years = sorted({row.date[:4] for row in llms if row.date})
            yield (
                f"Every published language-model score here is 0.0 ({len(llms)} rows, {' and '.join(years)}); "
                f"the best recursive model has {percent(small.results[column].percent)}."
            )
        else:
            above = sum(row.results[column].percent > small.results[column].percent for row in llms)
            yield (
                f"{column}: {above} of the {len(llms)} language-model rows here score above the best recursive model "
                f"({small.system}, {percent(small.results[column].percent)}); the best has "
                f"{percent(top.results[column].percent)} ({top.system})."
            )


def claim_facts(found: Verdict) -> dict[str, Any]:
    """A verdict as flat data."""
    row = found.claim
    return {
        "task": row.task,
        "split": found.column,
        "system": row.system,
        "metric": row.metric,
        "score": row.results[found.column].percent,
        "source": row.source,
        "model": row.model,
        "verdict": found.verdict,
        "why": found.why,
        "record": found.place,
    }


def record_facts(filed: Filed) -> dict[str, Any]:
    """A filed run as flat data."""
    record, row = filed.record, filed_row(filed)
    result = next(iter(row.results.values())) if row else None
    return {
        "place": filed.place,
        "task": record.task.id,
        "split": record.task.split,
        "model": model_name(record),
        "architecture": record.model.id,
        "metric": row.metric if row else "",
        "score": result and _rounded(result.percent),
        "low": result and _rounded(result.low or 0.0),
        "high": result and _rounded(result.high or 0.0),
        "n": result and result.done,
        "of": result and result.total,
        "protocol": row.protocol if row else "",
        "demonstrations": row.demonstrations if row else "",
        "verified": filed.level,
        "labels": "; ".join(row.labels) if row else "",
        "weights_sha256": record.model.weights_sha256,
        "data_sha256": record.task.data_sha256,
        "command": record.command,
    }


def csv_text(told: Sequence[Mapping[str, Any]]) -> str:
    """Flat data as CSV. A leading ``=``, ``+``, ``-`` or ``@`` would be a formula to a spreadsheet: it gets a quote."""
    stream = io.StringIO()
    if told:
        writer = csv.DictWriter(stream, list(told[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _harmless(value) for key, value in line.items()} for line in told)
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def script(value: Any) -> Any:
    """JSON that may stand in a script element: no ``<`` in it can close the element."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def markdown(text: str) -> Any:
    """Markdown as HTML; HTML in it stays text."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def duration(seconds: float) -> str:
    """``838 s``, ``3.2 h``."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"


def family_text(name: str) -> str:
    """A family in a reader's words."""
    return {"llm": "LLM", "trivial": "baseline", "": "not stated"}.get(name, name)


def metric_text(name: str) -> str:
    """A metric in a sentence."""
    return {"exact": "exact match"}.get(name, name)


FILTERS: dict[str, Callable[..., Any]] = {
    "percent": percent,
    "count": count,
    "slug": slug,
    "duration": duration,
    "source_link": source_link,
    "caveats": caveats,
    "level_text": level_text,
    "family_text": family_text,
    "metric_text": metric_text,
    "signif": lambda value: f"{value:.3g}",
    "group": lambda value: f"{value:,}",
}
"""Filters of the templates."""
