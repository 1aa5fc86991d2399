"""ARC Prize's published evaluations as lines of our files of reported scores.

Its leaderboard loads two files: ``evaluations.json``, a list of ``{datasetId, modelId, score, costPerTask, display}``,
and ``models.json``, a list of ``{id, displayName, modelType, providerId, modelReleaseDate}``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trm_harness.errors import BadInput

DATASETS = {
    "v1_Public_Eval": ("arc1", "public-eval"),
    "v1_Semi_Private": ("arc1", "semi-private"),
    "v2_Public_Eval": ("arc2", "public-eval"),
    "v2_Semi_Private": ("arc2", "semi-private"),
}
"""Their sets of tasks -> our benchmark and split; other sets have no column here."""

LANGUAGE = ("Base LLM", "CoT", "CoT + Synthesis")
"""Their types of models that are language models as they are served."""

TITLE = "ARC Prize leaderboard evaluations.json"
_KNOWN = re.compile(r"modelId ([^;]+)")


@dataclass
class Imported:
    """What came of an import: lines by benchmark, and what a person should know of the rest."""

    lines: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def imported(
    evaluations: Any, models: Any, known: Mapping[str, Sequence[Mapping[str, str]]], collected: str, source: str
) -> Imported:
    """Lines for scores that ``known`` (benchmark -> lines of its file) does not hold yet, by split and model id.

    A score that is there with another value is left as it is and noted. ``BadInput`` for files of another form.
    """
    found, names = Imported(), {model["id"]: model for model in _objects(models, "models", ("id", "displayName"))}
    there = {key: score for benchmark, lines in known.items() for key, score in _there(benchmark, lines)}
    for one in _objects(evaluations, "evaluations", ("datasetId", "modelId", "score")):
        if one["datasetId"] not in DATASETS:
            continue
        line = _line(one, names.get(one["modelId"], {}), collected, source)
        key = (line["benchmark"], line["split"], one["modelId"])
        if key not in there:
            there[key] = line["score_percent"]
            found.lines.setdefault(line["benchmark"], []).append(line)
        elif float(there[key]) != float(line["score_percent"]):
            found.notes.append(
                f"{', '.join(key)}: {there[key]} here, {line['score_percent']} in the file; left as it is"
            )
    return found


def appended(text: str, lines: Iterable[Mapping[str, str]]) -> str:
    """A file of reported scores with ``lines`` behind its own, which stay as they are to the byte."""
    header = next(csv.reader(io.StringIO(text)), [])
    missing = [name for line in lines for name, value in line.items() if value and name not in header]
    if missing:
        raise BadInput(f"the file lacks the column {missing[0]!r}: add it to its header and to every line")
    stream = io.StringIO()
    csv.DictWriter(stream, header, restval="", extrasaction="ignore", lineterminator="\n").writerows(lines)
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{stream.getvalue()}"


def _objects(value: Any, what: str, needed: Sequence[str]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) and {*needed} <= one.keys() for one in value):
        raise BadInput(f"the file of {what} is no list of objects with {', '.join(needed)}")
    return value


def _there(benchmark: str, lines: Iterable[Mapping[str, str]]) -> Iterator[tuple[tuple[str, str, str], str]]:
    for line in lines:
        named = _KNOWN.search(line.get("notes", ""))
        if named:
            yield (benchmark, line["split"], named[1].strip()), line["score_percent"]


def _line(one: Mapping[str, Any], model: Mapping[str, Any], collected: str, source: str) -> dict[str, str]:
    """One evaluation in our columns."""
    benchmark, split = DATASETS[one["datasetId"]]
    score, cost, kind = one["score"], one.get("costPerTask"), model.get("modelType")
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        raise BadInput(f"the evaluation of {one['modelId']!r} on {one['datasetId']} has the score {score!r}, no share")
    priced = isinstance(cost, int | float) and cost > 0
    people = model.get("providerId") == "Human"
    hidden = "; not displayed by its source" if one.get("display") is False else ""
    return {
        "benchmark": benchmark,
        "split": split,
        "system": str(model.get("displayName") or one["modelId"]),
        "family": "llm" if kind in LANGUAGE else "other",
        "metric": "pass@2",
        "score_percent": f"{100 * score:.4f}".rstrip("0").rstrip("."),
        "cost_per_task_usd": f"{cost:g}" if priced else "",
        "date": str(model.get("modelReleaseDate") or "")[:10],
        "source_title": TITLE,
        "source_id": source,
        "confidence": "official-leaderboard",
        "notes": f"modelId {one['modelId']}{hidden}",
        "cost_basis": ("API" if kind in LANGUAGE else "as listed") if priced else "",
        "label": "people" if people else "",
        "collected": collected,
    }
