"""Training runs: a listing, and their curves with matplotlib, which only drawing needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from trm_harness.cli.options import echo_json, table
from trm_harness.errors import BadInput
from trm_harness.files.dates import order, to_come
from trm_harness.files.names import TRAINING_FILE
from trm_harness.files.read import read_json

SMOOTH = 50
"""Steps that a curve is averaged over."""


def list_training(runs: Path, as_json: bool) -> None:
    """Print the training runs under ``runs``, newest first."""
    found = sorted(_headers(runs), key=lambda run: order(run["started"]), reverse=True)
    if as_json:
        return echo_json(found)
    headers = ("RUN", "TASK", "MODEL", "STEPS", "STATE", "VALIDATION", "STARTED")
    rows = [
        (
            r["run"],
            r["task"],
            r["model"],
            f"{r['steps']}/{r['total']}",
            r["state"],
            r["validation"],
            in_words(r["started"]),
        )
        for r in found
    ]
    click.echo(table(rows, headers) if rows else f"no training runs in ./{runs}")
    return None


def in_words(started: str) -> str:
    """The start of a run, with a word where it has not come yet: some clock is wrong, and the run sorts last."""
    return f"{started} (in the future)" if to_come(started) else started


def _headers(runs: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(runs.glob(f"*/{TRAINING_FILE}")):
        try:
            found = _header(path.parent.name, read_json(path))
            if not all(isinstance(found[name], str) for name in ("task", "model", "state", "started")):
                raise TypeError("a number or a table where a text belongs")
            yield found
        except (BadInput, ValueError, LookupError, TypeError, AttributeError):
            click.echo(f"warning: {path} is not a training run's; left out", err=True)


def _header(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    job, done = run["job"], run["result"]
    held_out = done.get("validation") or {}
    return {
        "run": name,
        "task": job["task"],
        "model": job["model"],
        "steps": done.get("steps", 0),
        "total": sum(stage["steps"] for stage in job["recipe"]["stages"]),
        "state": done.get("stopped", "unfinished"),
        "validation": f"{100 * held_out['exact']:.1f} % of {held_out['n']}" if held_out else "",
        "started": run["sessions"][0].get("started", ""),
    }


def draw(folders: Sequence[Path], file: Path | None) -> Path:
    """Draw loss, training accuracy and validation of the runs into ``file``; returns where that is.

    ``BadInput`` without matplotlib, for another ending, or for a folder without a training log.
    """
    from trm_harness.cli.runs.plots import FORMATS, save
    from trm_harness.train.log import read_metrics

    out = file or folders[0] / "curves.png"
    if out.suffix.lower() not in FORMATS:
        raise BadInput(f"--out {out}: its name must end in {', '.join(FORMATS)}")
    logs = {folder.name: read_metrics(folder) for folder in folders}
    empty = [name for name, rows in logs.items() if not rows]
    if empty:
        raise BadInput(f"training run {empty[0]} has logged no step yet: nothing to draw")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput('drawing needs matplotlib: pip install "trm-harness[plot]"') from None
    figure = Figure(figsize=(15, 4.2), layout="constrained")
    panels = zip(figure.subplots(1, 3), ("loss", "exact_accuracy", "validation"), strict=True)
    for axes, name in panels:
        _panel(axes, name, logs)
    save(figure, out)
    return out


def _panel(axes: Any, name: str, logs: Mapping[str, list[dict[str, Any]]]) -> None:
    titles = {
        "loss": f"training loss (mean of {SMOOTH} steps)",
        "exact_accuracy": f"exact, training rows that halted (mean of {SMOOTH} steps)",
        "validation": "exact, held-out puzzles, average weights",
    }
    drawn = False
    for label, rows in logs.items():
        points = _validations(rows) if name == "validation" else _smoothed(rows, name)
        if points:
            drawn = True
            axes.plot(*zip(*points, strict=True), marker="o" if name == "validation" else None, label=label)
    axes.set(title=titles[name], xlabel="optimizer steps")
    if name == "loss":
        axes.set_yscale("log")
    elif drawn:
        axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    if drawn and len(logs) > 1:
        axes.legend(fontsize="small")


def _validations(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    return [(row["step"], row["validation"]["exact"]) for row in rows if "validation" in row]


def _smoothed(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Means over stretches of steps; steps without a value (nobody halted) are left out."""
    found = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    size = min(SMOOTH, max(1, len(found) // 4))
    stretches = [found[start : start + size] for start in range(0, len(found), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in stretches]
