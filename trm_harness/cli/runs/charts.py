"""A record's curves as text: bars that read without colour. Works on the JSON form and imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from trm_harness.cli import report
from trm_harness.cli.options import table

BAR, HALF, NARROW = 30, 15, 8
EIGHTHS = " ▏▎▍▌▋▊▉"


def text(run: Mapping[str, Any]) -> str:
    """Every chart that the run has points for, empty lines between; empty if it has none."""
    blocks = (steps(run), difficulty(run), trajectories(run), calibration(run), thresholds(run))
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block)


def steps(run: Mapping[str, Any]) -> Iterator[str]:
    """Accuracy after each supervision step."""
    curve = run["depth_curve"]
    if not curve or len(curve["accuracy"]) < 2:
        return
    yield f"accuracy against supervision steps ({report.single(run)}, {curve['n']:,} puzzles)"
    cost = run["cost"].get("flops_per_step", 0.0)
    places = _thinned(len(curve["accuracy"]))
    rows = [(index + 1, bar(curve["accuracy"][index]), _flops(cost * (index + 1))) for index in places]
    yield table(rows, ("STEPS", "RIGHT", "FLOPS A PUZZLE"))


def difficulty(run: Mapping[str, Any]) -> Iterator[str]:
    """Accuracy in bands of what the task knows of its puzzles."""
    bands = run.get("difficulty", ())
    if not bands:
        return
    yield f"accuracy by difficulty ({report.single(run)})"
    rows = [(one["fact"], f"{one['low']:g}-{one['high']:g}", one["n"], bar(one["accuracy"])) for one in bands]
    yield table(rows, ("FACT", "BAND", "PUZZLES", "RIGHT"))


def trajectories(run: Mapping[str, Any]) -> Iterator[str]:
    """Accuracy against trajectories, one bar for each way of choosing."""
    curve = run.get("trajectory_curve")
    if not curve:
        return
    many = "samples" if report.is_service(run) else "trajectories"
    yield f"accuracy against {many} (first answer, {curve['n']:,} puzzles; mean over blocks of so many)"
    whole, cost = curve["trajectories"][-1], run["cost"]["flops_per_puzzle"]
    columns = {"mode": "MODE", "halt": "HALT", "oracle": "UPPER BOUND"}
    if not report.has_halting(run):
        del columns["halt"]
    rows = [
        (count, *(bar(curve[select][index], NARROW) for select in columns), _flops(cost * count / whole))
        for index, count in enumerate(curve["trajectories"])
    ]
    yield table(rows, (many.upper(), *columns.values(), "FLOPS A PUZZLE"))


def calibration(run: Mapping[str, Any]) -> Iterator[str]:
    """Halting score against accuracy: where the head is honest, the two bars are equally long."""
    halting = run["halting"]
    bins = halting["calibration"] if halting else ()
    # Without bins no answer is known, and there is no depth curve either.
    if not bins or len(run["depth_curve"]["accuracy"]) < 2:
        return
    yield f"halting score against accuracy (expected calibration error {100 * halting['calibration_error']:.1f} %)"
    rows = [
        (f"{one['low']:.1f}-{one['high']:.1f}", one["n"], bar(one["confidence"], HALF), bar(one["accuracy"], HALF))
        for one in bins
    ]
    yield table(rows, ("BIN", "PUZZLES", "HALTING SCORE", "RIGHT"))


def thresholds(run: Mapping[str, Any]) -> Iterator[str]:
    """Steps and accuracy at other halting thresholds."""
    halting = run["halting"]
    points = halting.get("thresholds", ()) if halting else ()
    if not points:
        return
    yield "had it halted at the first step whose halting score is above a threshold"
    best = halting["equal_accuracy"]
    full = run["depth_curve"]["accuracy"][-1]
    rows = [
        (f"{one['threshold']:g}{' *' if one == best else ''}", f"{one['mean_steps']:.2f}", bar(one["accuracy"]))
        for one in points
    ]
    yield table([*rows, ("never", f"{run['protocol']['steps']:.2f}", bar(full))], ("ABOVE", "MEAN STEPS", "RIGHT"))
    if best:
        yield "* fewest steps whose accuracy is not below full depth, found on these very puzzles"


def bar(share: float, width: int = BAR) -> str:
    """A bar of at most ``width`` characters with its percentage behind; an eighth of a character is its finest step."""
    eighths = round(share * width * 8)
    drawn = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    if not _drawable():
        drawn = "#" * round(share * width)
    return f"{drawn.ljust(width)} {100 * share:5.1f} %"


def _drawable() -> bool:
    """Whether standard output can spell the blocks."""
    try:
        EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _flops(work: float) -> str:
    return f"{work:.3g}" if work else "not stated"


def _thinned(count: int, most: int = 20) -> list[int]:
    """Places of at most ``most`` of ``count`` points, evenly spread, the first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})
