"""A record's curves with matplotlib, which only this file needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trm_harness.cli import report
from trm_harness.errors import BadInput

FORMATS = (".png", ".svg", ".pdf")
LABELS = {"mode": "most votes", "halt": "highest halting logit", "oracle": "oracle (upper bound)"}


def draw(run: Mapping[str, Any], file: Path) -> None:
    """Draw every chart that ``run`` (a record's JSON form) has points for, side by side, into ``file``.

    ``BadInput`` if it has none, for another ending, without matplotlib, or if the file cannot be written.
    """
    panels = [panel for panel in (_steps, _trajectories, _calibration, _thresholds) if panel(run, None)]
    if file.suffix.lower() not in FORMATS:
        raise BadInput(f"--plot {file}: its name must end in {', '.join(FORMATS)}")
    if not panels:
        raise BadInput(
            f"run {run['id']} has nothing to draw: it is unfinished, has one step, or its answers are hidden"
        )
    try:
        # Without pyplot there is no window system to look for.
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput('drawing needs matplotlib: pip install "trm-harness[plot]"') from None
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.5 * columns, 0.4 + 4 * rows), layout="constrained")
    figure.suptitle(f"{report.model_name(run)} on {run['task']['id']}: {report.headline(run)}")
    for index, panel in enumerate(panels, start=1):
        panel(run, figure.add_subplot(rows, columns, index))
    save(figure, file)


def save(figure: Any, file: Path) -> None:
    """Write the picture under its name in one move."""
    from trm_harness.files.write import replacing

    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:].lower(), dpi=150)


def _steps(run: Mapping[str, Any], axes: Any) -> bool:
    """Accuracy against supervision steps. ``axes`` ``None``, here and below, only asks if there are points."""
    curve = run["depth_curve"]
    found = bool(curve) and len(curve["accuracy"]) > 1
    if found and axes is not None:
        axes.plot(range(1, len(curve["accuracy"]) + 1), curve["accuracy"], marker=".")
        _name(axes, f"{report.single(run)}, n = {curve['n']:,}", "supervision steps", "accuracy")
        _add_flops(axes, run["cost"].get("flops_per_step", 0.0))
    return found


def _trajectories(run: Mapping[str, Any], axes: Any) -> bool:
    curve = run.get("trajectory_curve")
    if curve and axes is not None:
        styles = {"oracle": "--", "halt": "-", "mode": "-"}
        if not report.has_halting(run):
            del styles["halt"]
        for select, style in styles.items():
            axes.plot(curve["trajectories"], curve[select], style, marker=".", label=LABELS[select])
        axes.set_xscale("log", base=2)
        axes.set_xticks(curve["trajectories"], [str(count) for count in curve["trajectories"]])
        axes.legend()
        _name(axes, f"first answer, n = {curve['n']:,}", "trajectories per view", "accuracy")
        _add_flops(axes, run["cost"]["flops_per_puzzle"] / curve["trajectories"][-1])
    return bool(curve)


def _calibration(run: Mapping[str, Any], axes: Any) -> bool:
    bins = run["halting"]["calibration"] if _steps(run, None) and run["halting"] else ()
    if bins and axes is not None:
        axes.plot([0, 1], [0, 1], ":", color="grey")
        most = max(one["n"] for one in bins)
        sizes = [20 + 200 * one["n"] / most for one in bins]
        axes.scatter([one["confidence"] for one in bins], [one["accuracy"] for one in bins], sizes)
        error = 100 * run["halting"]["calibration_error"]
        _name(axes, f"calibration error {error:.1f} %", "halting score (area: puzzles)", "accuracy")
    return bool(bins)


def _thresholds(run: Mapping[str, Any], axes: Any) -> bool:
    points = run["halting"].get("thresholds") if run["halting"] else None
    if points and axes is not None:
        axes.plot([one["mean_steps"] for one in points], [one["accuracy"] for one in points], marker=".")
        axes.axhline(run["depth_curve"]["accuracy"][-1], linestyle=":", color="grey")
        best = run["halting"]["equal_accuracy"]
        if best:
            axes.plot(best["mean_steps"], best["accuracy"], "o", label=f"no loss: halt above {best['threshold']:g}")
            axes.legend()
        _name(axes, "halting at other thresholds", "mean steps", "accuracy")
    return bool(points)


def _name(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)


def _add_flops(axes: Any, each: float) -> None:
    """A second scale above: floating point operations a puzzle."""
    if each:
        scale: tuple[Callable[[Any], Any], Callable[[Any], Any]] = (lambda x: x * each, lambda x: x / each)
        axes.secondary_xaxis("top", functions=scale).set_xlabel("FLOPs a puzzle")
