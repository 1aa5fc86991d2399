"""ARC tasks and puzzles for tests."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trm_harness.types import Puzzle
from trm_task_arc import TASKS
from trm_task_arc import data as arc_data
from trm_task_arc.data import ArcProblem
from trm_task_arc.task import ArcTask

ROOT = Path(__file__).resolve().parents[2]
CONCEPT = ROOT.parent / "shared" / "data" / "concept-arc"


def sha256(content: Any) -> str:
    """Of bytes, or of a value's ``json.dumps``."""
    return hashlib.sha256(content if isinstance(content, bytes) else json.dumps(content).encode()).hexdigest()


@cache
def arc1_tasks() -> dict[str, ArcProblem]:
    return {task.id: task for split in arc_data.SPLITS for task in arc_data.bundled("arcagi", split).tasks}


@cache
def arc_task(name: str = "arc1") -> ArcTask:
    return ArcTask(next(spec for spec in TASKS if spec.id == name))


def puzzle(task: str, index: int = 0) -> Puzzle:
    return arc_data.puzzles_of([arc1_tasks()[task]])[index]


def made_puzzle(question: tuple[int, int], demonstrations: list[tuple[tuple[int, int], tuple[int, int]]]) -> Puzzle:
    """A puzzle of black grids with these sizes."""
    black = {size: np.zeros(size, np.uint8) for pair in [(question, question), *demonstrations] for size in pair}
    return Puzzle("made_0", "made", black[question], None, tuple((black[q], black[a]) for q, a in demonstrations))
