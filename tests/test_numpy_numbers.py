"""Whole numbers of numpy are whole numbers: in plans, settings, configurations, usage, facts and records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import trm_harness
from tests.evaluating import LatinTask, Propagator
from trm_harness.evaluate import Setting, evaluate, rescore, resume
from trm_harness.inference import InferencePlan
from trm_harness.loading import Choices
from trm_harness.nn.own import OwnConfig
from trm_harness.record import read
from trm_harness.registry import default
from trm_harness.train.recipe import recipe_from_mapping
from trm_harness.types import DataSource, ModelFacts, Parameters, Puzzle, plain
from trm_model_trm.network import TRMConfig


class Counting(LatinTask):
    """Hands out numpy's numbers wherever a task states one."""

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        return [
            replace(puzzle, facts={"blanks": np.count_nonzero(puzzle.input == 0) + np.int64(0)})
            for puzzle in super().puzzles(split)
        ]

    def source(self, split: str) -> DataSource:
        source = super().source(split)
        return replace(source, n_groups=np.int64(source.n_groups), n_puzzles=np.int32(source.n_puzzles))


class Metering(Propagator):
    """Hands out numpy's numbers wherever a model states one."""

    def __post_init__(self) -> None:
        self.steps = np.int64(3)

    def facts(self) -> ModelFacts:
        sizes = Parameters(np.int64(5), np.int64(0), np.int64(0))
        return ModelFacts(sizes, np.int64(7), config={"width": np.int64(64), "rate": np.float32(0.5), "on": np.True_})

    def usage(self) -> Mapping[str, float]:
        return {"calls": np.int64(11)}


def test_a_run_of_numpys_numbers_is_a_run(tmp_path: Path) -> None:
    plan = InferencePlan("test", limit=np.int64(4), seed=np.int64(3), augment=np.int64(2), batch_size=np.int32(2))
    task, model = Counting(), Metering()
    record = evaluate(task, model, plan, tmp_path / "run", Setting(launch={"threads": np.int64(2)}))
    plain_plan = InferencePlan("test", limit=4, seed=3, augment=2, batch_size=2)
    other = evaluate(LatinTask(), Propagator(), replace(plain_plan, steps=3), tmp_path / "other", Setting())
    assert record.headline == other.headline
    assert record.model.config == {"width": 64, "rate": 0.5, "on": True}
    assert record.model.effective_depth == 7
    assert record.cost.usage == {"calls": 0}
    assert {entry.fact for entry in record.difficulty} == {"blanks"}
    assert read(tmp_path / "run") == record
    assert rescore(tmp_path / "run", task).scores == record.scores
    stored = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (stored["plan"]["limit"], stored["plan"]["seed"], stored["launch"]) == (4, 3, {"threads": 2})
    # A resumed run finds the same plan.
    lines = (tmp_path / "run" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "run" / "journal.jsonl").write_bytes(b"".join(lines[:3]))
    assert resume(tmp_path / "run", task, model).headline == record.headline


def test_choices_and_configurations() -> None:
    choices = Choices.of("sudoku-4x4", "trm-nano", limit=np.int64(2), settings={"heads": np.int64(4)})
    assert type(choices.settings["heads"]) is int
    assert type(choices.plan.limit) is int
    config = {**default().models.spec("trm-nano").config, "vocab_size": 6, "seq_len": 16}
    small = {name: np.int64(value) if isinstance(value, int) else value for name, value in config.items()}
    assert TRMConfig.from_mapping(small) == TRMConfig.from_mapping(config)
    assert OwnConfig.from_mapping({"width": np.int64(3)}).as_dict() == {"width": 3}
    stage = {"steps": np.int64(5), "lr": np.float64(0.1), "lr_end": np.float64(0.0)}
    recipe = recipe_from_mapping({"stage": [stage], "batch_size": np.int64(8)}, "here")
    assert type(recipe.batch_size) is type(recipe.stages[0].steps) is int
    json.dumps(recipe.as_dict())


def test_an_evaluation_from_python(tmp_path: Path) -> None:
    record = trm_harness.evaluate("sudoku-4x4", "random", limit=np.int64(3), seed=np.int64(1), out=tmp_path / "run")
    assert record.selection.puzzles == 3
    assert record.protocol.seed == 1


def test_an_arc_canvas_of_numpys_size() -> None:
    task = trm_harness.load_task("arc1")
    puzzle = min(task.puzzles("evaluation"), key=lambda one: one.input.size).without_answer()
    assert task.encode(puzzle, "", {"canvas": np.int64(20)}).layout == task.encode(puzzle, "", {"canvas": 20}).layout


def test_language_model_settings() -> None:
    from trm_model_llm.settings import Settings

    made = Settings.of({"model": "m", "base_url": "http://here/v1", "concurrency": np.int64(4), "timeout": np.int64(9)})
    assert (made.concurrency, made.timeout) == (4, 9)


def test_plain_leaves_everything_else() -> None:
    given: dict[str, Any] = {"a": [np.int64(1), (np.float64(2.5), np.bool_(False))], "b": "x", "c": None}
    assert plain(given) == {"a": [1, (2.5, False)], "b": "x", "c": None}
    assert type(plain(given)["a"][0]) is int
