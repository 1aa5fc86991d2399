"""Runs as files: ``eval --config``, ``eval --dry-run`` and ``runs config``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.test_cli_eval import Call, call
from trm_harness.record import read
from trm_harness.train.progress import Means
from trm_harness.train.session import find_recipe

__all__ = ["call"]

MANY = """
task = "sudoku-4x4"
model = ["random", "copy-input"]
limit = 3
seed = [1, 2]

[[run]]

[[run]]
model = "trm-nano"
seed = 0
puzzles = ["test-000001", "test-000004"]
limit = 2
"""


def test_lists_and_tables_make_runs_and_one_table(call: Call) -> None:
    Path("many.toml").write_text(MANY)
    done = call("eval", "--config", "many.toml", "--out", "all")
    assert done.code == 0, done.err
    folders = sorted(path.name for path in Path("all").iterdir())
    assert folders == [
        "001-sudoku-4x4-random", "002-sudoku-4x4-random", "003-sudoku-4x4-copy-input", "004-sudoku-4x4-copy-input",
        "005-sudoku-4x4-trm-nano",
    ]  # fmt: skip
    records = [read(Path("all") / name) for name in folders]
    assert [record.protocol.seed for record in records] == [1, 2, 1, 2, 0]
    assert records[-1].selection.ids == ("test-000001", "test-000004")
    assert records[0].command == "trm-harness eval --task sudoku-4x4 --model random --limit 3 --seed 1"
    lines = done.out.strip().splitlines()
    assert lines[0].split() == ["TASK", "MODEL", "LIMIT", "SEED", "PUZZLES", "SCORE", "OF", "95", "%", "INTERVAL",
                                "TIME", "RUN"]  # fmt: skip
    assert len(lines) == 6
    assert "trm-nano.sudoku-4x4" in lines[-1]
    assert "exact 100.00 %" in lines[-1]


def test_a_run_written_down_runs_again_alike(call: Call) -> None:
    asked = ("--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "4", "--augment", "2", "--steps", "3")
    assert call("eval", *asked, "--restarts", "2", "--noise", "0.5", "--select", "halt", "--out", "first").code == 0
    assert call("runs", "config", "first", "--out", "first.toml").code == 0
    assert call("runs", "config", "first").out == Path("first.toml").read_text()
    assert call("runs", "config", "first", "--out", "first.toml").code == 2
    done = call("eval", "--config", "first.toml", "--out", "again", "--json")
    (record,) = json.loads(done.out)
    first, (folder,) = read(Path("first")), Path("again").iterdir()
    assert record["headline"] == first.headline.model_dump(mode="json")
    assert read(folder).protocol == first.protocol
    assert (folder / "journal.jsonl").read_bytes() == Path("first/journal.jsonl").read_bytes()


def test_an_untrained_network_with_settings_is_written_down_too(call: Call) -> None:
    asked = ("--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "1", "--untrained", "--set", "hidden_size=32")
    assert call("eval", *asked, "--out", "first").code == 0
    Path("first.toml").write_text(call("runs", "config", "first").out)
    assert call("eval", "--config", "first.toml", "--out", "again").code == 0
    (folder,) = Path("again").iterdir()
    assert read(folder).model == read(Path("first")).model


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('task = "sudoku-4x4"', "run 1: has no task and no model"),
        ('task = "sudoku-4x4"\nmodel = "random"\ncolour = 1', "unknown key 'colour'"),
        ('task = "sudoku-4x4"\nmodel = "random"\nresume = "x"', "unknown key 'resume'"),
        ('task = "sudoku-4x4"\nmodel = "random"\nlimit = ["ten"]', "run 1: Invalid value for '--limit'"),
        ('task = "sudoku-4x4"\nmodel = "random"\nuntrained = 1', "untrained must be true or false"),
        ('task = "sudoku-4x4"\nmodel = "random"\nlimit = true', "limit cannot be True"),
        ('task = "sudoku-4x4"\nmodel = ["random", "randon"]', "unknown model 'randon'"),
        ('task = "sudoku-4x4"\nmodel = "random"\nsettings = 3', "settings must be a table"),
        ('run = 3\ntask = "sudoku-4x4"', "run must be tables"),
        (f'task = "sudoku-4x4"\nmodel = "random"\nseed = {list(range(1001))}', "more than 1,000 runs"),
        ('task = "sudoku-4x4"\nmodel = "random"\nseed = [1, 2]\nout = "all"', "several runs have out = 'all'"),
        ("task = ", "many.toml"),
    ],
)
def test_a_wrong_file_is_one_line_and_nothing_runs(call: Call, text: str, said: str) -> None:
    Path("many.toml").write_text(text)
    done = call("eval", "--config", "many.toml", "--out", "all")
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not Path("all").exists()
    assert not Path("runs").exists()


def test_an_unknown_key_of_a_training_names_what_a_training_takes(call: Call) -> None:
    Path("many.toml").write_text('task = "sudoku-4x4"\nmodel = "trm-nano"\nadapt_settings = {}\n')
    done = call("train", "--config", "many.toml", "--dry-run")
    assert done.code == 2
    assert done.err.startswith("error: many.toml, run 1: unknown key 'adapt_settings': known are settings, checkpoint")


def test_training_runs_stand_in_a_file_too(call: Call) -> None:
    text = """
        task = "sudoku-4x4"
        model = "trm-nano"
        steps = 2
        device = "cpu"
        settings = { batch_size = 4, validation_limit = 4, "model.hidden_size" = 16, "model.heads" = 2 }
        [[run]]
        out = "one"
        [[run]]
        seed = 7
        out = "two"
    """
    Path("many.toml").write_text(text)
    assert call("train", "--config", "many.toml", "--dry-run").out.count("FLOPs") == 2
    assert not Path("one").exists()
    assert call("train", "--config", "many.toml", "--seed", "3").code == 2
    done = call("train", "--config", "many.toml")
    assert done.code == 0, done.err
    one, two = (json.loads(Path(name, "train.json").read_text()) for name in ("one", "two"))
    assert [run["job"]["recipe"]["seed"] for run in (one, two)] == [0, 7]
    assert one["job"]["recipe"]["batch_size"] == 4
    said = two["sessions"][0]["command"]
    assert said.startswith("trm-harness train --task sudoku-4x4 --model trm-nano --steps 2")
    assert said.endswith("--seed 7 --out two")
    # And back: a training as a file that trains it again, by the recipe that it keeps.
    again = call("runs", "config", "two", "--out", "again.toml")
    assert again.code == 0, again.err
    assert tomllib.loads(Path("again.toml").read_text()) == {
        "task": "sudoku-4x4",
        "model": "trm-nano",
        "recipe": "two",
        "device": "cpu",
    }
    kept = find_recipe("two", "trm-nano", "sudoku-4x4")[1]
    assert json.loads(json.dumps(kept.as_dict())) == two["job"]["recipe"]
    assert call("train", "--config", "again.toml", "--dry-run").out.count("FLOPs") == 1
    refused = call("runs", "show", "two")
    assert refused.code == 2
    assert "it is not an evaluation's run but a training's" in refused.err


def test_the_time_left_is_measured_without_the_first_step() -> None:
    now = [0.0]
    means = Means(100, lambda: now[0])
    row = dict.fromkeys(("loss", "exact_accuracy", "accuracy", "steps"), 1.0)
    now[0] = 60.0  # getting ready and compiling
    means.add(row | {"step": 1})
    now[0] = 62.0
    means.add(row | {"step": 2})
    assert means.text().endswith("0.50 steps/s  3 min 16 s left")
    now[0] = 63.0
    means.add(row | {"step": 3})
    assert means.text().endswith("1.00 steps/s  1 min 37 s left")


def test_a_single_step_tells_nothing_of_the_time_left() -> None:
    now = [0.0]
    means = Means(100, lambda: now[0])
    now[0] = 60.0
    means.add({"loss": 1.0, "exact_accuracy": 1.0, "accuracy": 1.0, "steps": 1.0, "step": 1})
    assert "left" not in means.text()


def test_a_file_and_options_exclude_each_other(call: Call) -> None:
    Path("one.toml").write_text('task = "sudoku-4x4"\nmodel = "random"\n')
    assert call("eval", "--config", "one.toml", "--limit", "3").code == 2


def test_a_dry_run_measures_and_writes_nothing(call: Call) -> None:
    asked = ("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--augment", "8", "--dry-run")
    (seen,) = json.loads(call(*asked, "--json").out)
    assert (seen["puzzles"], seen["answers"], seen["steps"]) == (500, 4000, 8)
    assert seen["seconds"] > 0
    assert seen["trial"] >= 1
    # What the record of a run states of a puzzle, times the puzzles.
    assert call("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "2", "--out", "two").code == 0
    assert seen["flops"] == pytest.approx(4000 * read(Path("two")).cost.flops_per_puzzle)
    shown = call(*asked).out
    assert shown.splitlines()[0].split()[:4] == ["TASK", "MODEL", "PUZZLES", "ANSWERS"]
    Path("many.toml").write_text(MANY)
    assert "in all about" in call("eval", "--config", "many.toml", "--dry-run").out
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["many.toml", "two"]
