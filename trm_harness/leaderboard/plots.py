"""Charts of a board as pictures, with matplotlib: scores with intervals, and score against parameters and cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_harness.errors import BadInput
from trm_harness.files.write import replacing
from trm_harness.leaderboard.rows import OURS
from trm_harness.leaderboard.views import parameters_number

if TYPE_CHECKING:
    from trm_harness.leaderboard.board import Board, Line

COLOURS = {"recursive": "#d4450c", "llm": "#3564b0", "direct": "#7d4fb3", "solver": "#23803f", "trivial": "#71777f"}
OTHER = "#9a7300"
MOST = 25


def draw(board: Board, column: str, file: Path) -> None:
    """Write the charts of one column into a PNG; ``BadInput`` without matplotlib or where it cannot be written."""
    try:
        # Without pyplot there is no window system to look for.
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput('drawing needs matplotlib: pip install "trm-harness[plot]"') from None
    ranked = [line for line in board.lines if column in line.ranks]
    sized = [(value, line) for line in ranked if (value := parameters_number(line.row))]
    priced = [(value, line) for line in ranked if (value := line.row.results[column].cost_usd)]
    panels = [(sized, "network parameters"), *([(priced, "$ per puzzle")] if priced else [])]
    figure = Figure(figsize=(6 + 5 * len(panels), 6.5), layout="constrained")
    figure.suptitle(f"{board.task}, {column}: {board.metric} in percent")
    axes = figure.subplots(1, 1 + len(panels), width_ratios=[1.25, *[1] * len(panels)])
    _scores(axes[0], ranked, column)
    for place, (points, label) in zip(axes[1:], panels, strict=True):
        _scatter(place, points, label, column)
    _save(figure, file)


def _scores(axes: Any, ranked: list[Line], column: str) -> None:
    """Best scores, ours always among them, each with its interval."""
    top = [line for line in ranked if line.row.level == OURS or line in ranked[:MOST]][::-1]
    for place, line in enumerate(top):
        result, colour = line.row.results[column], _colour(line)
        if result.low is not None:
            axes.plot([result.low, result.high], [place, place], color=colour, alpha=0.35, linewidth=5)
        axes.plot(result.percent, place, "o", color=colour, markeredgecolor=_edge(line))
    # A name may hold dollar signs, which are no mathematics here.
    axes.set_yticks(range(len(top)), [line.row.system[:36].replace("$", r"\$") for line in top], fontsize=8)
    axes.set(xlim=(0, 100), xlabel="percent")
    axes.grid(alpha=0.3, axis="x")


def _scatter(axes: Any, points: list[tuple[float, Line]], label: str, column: str) -> None:
    for value, line in points:
        axes.plot(value, line.row.results[column].percent, "o", color=_colour(line), markeredgecolor=_edge(line))
    best, front = -1.0, []
    for value, line in sorted(points, key=lambda pair: (pair[0], -pair[1].row.results[column].percent)):
        score = line.row.results[column].percent
        if score > best:
            best = score
            front.append((value, score))
    if front:
        axes.step(*zip(*front, strict=True), where="post", color="grey", linestyle="--", linewidth=1)
        axes.set_xscale("log")
    axes.set(ylim=(0, 100), xlabel=f"{label} (log scale; dashed: Pareto front)")
    axes.grid(alpha=0.3)


def _colour(line: Line) -> str:
    return COLOURS.get(line.row.family, OTHER)


def _edge(line: Line) -> str:
    return "black" if line.row.level == OURS else "none"


def _save(figure: Any, file: Path) -> None:
    """Write the picture under its name in one move, without the date and version that would change its bytes."""
    with replacing(file, parents=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
