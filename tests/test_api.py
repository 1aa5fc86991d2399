"""The Python calls do what the command line does, in one line each."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import trm_harness
from tests.evaluating import TASK as LATIN
from tests.evaluating import LatinTask, Propagator
from tests.hub_server import serving
from tests.test_cli_eval import Call, call
from trm_harness import TaskSpec, registry
from trm_harness.api import Answer, LoadedModel, as_grid
from trm_harness.cli.eval import command as evaluate_command
from trm_harness.errors import BadInput, UnknownName
from trm_harness.files.paths import zoo
from trm_harness.record import RunRecord, read

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


def test_a_board_of_several_solutions_or_none_is_flagged(nano: LoadedModel, recwarn: pytest.WarningsRecorder) -> None:
    nano.predict("12.. / .... / .... / ..3.")
    nano.predict(["12.. / .... / .... / ..3.", "1... / ..3. / .2.. / 4..4", "1234 / 3412 / 2143 / 432."])
    several, none = "it has several solutions, of which a model can give one", "it has no solution"
    assert [str(warning.message) for warning in recwarn] == [
        f"the puzzle: {several}", f"puzzle 1 of 3: {several}", f"puzzle 2 of 3: {none}"
    ]  # fmt: skip
    recwarn.clear()
    nano.predict(trm_harness.load_task("sudoku-4x4").puzzles("test")[0].without_answer())
    assert not recwarn.list


def test_a_puzzle_of_the_task_is_judged(nano: LoadedModel) -> None:
    puzzle = trm_harness.load_task("sudoku-4x4").puzzles("test")[0]
    answer = nano.predict(puzzle)
    assert answer.correct is True
    assert "right" in repr(answer)
    wrong = Answer(puzzle, (puzzle.input,), (0.0,))
    assert wrong.correct is False
    assert wrong.settled == 1


def test_noise_is_a_matter_of_the_seed() -> None:
    # In bfloat16, the format where a processor has it, halting logits of this size round to the same few values.
    nano = trm_harness.load_model("trm-nano.sudoku-4x4", dtype="float32")
    halts = [nano.predict(BOARD, noise=1.0, seed=seed).halts for seed in (1, 1, 2)]
    assert halts[0] == halts[1] != halts[2]


@pytest.mark.parametrize(
    "value", ["12 34 / 3.", "ab", "", [[1, 2], [3]], [1, 2], [[1.5, 2]], [[-1, 2]], [[300, 1]], [["a"]], [[[1]]]]
)
def test_what_is_no_grid_is_one_line(value: object) -> None:
    with pytest.raises(BadInput) as caught:
        as_grid(value)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_no_array_yet_says_what_to_call(nano: LoadedModel) -> None:
    with pytest.raises(BadInput, match=r"cannot be read as an array: .*detach\(\)"):
        nano.predict(torch.zeros(4, 4, requires_grad=True))


def test_a_symbol_that_the_weights_do_not_know_is_named(nano: LoadedModel) -> None:
    with pytest.raises(BadInput, match=r"has a symbol that the weights do not know \(token 8, they know 0 to 5\)"):
        nano.predict("7... / ..3. / .2.. / ...4")


def test_grids_come_in_many_forms() -> None:
    want = np.array([[1, 0], [0, 2]], dtype=np.uint8)
    for value in ("1. / .2", "10\n02", "1 _\n_ 2", [[1, 0], [0, 2]], want, np.array([[1, 0], [0, 2]], dtype=np.int64)):
        got = as_grid(value)
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint8


def test_a_board_is_read_in_every_notation(nano: LoadedModel) -> None:
    rows = ["1...", "..3.", ".2..", "...4"]
    want = np.asarray(nano.predict(rows))
    line = "".join(rows)
    boxed = "+----+----+\n|1.|..|\n|..|3.|\n|--+--|\n|.2|..|\n|..|.4|"
    forms = [
        line,
        line.replace(".", "0"),
        line.replace(".", "*"),
        line.replace(".", "_"),
        boxed,
        boxed.replace("-", "="),
    ]
    forms += ["\n".join(",".join(row) for row in rows), "\n\n".join(rows), "1 . . .\n. . 3 .\n\n. 2 . .\n. . . 4\n"]
    for text in forms:
        np.testing.assert_array_equal(np.asarray(nano.predict(text)), want)
    with pytest.raises(BadInput):
        nano.predict(line[:-1])


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
        (lambda: trm_harness.load_model("trm-nano.sudoku-4x4", colour="red"), TypeError),
        (lambda: trm_harness.load_model("trm-nano.sudoku-4x4", seed=1.5), BadInput),
        (lambda: trm_harness.evaluate("sudoku-4x4", "random", limit=True), BadInput),
        (lambda: trm_harness.evaluate(4, "random"), BadInput),
        (lambda: trm_harness.evaluate("sudoku-4x4", "random", limit=2, processes=0), BadInput),
        (lambda: trm_harness.train("sudoku-4x4", "oracle-sudoku"), BadInput),
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


@pytest.mark.parametrize(
    "first", ["", "import trm_harness.evaluate, trm_harness.train.recipe; ", "trm_harness.load_task; "]
)
def test_the_calls_are_functions_whatever_was_imported_first(first: str) -> None:
    code = f"""
