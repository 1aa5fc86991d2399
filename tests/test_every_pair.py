"""Every model on every task it says it answers, to a record that is scored again: nothing is left that only lists well.

The published sizes are many and slow on a CPU and run with the slow tests; language models need a server and have
tests of their own.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from trm_harness import registry
from trm_harness.contracts import ModelRequest, Task
from trm_harness.evaluate import evaluate, rescore
from trm_harness.inference import InferencePlan
from trm_harness.specs import ModelSpec, TaskSpec

HUB_KIN = {"sudoku-extreme": "sudoku-9x9", "maze-hard": "maze-30x30"}
"""Hub tasks, and the generated task whose puzzles stand in for theirs as files given by hand."""

SOLVES = {"oracle-sudoku": "sudoku", "oracle-maze": "maze"}


def pairs() -> list[object]:
    known = registry.default()
    marks = {model.id: [] if small(model) else [pytest.mark.slow] for model in known.models}
    return [
        pytest.param(task, model, id=f"{task.id}-{model.id}", marks=marks[model.id])
        for task in known.tasks
        for model in known.models
        if model.family != "llm" and model.answers(task)
    ]


def small(model: ModelSpec) -> bool:
    return not model.needs_weights or model.id.endswith("-nano")


def load(spec: TaskSpec, folder: Path) -> Task:
    """The task, on its own data or on files made from its generated kin."""
    names = registry.default().tasks
    if spec.id not in HUB_KIN:
        return names.resolve(spec.id)(spec, None)
    kin = HUB_KIN[spec.id]
    puzzles = names.resolve(kin)(names.spec(kin), None).puzzles("test")[:3]
    symbols = ".123456789" if spec.family == "sudoku" else "?# SGo"
    with (folder / "test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("source", "question", "answer", "rating"))
        for puzzle in puzzles:
            grids = ("".join(symbols[cell] for cell in grid.flat) for grid in (puzzle.input, puzzle.answer))
            writer.writerow(("made", *grids, 0))
    return names.resolve(spec.id)(spec, folder)


@pytest.mark.parametrize(("task_spec", "model_spec"), pairs())
def test_a_record_comes_out_and_scores_again(task_spec: TaskSpec, model_spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    task = load(task_spec, tmp_path / "data")
    model = registry.default().models.resolve(model_spec.id)(ModelRequest(model_spec, task_spec))
    size = 2 if small(model_spec) else 1
    plan = InferencePlan(split=task_spec.default_split, limit=size, steps=size)
    record = evaluate(task, model, plan, tmp_path / "run")
    assert record.status == "success"
    assert record.selection.groups == size
    assert record.headline.denominator == size
    assert {score.rule for score in record.scores} == set(task_spec.rules)
    assert rescore(tmp_path / "run", task).scores == record.scores
    if SOLVES.get(model_spec.id) == task_spec.family:
        assert record.headline.value == 1.0
