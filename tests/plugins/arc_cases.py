"""Recorded prediction streams of the reference's ARC evaluator, found by listing the folders of golden files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity_files import golden, read_json
from trm_task_arc.data import ArcProblem, Pair, parse_grid

from .arc_evaluator import QUIRKS, Evaluation, Stream, replay


@dataclass(frozen=True)
class ArcCase:
    """One folder: a stream, the tasks and identifiers it is about, and what the reference made of it."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Numbers of attempts, of votes that count, of processes, and whether rounds vote together."""
        return self.json("config")

    @cached_property
    def result(self) -> dict[str, Any]:
        """The reference's scores."""
        return self.json("result")

    @cached_property
    def identifiers(self) -> list[str]:
        """Name of each number in the stream."""
        return self.json("identifiers")

    @cached_property
    def tasks(self) -> list[ArcProblem]:
        """The tasks evaluated on; their demonstrations are not recorded."""
        found = self.json("test_puzzles")
        pairs = {
            id: [[parse_grid(pair[key], id) for key in Pair._fields] for pair in found[id]["test"]] for id in found
        }
        return [ArcProblem(id, (), tuple(Pair(*pair) for pair in test)) for id, test in pairs.items()]

    @cached_property
    def stream(self) -> Stream:
        """The recorded predictions."""
        columns = np.load(self.folder / "predictions.npz")
        return Stream(*(columns[name] for name in Stream._fields))

    @property
    def interleaved(self) -> bool:
        """Whether a blank row stands before others of its batch."""
        rows, blank = self.stream, self.stream.puzzle_identifiers == self.config["blank_identifier_id"]
        together = (np.diff(rows.batch_index) == 0) & (np.diff(rows.outer_index) == 0)
        return bool((blank[:-1] & ~blank[1:] & together).any())

    def json(self, name: str) -> Any:
        """One of the folder's JSON files."""
        return read_json(self.folder / f"{name}.json")

    def replayed(self, quirks: frozenset[str] | None = None) -> list[Evaluation]:
        """Each round evaluated by our pieces, with the reference's own faults unless others are named."""
        if quirks is None:
            quirks = QUIRKS if self.config["aggregated_voting"] else QUIRKS - {"votes-across-rounds"}
        outer = "rank" if self.config["world_size"] > 1 else "round"
        ks, attempts, blank = (self.config[key] for key in ("pass_Ks", "submission_K", "blank_identifier_id"))
        return replay(self.stream, self.identifiers, self.tasks, ks, attempts, outer, blank, quirks)


ARC_CASES = [pytest.param(ArcCase(found.values[0]), id=found.id) for found in golden("arc_eval/*")]
"""Every recorded case, as test parameters."""