import trm_harness
{first}
import inspect, pydoc, types, trm_harness.train.recipe
from trm_harness import evaluate as imported
from trm_harness.evaluate import check_folder
from trm_harness.train.loop import fit
for function in (trm_harness.evaluate, trm_harness.train, trm_harness.load_model, trm_harness.load_task, imported):
    assert isinstance(function, types.FunctionType), function
    text = pydoc.plain(pydoc.render_doc(function))
    assert "function " + function.__name__ + " in " in text and "trm_harness" in text
    assert "BadInput" in text or "UnknownName" in text
    kinds = {{parameter.kind for parameter in inspect.signature(function).parameters.values()}}
    assert not kinds & {{inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}}
assert imported is trm_harness.evaluate
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_option_of_the_command_has_its_argument() -> None:
    """Under the same name and with the same default; what a loaded model brings along is None."""
    taken = inspect.signature(trm_harness.evaluate).parameters
    options = {option.name: option for option in evaluate_command.params}
    renamed = {"task_name": "task", "model_name": "model"}
    for name, option in options.items():
        if name in ("resumed", "as_json", "config", "dry_run", *renamed):
            continue
        assert name in taken, name
        default = taken[name].default
        if default is not None and name != "puzzles":
            assert default == (False if option.is_flag else option.default), name
    # Those of load_model that concern the model are the same ones.
    assert [*taken][2:] == [*inspect.signature(LoadedModel.evaluate).parameters][1:]
    loads = set(inspect.signature(trm_harness.load_model).parameters) - {"revision"}
    assert loads <= set(taken)


def test_help_shows_every_argument_of_training_that_the_command_has() -> None:
    taken = set(inspect.signature(trm_harness.train).parameters)
    assert {"task", "model", "recipe", "out", "steps", "seed", "weights", "data", "device", "threads"} <= taken


def test_objects_do_where_names_do(call: Call) -> None:
    task, model = LatinTask(groups=6), Propagator()
    rows: list[int] = []
    record = trm_harness.evaluate(
        task,
        model,
        limit=np.int64(5),
        batch_size=np.int32(2),
        on_batch=lambda batch: rows.append(len(batch)),
        out="mine",
    )
    assert record.status == "success"
    assert sum(rows) == record.selection.puzzles
    assert max(rows) <= 2
    # Nobody published this task, so nothing of it can be ranked.
    assert record.task.own_data
    assert record.command == "trm_harness.evaluate('latin', 'propagator', limit=5, batch_size=2)"
    with pytest.raises(UnknownName):
        trm_harness.load_task("latin")
    with pytest.raises(BadInput, match="processes=1"):
        trm_harness.evaluate(task, model, processes=2)


