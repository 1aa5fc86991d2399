"""The log of a training run: ``metrics.jsonl`` has a line per step and validation, ``curve.csv`` is its short form."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trm_harness.errors import BadInput
from trm_harness.files.names import CURVE_FILE, METRICS_FILE
from trm_harness.files.write import write_text


def forget_lost_steps(log: Path, step: int) -> None:
    """Cut a log down to the steps up to ``step``: those after the checkpoint are about to be taken again."""
    if not log.exists():
        return
    try:
        kept = [line for line in _whole_lines(log) if json.loads(line)["step"] <= step]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInput(f"{log}: is damaged ({error}): mend the line, or move the log away to resume") from None
    write_text(log, "".join(kept))


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """Rows of a run's log, a torn last line left out. ``BadInput`` if there is none or it is damaged."""
    log = out / METRICS_FILE
    try:
        return [json.loads(line) for line in _whole_lines(log)]
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{log}: cannot be read as a training log ({error}): give the folder of a training run"
        ) from None


def curve(rows: Sequence[Mapping[str, Any]], most: int = 200) -> list[dict[str, Any]]:
    """A log in at most ``most`` stretches of steps, and every validation: what a card keeps of its training.

    A stretch has its last ``step``, its ``seconds`` since the start, and means of ``loss``, ``exact_accuracy``,
    ``accuracy`` and ``steps`` (those three of the rows that halted; absent where none did). A validation has its
    ``step``, ``validation n`` and every share of right answers as ``validation exact``.
    """
    steps = [row for row in rows if "loss" in row]
    size = max(1, -(-len(steps) // most))
    found = [_mean(steps[start : start + size]) for start in range(0, len(steps), size)]
    for row in rows:
        told = row.get("validation", {})
        shares = {f"validation {name}": told[name] for name in told if name == "n" or name.split("/")[-1] == "exact"}
        found += [{"step": row["step"], **shares}] if told else []
    return sorted(found, key=lambda row: row["step"])


def write_curve(out: Path) -> None:
    """Write ``curve.csv`` beside a run's log, if there is one: a column for each name, empty where a row lacks it."""
    rows = curve(read_metrics(out)) if (out / METRICS_FILE).is_file() else []
    if rows:
        text = io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_text(out / CURVE_FILE, text.getvalue())


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {"step": rows[-1]["step"], "seconds": round(rows[-1]["seconds"], 1)}
    for name in ("loss", "exact_accuracy", "accuracy", "steps"):
        values = [row[name] for row in rows if row.get(name) is not None]
        found |= {name: round(sum(values) / len(values), 5)} if values else {}
    return found


def _whole_lines(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8") as file:
        yield from (line for line in file if line.endswith("\n"))
