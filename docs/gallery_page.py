"""The gallery: every task of the harness with a picture of one of its puzzles. ``docs/build.py`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import svg

from trm_harness.registry import Registry, default
from trm_harness.solvers.sudoku import box_shape

if TYPE_CHECKING:
    from trm_harness.specs import TaskSpec
    from trm_harness.types import Grid, Puzzle

DOCS = Path(__file__).parent
PAGE = DOCS / "gallery.md"
PICTURES = DOCS / "img" / "gallery"

KIN: Mapping[str, tuple[str, str]] = {
    "maze-hard": ("maze-30x30", "test"),
    "sudoku-extreme": ("sudoku-9x9", "hard"),
}
"""Task whose puzzles come from the hub -> task and split of the generated kin that is drawn in its place."""

HEAD = """# Gallery of tasks

*Written from the tasks themselves by `python docs/build.py`.*

Every picture shows the question on the left and its answer on the right. `trm-harness tasks sample TASK` prints others
in a terminal, `trm-harness tasks show TASK` where a task's puzzles come from and the hash of each split.

"""


def pages() -> dict[Path, str]:
    """The page and its pictures."""
    registry = default()
    specs = [spec for spec in registry.tasks if registry.tasks.owner(spec.id).in_tree]
    drawn = {spec.id: _drawn_from(spec) for spec in specs}
    pictures = {PICTURES / f"{spec.id}.svg": _picture(registry, *drawn[spec.id]) for spec in specs}
    return {PAGE: HEAD + "\n".join(_section(spec, *drawn[spec.id]) for spec in specs), **pictures}


def _drawn_from(spec: TaskSpec) -> tuple[str, str]:
    """Task and split whose puzzle stands for ``spec``: its own unless it needs a download."""
    if "repository" not in spec.options:
        return spec.id, spec.default_split
    if spec.id not in KIN:
        raise SystemExit(f"task {spec.id} needs a download: name a generated kin for it in KIN of {__file__}")
    return KIN[spec.id]


def _section(spec: TaskSpec, task: str, split: str) -> str:
    kin = (
        ""
        if task == spec.id
        else (
            f"\n*The picture is not one of its puzzles, which are downloaded (`trm-harness tasks pull {spec.id}`): "
            f"it shows `{task}`, split `{split}`, whose puzzles have the same form and are generated here.*\n"
        )
    )
    facts = {
        "splits": ", ".join(f"`{name}`" for name in spec.splits) + f"; `{spec.default_split}` unless asked",
        "score": f"`{spec.headline}` by rule `{spec.rules[0]}`, {_count(spec.attempts, 'attempt')}",
        "encoding": f"{spec.seq_len} cells, vocabulary of {spec.vocab_size}",
        "version": spec.version,
    }
    table = "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    image = f"![A puzzle of {task} and its answer](img/gallery/{spec.id}.svg)"
    head = f"## {spec.title}\n\n`{spec.id}`. {' '.join(spec.description.split()).removesuffix('.')}.\n\n{image}\n{kin}"
    return f"{head}\n| fact | value |\n|---|---|\n{table}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"


def _picture(registry: Registry, task: str, split: str) -> str:
    spec = registry.tasks.spec(task)
    puzzle = _chosen(registry.task(task).puzzles(split))
    return svg.sheet(_drawing(spec, puzzle), f"{task}, puzzle {puzzle.id}")


def _chosen(puzzles: Any) -> Puzzle:
    """The first puzzle whose grids are small enough to be looked at side by side; the first of all if none is."""
    few = [puzzles[place] for place in range(min(100, len(puzzles)))]
    fits = (p for p in few if p.demonstrations and max(len(g) for pair in p.demonstrations for g in pair) <= 10)
    return next(fits, few[0])


def _drawing(spec: TaskSpec, puzzle: Puzzle) -> svg.Drawing:
    if puzzle.demonstrations:
        shown = [_pair(spec, *pair) for pair in puzzle.demonstrations[:2]]
        parts = [svg.text("demonstrations", colour=svg.FAINT), svg.row(shown, 40), svg.text("puzzle", colour=svg.FAINT)]
        return svg.column([*parts, _pair(spec, puzzle.input, puzzle.answer)])
    return _pair(spec, puzzle.input, puzzle.answer)


def _pair(spec: TaskSpec, question: Grid, answer: Grid) -> svg.Drawing:
    return svg.row([_grid(spec, question, question), svg.arrow(), _grid(spec, answer, question)])


def _grid(spec: TaskSpec, grid: Grid, question: Grid) -> svg.Drawing:
    if spec.family == "sudoku":
        return svg.digits(grid, 26, box_shape(len(grid)), given=question > 0)
    if spec.family == "maze":
        return svg.coloured(grid, max(7, 140 // len(grid)), svg.MAZE)
    return svg.coloured(grid, 14)