def test_an_object_of_a_known_task_counts_as_what_it_is(call: Call) -> None:
    task = trm_harness.load_task("sudoku-4x4")
    assert not trm_harness.evaluate(task, "random", limit=2, out="same").task.own_data
    network = trm_harness.load_model("trm-nano", "sudoku-4x4", untrained=True).model
    record = trm_harness.evaluate(task, network, limit=2, out="object")
    # Not the zoo's weights, though the zoo has some for this architecture and task.
    assert (record.model.card, record.model.weights_sha256, record.model.weights_source) == ("", "", "untrained")


def test_an_error_in_a_callback_ends_the_run_and_is_recorded(call: Call) -> None:
    def fail(rows: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        trm_harness.evaluate("sudoku-4x4", "random", limit=4, on_batch=fail, out="broken")
    assert read(Path("broken")).status == "error"
    seen: list[tuple[float, int]] = []
    trm_harness.evaluate("sudoku-4x4", "random", limit=4, progress=lambda *at: seen.append(at), out="shown")
    assert seen[-1] == (4, 4)


def test_a_session_registers_what_it_has_and_names_then_do(call: Call) -> None:
    assert trm_harness.register(LatinTask(groups=4)) == "latin"
    try:
        trm_harness.register(Propagator())
        first = trm_harness.evaluate("latin", "propagator", out="one")
        # Run anew, a cell of a notebook replaces what it registered.
        trm_harness.register(LatinTask(groups=2))
        assert trm_harness.evaluate("latin", "propagator", out="two").selection.groups == 2 < first.selection.groups
        by_target = dataclasses.replace(LATIN, id="latin-2", target=f"{__name__}:build_latin")
        assert trm_harness.load_task(trm_harness.register(by_target)).spec.id == "latin-2"
        for wrong in (dataclasses.replace(LATIN, id="sudoku-4x4"), dataclasses.replace(LATIN, id="no name"), object()):
            with pytest.raises(BadInput):
                trm_harness.register(wrong)
        with pytest.raises(BadInput, match="leave data out"):
            trm_harness.load_task("latin", data="here")
    finally:
        registry._session.clear()
        registry.default.cache_clear()


def build_latin(spec: TaskSpec, data: Path | None) -> LatinTask:
    return LatinTask(groups=3, spec=spec)


def test_results_are_short_tables_and_frames(call: Call, nano: LoadedModel) -> None:
    record = nano.evaluate(limit=6, augment=2, out="run")
    text = str(record)
    assert text == repr(record)
    assert len(text.splitlines()) == 2 + len(record.scores)
    assert "trm-nano.sudoku-4x4 on 6 of 500 puzzles of sudoku-4x4 test: success" in text
    assert "100.00 %" in text
    html = record._repr_html_()
    assert html.count("<tr") == 1 + len(record.scores)
    puzzles = record.frame()
    assert list(puzzles["puzzle"]) == [f"test-{place:06}" for place in range(6)]
    assert puzzles["exact"].mean() == record.score("exact", "puzzles", "single").value
    assert len(record.frame("candidates")) >= 6
    assert list(record.frame("scores")["value"]) == [score.value for score in record.scores]
    assert tuple(record.frame("steps")["accuracy"]) == record.depth_curve.accuracy
    again = trm_harness.load_run("run")
    assert str(again) == text
    assert RunRecord.model_validate(json.loads(again.model_dump_json())) == read(Path("run"))
    with pytest.raises(BadInput):
        record.frame("everything")


def test_many_puzzles_in_many_forms(nano: LoadedModel) -> None:
    puzzles = nano.task.puzzles("test")[:5]
    grids = np.stack([puzzle.input for puzzle in puzzles])
    flat = grids.reshape(5, 16)
    want = [nano.predict(puzzle).grid.tolist() for puzzle in puzzles]
    texts = ["".join(map(str, row)) for row in flat.tolist()]
    for many in (puzzles, tuple(puzzles), grids, flat, flat.astype(np.int64), texts, grids.tolist(), list(grids)):
        answers = nano.predict(many)
        assert [grid.tolist() for grid in answers.grids] == want
        np.testing.assert_array_equal(np.asarray(answers.grids), want)
    # As they come from a table, another library, or one by one.
    for many in (pd.Series(texts), pd.Series(list(grids)), pd.DataFrame(flat), torch.from_numpy(grids), iter(texts)):
        assert [grid.tolist() for grid in nano.predict(many).grids] == want
    for one in (
        texts[0],
        flat[0],
        flat[0].astype(object),
        pd.Series(flat[0]),
        flat[0].tolist(),
        grids[0],
        grids[0].tolist(),
        texts[0].replace("0", "."),
    ):
        assert nano.predict(one).grid.tolist() == want[0]
    assert repr(nano.predict(puzzles)) == "<5 answers, 5 of 5 right>"
    assert nano.predict(puzzles)._repr_html_().count("<table") == 10
    assert len(nano.predict([])) == 0
    noisy = nano.predict(puzzles, noise=1.0, seed=3)
    assert noisy[2].halts == pytest.approx(nano.predict(puzzles[2], noise=1.0, seed=3).halts, abs=1e-4)


def test_training_takes_objects_callbacks_and_weights(call: Call, nano: LoadedModel) -> None:
    seen: list[dict[str, object]] = []
    settings = {"batch_size": np.int64(4), "stage.lr": 1e-4, "validate_every": 0}
    done = trm_harness.train(
        nano.task, nano, out="more", steps=np.int64(2), settings=settings, on_step=seen.append, device="cpu"
    )
    assert [row["step"] for row in seen] == [1, 2] == list(done.frame()["step"])
    assert done["job"]["recipe"]["batch_size"] == 4
    assert "began from weights" in json.dumps(done["training"])
    assert [use["name"] for use in done["training"]["data"]] == ["sudoku-4x4 train"], "the same data is named once"
    assert done["sessions"][0]["command"].startswith("trm_harness.train('sudoku-4x4', 'trm-nano.sudoku-4x4', ")
    lines = str(done).splitlines()
    assert lines[0].startswith("trm-nano on sudoku-4x4: finished")
    assert len(lines) == 3
    assert done._repr_html_().count("<tr") == 2
    network = trm_harness.load_model("trm-nano", "sudoku-4x4", untrained=True).model
    before = {name: value.clone() for name, value in network.network.named_parameters()}
    trm_harness.train("sudoku-4x4", network, out="in-place", steps=1, settings=settings, device="cpu")
    assert any(not value.equal(before[name]) for name, value in network.network.named_parameters())
    read_again = trm_harness.load_run(done.folder)
    assert (read_again["weights"], str(read_again)) == (done["weights"], str(done))
    assert trm_harness.load_model("trm-nano", "sudoku-4x4", weights=done.weights).predict(BOARD).grid.shape == (4, 4)


def test_a_stopped_evaluation_goes_on_with_objects_and_with_names(call: Call) -> None:
    whole = trm_harness.evaluate(LatinTask(groups=6), Propagator(), batch_size=2, out="whole")
    with pytest.raises(UnknownName):
        trm_harness.resume("whole")
    with pytest.raises(BadInput, match="is finished"):
        trm_harness.resume("whole", task=LatinTask(groups=6), model=Propagator())
    lines = Path("whole/journal.jsonl").read_text().splitlines(keepends=True)
    Path("whole/journal.jsonl").write_text("".join(lines[:3]))
    rows: list[Any] = []
    again = trm_harness.resume("whole", task=LatinTask(groups=6), model=Propagator(), on_batch=rows.extend)
    assert Path("whole/journal.jsonl").read_text() == "".join(lines)
    assert 0 < len(rows) < len(lines)
    assert again.headline == whole.headline
    with pytest.raises(BadInput, match="is an evaluation: leave steps out"):
        trm_harness.resume("whole", task=LatinTask(groups=6), model=Propagator(), steps=3)


def test_a_stopped_training_goes_on_to_the_same_weights(call: Call) -> None:
    settings = {"batch_size": 4, "validate_every": 0, "compile": False, "dtype": "float32"}
    how = {"steps": 4, "settings": settings, "device": "cpu", "threads": 1}
    whole = trm_harness.train("sudoku-4x4", "trm-nano", out="whole", **how)
    cut = trm_harness.train("sudoku-4x4", "trm-nano", out="cut", seconds=0, **how)
    assert (cut["result"]["stopped"], cut["result"]["steps"]) == ("out of time", 1)
    seen: list[int] = []
    again = trm_harness.resume("cut", on_step=lambda row: seen.append(row["step"]))
    assert seen == [2, 3, 4]
    one, other = load_file(whole.weights), load_file(again.weights)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again["sessions"][1]["command"] == "trm_harness.resume('cut')"
    with pytest.raises(BadInput, match="is a training: leave processes out"):
        trm_harness.resume("cut", processes=2)
    longer = trm_harness.resume("cut", steps=6)
    assert longer["result"]["steps"] == 6


def test_the_packages_behind_the_functions_are_imported_by_any_form() -> None:
    code = (
        "import trm_harness.train.loop as loop, trm_harness.evaluate.run as run, trm_harness;"
        "from trm_harness.train import session; import trm_harness.train.recipe;"
        "assert loop.fit and run.evaluate and session.run and callable(trm_harness.train);"
        "assert not isinstance(trm_harness.evaluate, type(loop))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_hub_repository_is_a_model(
    call: Call, nano: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as hub:
        for name, value in hub.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TRM_HARNESS_ZOO", str(tmp_path / "own"))
        card = (
            (zoo() / "trm-nano.sudoku-4x4" / "card.toml").read_text().replace("trm-nano.sudoku-4x4", "trm-nano.theirs")
        )
        hub.put("them/nano", "card.toml", card.encode(), repo_type="model")
        weights = (zoo() / "trm-nano.sudoku-4x4" / "weights.safetensors").read_bytes()
        hub.put("them/nano", "weights.safetensors", weights[:-1] + b"!", repo_type="model")
        with pytest.raises(BadInput, match="nothing of it was kept"):
            trm_harness.load_model("them/nano")
        hub.put("them/nano", "weights.safetensors", weights, repo_type="model")
        model = trm_harness.load_model("them/nano")
        assert model.name == "trm-nano.theirs"
        assert model.predict(BOARD).grid.tolist() == nano.predict(BOARD).grid.tolist()
        # It lies here now, and counts again without the weights being fetched.
        hub.asked.clear()
        assert trm_harness.evaluate("sudoku-4x4", "them/nano", limit=1, out="theirs").model.card == "trm-nano.theirs"
        assert not [path for verb, path in hub.asked if verb == "GET" and "weights" in path]


def test_importing_the_root_stays_light() -> None:
    code = (
        "import sys, trm_harness; dir(trm_harness);"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules); trm_harness.load_task"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"adapt_lr": "fast"}, "adapt_lr must be a number, not 'fast'"),
        ({"noise": True}, "noise must be a number, not True"),
        ({"settings": ["h_cycles"]}, r"settings must map names to values, not be \['h_cycles'\]"),
        ({"adapt_settings": "optimizer=muon"}, "adapt_settings must map names to values"),
    ],
)
def test_choices_of_a_wrong_kind_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        trm_harness.evaluate("arc1", "trm-message-pico", limit=1, adapt="full", out="run", **given)
    assert not Path("run").exists()


def test_other_calls_refuse_numbers_and_tables_of_a_wrong_kind() -> None:
    with pytest.raises(BadInput, match="seconds must be a number, not 'long'"):
        trm_harness.train("sudoku-4x4", "trm-nano", seconds="long", out="run")
    with pytest.raises(BadInput, match="settings must map names to values"):
        trm_harness.train("sudoku-4x4", "trm-nano", settings=["lr=1"], out="run")
    model = trm_harness.load_model("trm-nano.sudoku-4x4")
    with pytest.raises(BadInput, match="noise must be a number, not 'x'"):
        model.predict("1.3..2..", noise="x")
    assert not Path("run").exists()
