"""The Python calls do what the command line does, in one line each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trm_harness
from tests.test_cli_eval import Call, call
from trm_harness.api import Answer, LoadedModel, as_grid
from trm_harness.errors import BadInput, UnknownName
from trm_harness.record import read

__all__ = ["call"]

BOARD = "1... / ..3. / .2.. / ...4"


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return trm_harness.load_model("trm-nano.sudoku-4x4")


def test_a_board_is_answered_and_shows_itself(nano: LoadedModel) -> None:
    answer = nano.predict(BOARD)
    grid = np.asarray(answer)
    assert grid.shape == (4, 4)
    assert all(set(line) == {1, 2, 3, 4} for line in (*grid.tolist(), *grid.T.tolist()))
    assert (grid[0, 0], grid[1, 2], grid[2, 1], grid[3, 3]) == (1, 3, 2, 4)
    assert str(answer) == "\n".join("".join(map(str, row)) for row in grid.tolist())
    assert "settled at" in repr(answer)
    assert answer.correct is None
    assert len(answer.grids) == len(answer.halts) == nano.model.steps == 8
    html = answer._repr_html_()
    assert html.count("<table") == 2
    assert html.count("<td") == 32
    assert html.count("font-weight:bold") == 8
    assert len(nano.predict(BOARD, steps=3).grids) == 3
    assert repr(nano).startswith("<trm-nano.sudoku-4x4 for sudoku-4x4: 125,314 parameters")


def test_a_puzzle_of_the_task_is_judged(nano: LoadedModel) -> None:
    puzzle = trm_harness.load_task("sudoku-4x4").puzzles("test")[0]
    answer = nano.predict(puzzle)
    assert answer.correct is True
    assert "right" in repr(answer)
    wrong = Answer(puzzle, (puzzle.input,), (0.0,))
    assert wrong.correct is False
    assert wrong.settled == 1


def test_noise_is_a_matter_of_the_seed(nano: LoadedModel) -> None:
    halts = [nano.predict(BOARD, noise=1.0, seed=seed).halts for seed in (1, 1, 2)]
    assert halts[0] == halts[1] != halts[2]


@pytest.mark.parametrize(
    "value", ["12 34 / 3.", "ab", "", [[1, 2], [3]], [1, 2], [[1.5, 2]], [[-1, 2]], [[300, 1]], [["a"]], [[[1]]]]
)
def test_what_is_no_grid_is_one_line(value: object) -> None:
    with pytest.raises(BadInput) as caught:
        as_grid(value)
    assert "\n" not in str(caught.value)


def test_grids_come_in_many_forms() -> None:
    want = np.array([[1, 0], [0, 2]], dtype=np.uint8)
    for value in ("1. / .2", "10\n02", "1 _\n_ 2", [[1, 0], [0, 2]], want, np.array([[1, 0], [0, 2]], dtype=np.int64)):
        got = as_grid(value)
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint8


def test_a_board_of_another_size_is_refused(nano: LoadedModel) -> None:
    with pytest.raises(BadInput):
        nano.predict(np.zeros((9, 9), dtype=int))


def test_evaluate_leaves_the_record_that_the_command_leaves(call: Call, nano: LoadedModel) -> None:
    record = trm_harness.evaluate("sudoku-4x4", nano, limit=12, out="mine")
    assert call("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "12", "--out", "theirs").code == 0
    theirs = read(Path("theirs"))
    assert read(Path("mine")).headline == record.headline == theirs.headline
    assert record.model == theirs.model
    assert record.contamination == theirs.contamination
    assert Path("mine/journal.jsonl").read_bytes() == Path("theirs/journal.jsonl").read_bytes()
    again = nano.evaluate(puzzles="test-000000,test-000001", out="two")
    assert again.selection.groups == 2
    assert json.loads(Path("two/plan.json").read_text())["launch"]["card"] == "trm-nano.sudoku-4x4"
    trm_harness.evaluate("sudoku-4x4", "random", limit=2)
    assert len(list(Path("runs").iterdir())) == 1


def test_train_is_a_line_too(call: Call) -> None:
    from trm_harness.train.recipe import recipe_from_mapping

    recipe = recipe_from_mapping(
        {
            "batch_size": 4,
            "dtype": "float32",
            "model": {"hidden_size": 16, "heads": 2, "supervision_steps": 2},
            "stage": [{"steps": 2, "lr": 1e-3, "lr_end": 1e-3}],
        },
        "test",
    )
    done = trm_harness.train("sudoku-4x4", "trm-nano", recipe, out="out")
    assert done["result"]["steps"] == 2
    model = trm_harness.load_model("trm-nano", task="sudoku-4x4", weights="out/weights.safetensors")
    assert model.facts.config["hidden_size"] == 16
    assert model.predict(BOARD).grid.shape == (4, 4)


def test_names_that_do_not_exist_or_do_not_go_together() -> None:
    for wrong, error in (
        (lambda: trm_harness.load_model("trm-nano.sudoku-4y4"), UnknownName),
        (lambda: trm_harness.load_model("trm-nano"), BadInput),
        (lambda: trm_harness.load_model("trm-nano.sudoku-4x4", colour="red"), BadInput),
        (lambda: trm_harness.load_task("sudoku"), UnknownName),
        (lambda: trm_harness.evaluate("arc1", "trm-nano.sudoku-4x4", limit=1), BadInput),
    ):
        with pytest.raises(error):
            wrong()


def test_a_puzzle_that_the_weights_never_met_can_be_learnt_first() -> None:
    pairs = [("1.\n..", "11\n11"), ("2.\n..", "22\n22"), ("..\n.3", "33\n33")]
    model = trm_harness.load_model("trm-7m.arc1-cpu").adapted(steps=1)
    answer = model.predict("4.\n..", pairs, steps=1)
    (learnt,) = model.model._known.values()
    assert len(learnt.losses) == 1
    assert answer.coloured
    assert "background:#ffdc00" in answer._repr_html_()
    other = [("1.\n..", "1.\n.."), *pairs[1:]]
    model.predict("4.\n..", other, steps=1)
    assert len(model.model._known) == 2


@pytest.mark.parametrize("first", ["", "import trm_harness.evaluate, trm_harness.train; ", "trm_harness.load_task; "])
def test_the_packages_take_calls_whatever_was_imported_first(first: str) -> None:
    code = (
        f"import trm_harness; {first}import trm_harness.evaluate.plan; from trm_harness.evaluate import evaluate;"
        "import sys; assert callable(trm_harness.evaluate) and callable(trm_harness.train);"
        "assert trm_harness.evaluate.__name__ == 'trm_harness.evaluate' and evaluate.__module__.endswith('run')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_importing_the_root_stays_light() -> None:
    code = (
        "import sys, trm_harness; dir(trm_harness);"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules); trm_harness.load_task"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
