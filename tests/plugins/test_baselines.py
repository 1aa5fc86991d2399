"""Baselines on real puzzles, alone and through the evaluator."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from trm_harness import registry
from trm_harness.contracts import Model, ModelRequest, Task
from trm_harness.errors import BadInput
from trm_harness.evaluate import evaluate, rescore
from trm_harness.inference import InferencePlan
from trm_harness.solvers.sudoku import is_solution
from trm_harness.specs import TaskSpec
from trm_harness.types import Batch, Grid, ModelFacts, Puzzle
from trm_model_baselines import BASELINES

from .sudoku_tasks import task

COLOURS = TaskSpec("colours", 1, "nowhere:at_all", "Colours", "A task that is no Sudoku.", 12, 900, family="arc")


def model(name: str, spec: TaskSpec, **more: object) -> Model:
    declared = registry.default().models.spec(name)
    return registry.default().models.resolve(name)(ModelRequest(declared, spec, **more))


def batch(subject: Task, puzzles: list[Puzzle], seed: int = 0) -> Batch:
    encoded = [subject.encode(puzzle, "", {}) for puzzle in puzzles]
    tokens = np.stack([one.tokens for one in encoded])
    positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
    seeds = np.arange(len(puzzles), dtype=np.uint64) + np.uint64(seed * 1000)
    return Batch(tuple(p.without_answer() for p in puzzles), tokens, positions, ("",) * len(puzzles), seeds)


def answers(subject: Model, asked: Batch) -> tuple[Grid | None, ...]:
    _, prediction = subject.step(subject.begin(asked))
    assert prediction.tokens is None
    assert prediction.halt.dtype == np.float32
    assert prediction.halt.shape == (asked.size,)
    return prediction.answers


def exact(subject: Task, puzzles: list[Puzzle], given: tuple[Grid | None, ...]) -> list[float]:
    return [subject.measures(puzzle, answer)["exact"] for puzzle, answer in zip(puzzles, given, strict=True)]


@pytest.mark.parametrize("spec", BASELINES, ids=lambda spec: spec.id)
def test_registered_weightless_and_in_one_step(spec: object) -> None:
    suited = next(known for known in registry.default().tasks if fnmatchcase(known.id, spec.tasks[0]))
    made = model(spec.id, suited)
    assert isinstance(made, Model)
    assert made.facts() == ModelFacts()
    assert made.facts().parameters.network == 0
    assert made.steps == 1
    assert made.cost(81).flops_per_step == 0
    with pytest.raises(BadInput, match="no weights"):
        model(spec.id, suited, weights=Path("some.safetensors"))


@pytest.mark.parametrize(("size", "count"), [(4, 500), (6, 200), (9, 60)])
def test_the_oracle_solves_everything_from_the_clues_alone(size: int, count: int) -> None:
    subject, puzzles = task(size), list(task(size).puzzles("test")[:count])
    given = answers(model("oracle-sudoku", subject.spec), batch(subject, puzzles))
    assert exact(subject, puzzles, given) == [1.0] * count
    damaged = [answer.copy() for answer in given]
    for puzzle, answer in zip(puzzles, damaged, strict=True):
        row, column = np.argwhere(puzzle.input == 0)[-1]
        answer[row, column] = answer[row, column] % size + 1
    assert exact(subject, puzzles, tuple(damaged)) == [0.0] * count


def test_the_oracle_gives_no_answer_where_there_is_none() -> None:
    impossible = np.zeros((4, 4), np.uint8)
    impossible[0, :2] = 3
    assert answers(model("oracle-sudoku", task(4).spec), batch(task(4), [Puzzle("x", "x", impossible)])) == (None,)


def test_the_oracle_refuses_other_tasks() -> None:
    with pytest.raises(BadInput, match="Sudokus only"):
        model("oracle-sudoku", COLOURS)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_random_keeps_clues_and_answers_by_the_seed_alone(size: int) -> None:
    subject, puzzles = task(size), list(task(size).puzzles("test")[:30])
    guesser = model("random", subject.spec)
    asked = batch(subject, puzzles)
    given = answers(guesser, asked)
    for puzzle, answer in zip(puzzles, given, strict=True):
        clues = puzzle.input > 0
        assert np.array_equal(answer[clues], puzzle.input[clues])
        assert answer.min() >= 1
        assert answer.max() <= size
        assert answer.dtype == np.uint8
    # Alone, in another order and in a smaller batch a puzzle gets the same answer; another seed gives another one.
    kept = answers(guesser, guesser.select(asked, [7, 3]))
    assert np.array_equal(kept[0], given[7])
    assert np.array_equal(kept[1], given[3])
    assert not np.array_equal(answers(guesser, batch(subject, puzzles, seed=1))[7], given[7])
    blank = [subject.measures(puzzle, answer)["blank"] for puzzle, answer in zip(puzzles, given, strict=True)]
    assert abs(np.mean(blank) - 1 / size) < 0.12


def test_random_elsewhere_takes_shape_and_symbols_of_the_input() -> None:
    question = np.array([[0, 3, 3], [7, 0, 0]], np.uint8)
    puzzle = Puzzle("x", "x", question)
    asked = Batch((puzzle,) * 40, *(np.zeros((40, 6), np.int32),) * 2, ("",) * 40, np.arange(40, dtype=np.uint64))
    given = answers(model("random", COLOURS), asked)
    assert {answer.shape for answer in given} == {(2, 3)}
    assert {answer.dtype for answer in given} == {np.dtype(np.uint8)}
    assert {int(cell) for answer in given for cell in answer.ravel()} == {0, 3, 7}


def test_copying_scores_the_clues() -> None:
    subject, puzzles = task(9), list(task(9).puzzles("test")[:5])
    for puzzle, answer in zip(
        puzzles, answers(model("copy-input", subject.spec), batch(subject, puzzles)), strict=True
    ):
        assert np.array_equal(answer, puzzle.input)
        measured = subject.measures(puzzle, answer)
        assert (measured["exact"], measured["blank"]) == (0.0, 0.0)
        assert measured["cell"] == pytest.approx(puzzle.facts["givens"] / 81)


@pytest.mark.parametrize(
    ("name", "size", "value"), [("oracle-sudoku", 4, 1.0), ("oracle-sudoku", 9, 1.0), ("copy-input", 6, 0.0)]
)
def test_through_the_evaluator(tmp_path: Path, name: str, size: int, value: float) -> None:
    subject = task(size)
    record = evaluate(subject, model(name, subject.spec), InferencePlan("test", limit=20, augment=3), tmp_path / "run")
    assert record.status == "success"
    assert record.headline.value == value
    assert record.headline.denominator == 20
    assert record.model.network_parameters == 0
    assert rescore(tmp_path / "run", subject).headline == record.headline


def test_random_through_the_evaluator_is_nearly_always_wrong(tmp_path: Path) -> None:
    subject = task(4)
    plan = InferencePlan("test", limit=60, seed=2)
    first, second = (
        evaluate(subject, model("random", subject.spec), plan, tmp_path / folder) for folder in ("one", "two")
    )
    assert first.headline == second.headline
    assert first.headline.value < 0.1
    assert 0.0 < _mean(first, "cell") < 1.0
    for row, again in zip(*((tmp_path / f / "journal.jsonl").open() for f in ("one", "two")), strict=True):
        assert row == again


def _mean(record: object, name: str) -> float:
    return next(entry.value for entry in record.measures if entry.name == name)


def test_oracle_answers_are_solutions_through_every_view(tmp_path: Path) -> None:
    subject, solver = task(6), model("oracle-sudoku", task(6).spec)
    puzzle = subject.puzzles("test")[0]
    for name in subject.transforms(puzzle, 10, 0):
        seen = subject.transform(puzzle, name)
        (answer,) = answers(solver, batch(subject, [seen]))
        assert is_solution(answer)
        assert np.array_equal(subject.invert(answer, name), puzzle.answer)
