"""``trm-harness eval`` on real tasks and models of the house."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from trm_harness import record
from trm_harness.cli.main import main
from trm_harness.progress import Lines, duration


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["trm-harness", *args])
        with pytest.raises(SystemExit) as stop:
            main(args)
        return Said(stop.value.code, *capsys.readouterr())

    return run


SUDOKU = ("eval", "--task", "sudoku-4x4")


def test_a_solver_solves_and_a_guesser_does_not(call: Call) -> None:
    solved = call(*SUDOKU, "--model", "oracle-sudoku", "--limit", "10", "--json")
    assert solved.code == 0, solved.err
    found = json.loads(solved.out)
    assert (found["headline"]["value"], found["headline"]["denominator"]) == (1.0, 10)
    assert found["selection"]["groups"] == 10
    assert found["task"]["split_puzzles"] == 500
    guessed = call(*SUDOKU, "--model", "random", "--limit", "10", "--augment", "3", "--out", "guess")
    assert guessed.code == 0, guessed.err
    assert "0/10 puzzles" in guessed.out
    assert "single pass" in guessed.out
    assert "3 views vote" in guessed.out
    assert "10 of 500 puzzles" in guessed.out
    assert guessed.out.rstrip().endswith("guess/run.json")
    assert record.read(Path("guess")).command == f"trm-harness {' '.join(SUDOKU)} --model random --limit 10 " + (
        "--augment 3 --out guess"
    )


def test_an_untrained_network_is_called_untrained(call: Call) -> None:
    said = call(*SUDOKU, "--model", "trm-nano", "--untrained", "--limit", "2", "--steps", "2", "--halt", "settled")
    assert said.code == 0, said.err
    assert said.out.count("UNTRAINED") == 2
    (folder,) = Path("runs").iterdir()
    found = record.read(folder)
    assert found.model.untrained
    assert found.protocol.steps == 2
    assert found.model.network_parameters > 100_000
    assert found.cost.flops_per_puzzle > 0
    assert len(found.depth_curve.accuracy) == 2
    assert "UNTRAINED" in call("runs", "list").out


def test_the_same_seed_gives_the_same_untrained_answers(call: Call) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        said = call(*SUDOKU, "--model", "trm-nano", "--untrained", "--limit", "2", "--seed", seed, "--out", out)
        assert said.code == 0, said.err
    journals = [Path(out, "journal.jsonl").read_bytes() for out in "abc"]
    assert journals[0] == journals[1] != journals[2]


def test_settings_reach_the_model(call: Call) -> None:
    said = call(*SUDOKU, "--model", "trm-nano", "--untrained", "--limit", "1", "--set", "hidden_size=32", "--json")
    assert json.loads(said.out)["model"]["config"]["hidden_size"] == 32


def test_without_a_compiler_the_record_says_that_nothing_was_compiled(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("no C++ compiler here")

    monkeypatch.setattr("torch.compile", broken)
    said = call(*SUDOKU, "--model", "trm-nano", "--limit", "2", "--compile", "--out", "run")
    assert said.code == 0, said.err
    assert "torch.compile fails here (RuntimeError): going on without it" in said.out
    assert json.loads(Path("run/run.json").read_text())["protocol"]["compiled"] is False


@pytest.mark.slow
def test_a_compiled_network_answers_alike_and_its_record_says_so(call: Call) -> None:
    halted = (*SUDOKU, "--model", "trm-nano", "--limit", "80", "--batch-size", "32", "--halt", "settled", "--json")
    halted += ("--dtype", "float32")
    plain, compiled = (json.loads(call(*halted, *more).out) for more in ((), ("--compile",)))
    assert [run["protocol"]["compiled"] for run in (plain, compiled)] == [False, True]
    assert compiled["scores"] == plain["scores"]
    assert "float32 compiled on cpu" in call("runs", "show", compiled["id"]).out


def test_own_puzzles_are_told_from_the_published_ones_by_content(call: Call) -> None:
    from trm_harness.files.paths import shipped

    published = shipped("zoo").parent / "plugins/trm_task_sudoku/data/sudoku-4x4/test.csv"
    for name, count in (("same", None), ("own", 4)):
        Path(name).mkdir()
        lines = published.read_text().splitlines(keepends=True)[:count]
        (Path(name) / "test.csv").write_text("".join(lines))
        said = call(*SUDOKU, "--model", "random", "--data", name, "--out", f"run-{name}")
        assert said.code == 0, said.err
    assert [record.read(Path(f"run-{name}")).task.own_data for name in ("same", "own")] == [False, True]
    shown = call("leaderboard", "show", "--task", "sudoku-4x4", "--runs", "run-own", "--format", "csv").out
    assert "own data" in next(line for line in shown.splitlines() if "run-own" in line)


def test_arc_puzzles_and_their_submission(call: Call) -> None:
    said = call("eval", "--task", "arc1", "--model", "copy-input", "--limit", "3", "--augment", "2", "--out", "run")
    assert said.code == 0, said.err
    for rule in ("outputs", "tasks", "submitted"):
        assert rule in said.out
    assert call("runs", "show", "run", "--submission", "s.json").code == 0
    assert "attempt_2" in Path("s.json").read_text()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--task", "sudoku-4x5", "--model", "random"), "did you mean 'sudoku-4x4'"),
        (("--task", "sudoku-4x4", "--model", "randon"), "did you mean 'random'"),
        (("--task", "sudoku-4x4", "--model", "trm-nano.nope"), "unknown card 'trm-nano.nope'"),
        (("--task", "arc1", "--model", "oracle-sudoku"), "answers sudoku-* only, not task arc1"),
        ((*SUDOKU[1:], "--model", "random", "--limit", "0"), "limit must be at least 1, not 0"),
        ((*SUDOKU[1:], "--model", "random", "--split", "dev"), "has no split 'dev'"),
        ((*SUDOKU[1:], "--model", "random", "--puzzles", "nobody"), "no puzzle or group 'nobody'"),
        ((*SUDOKU[1:], "--model", "random", "--puzzles", " , "), "--puzzles names none"),
        ((*SUDOKU[1:], "--model", "trm-nano", "--set", "h_cycles=1"), "--set h_cycles has no effect on trm-nano"),
        ((*SUDOKU[1:], "--model", "random", "--batch-size", "-3"), "batch-size must be at least 1"),
        ((*SUDOKU[1:], "--model", "random", "--out", "/proc/nowhere/run"), "cannot be written"),
        ((*SUDOKU[1:], "--model", "random", "--device", "tpu"), "device 'tpu' does not exist"),
        ((*SUDOKU[1:], "--model", "random", "--dtype", "int8"), "'int8' is not one of"),
        ((*SUDOKU[1:], "--model", "random", "--set", "x=1"), "has no setting 'x'"),
        ((*SUDOKU[1:], "--model", "trm-nano", "--untrained", "--set", "heads"), "use KEY=VALUE"),
        ((*SUDOKU[1:], "--model", "trm-nano", "--untrained", "--weights", "w"), "exclude each other"),
        ((*SUDOKU[1:], "--model", "trm-nano", "--weights", "none.safetensors"), "does not exist"),
        ((*SUDOKU[1:], "--model", "random", "--data", "nowhere"), "nowhere"),
        ((*SUDOKU[1:], "--model", "random", "--compile"), "model random has nothing to compile: leave --compile out"),
        ((*SUDOKU[1:], "--model", "trm-nano", "--compile", "--adapt", "full"), "--compile and --adapt exclude each"),
        (("--task", "sudoku-4x4"), "needs --task and --model"),
        (("--resume", "nothing"), "unknown run 'nothing'"),
        (("--resume", "x", "--limit", "3"), "leave the other options out"),
    ],
)
def test_bad_choices_are_one_line_and_write_nothing(call: Call, args: tuple[str, ...], complaint: str) -> None:
    said = call("eval", *args)
    assert said.code == 2, said
    lines = [line for line in said.err.splitlines() if not line.startswith("hint:")]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    assert complaint in lines[0]
    assert not list(Path().iterdir())


def test_a_network_without_weights_names_the_ways_on(call: Call) -> None:
    said = call("eval", "--task", "sudoku-9x9", "--model", "trm-7m")
    assert said.code == 2
    assert said.err.count("\n") == 1
    for way in ("zoo", "train --task sudoku-9x9 --model trm-7m", "--weights FILE", "--untrained"):
        assert way in said.err


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "flipped"])
def test_damaged_weights_are_one_line(call: Call, kind: str) -> None:
    import torch
    from safetensors.torch import save

    whole = save({"a": torch.ones(100)}, {"card": "x"})
    content = {"empty": b"", "text": b"no tensors here", "truncated": whole[:-7], "flipped": whole}[kind]
    Path("w.safetensors").write_bytes(content)
    said = call(*SUDOKU, "--model", "trm-nano", "--weights", "w.safetensors")
    assert said.code == 2, said
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert not Path("runs").exists()


def shipped_weights() -> Path:
    from trm_harness.zoo import named, weights_path

    return weights_path(named("trm-nano.sudoku-4x4"))


def test_shipped_weights_are_found_by_task_and_tell_what_they_were_trained_on(call: Call) -> None:
    said = call(*SUDOKU, "--model", "trm-nano", "--limit", "6", "--steps", "2")
    assert said.code == 0, said.err
    assert "trm-nano.sudoku-4x4" in said.out
    assert "inductive" in said.out
    (folder,) = Path("runs").iterdir()
    found = record.read(folder)
    assert found.model.card == "trm-nano.sudoku-4x4"
    assert found.training.data[0].name == "sudoku-4x4/train"
    assert found.headline.value > 0.5
    by_card = call(*SUDOKU, "--model", "trm-nano.sudoku-4x4", "--limit", "6", "--steps", "2", "--json")
    assert json.loads(by_card.out)["model"]["weights_sha256"] == found.model.weights_sha256


def test_a_card_answers_its_own_task_only(call: Call) -> None:
    said = call("eval", "--task", "sudoku-9x9", "--model", "trm-nano.sudoku-4x4")
    assert said.code == 2
    assert "holds weights for task sudoku-4x4, not sudoku-9x9" in said.err


def test_a_file_of_known_weights_is_recognised_and_other_weights_do_not_resume(call: Call) -> None:
    shutil.copy(shipped_weights(), "mine.safetensors")
    args = (*SUDOKU, "--model", "trm-nano", "--weights", "mine.safetensors", "--limit", "6", "--steps", "2")
    assert call(*args, "--out", "run").code == 0
    found = record.read(Path("run"))
    assert (found.model.card, found.training.demonstrations) == ("trm-nano.sudoku-4x4", "inductive")
    assert found.command.endswith("--weights mine.safetensors --limit 6 --steps 2 --out run")
    record.write(Path("run"), found.model_copy(update={"status": "started"}))
    os.truncate("run/journal.jsonl", 700)
    content = Path("mine.safetensors").read_bytes()
    Path("mine.safetensors").write_bytes(content[:-4] + bytes(4))
    said = call("eval", "--resume", "run")
    assert said.code == 2
    assert "weights of trm-nano changed since the run began" in said.err
    Path("mine.safetensors").unlink()
    assert "mine.safetensors" in call("eval", "--resume", "run").err
    Path("mine.safetensors").write_bytes(content)
    done = call("eval", "--resume", "run")
    assert done.code == 0, done.err
    assert "dropped a torn last line" in done.err
    assert record.read(Path("run")).scores == found.scores


def test_weights_of_another_size_are_refused(call: Call) -> None:
    said = call("eval", "--task", "sudoku-9x9", "--model", "trm-nano", "--weights", str(shipped_weights()))
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_run_goes_into_a_new_folder_only(call: Call) -> None:
    Path("full").mkdir()
    Path("full", "file").write_text("mine")
    said = call(*SUDOKU, "--model", "random", "--limit", "1", "--out", "full")
    assert said.code == 2
    assert "is not empty" in said.err
    assert [path.name for path in Path("full").iterdir()] == ["file"]


def test_ctrl_c_and_resume_on_the_command_line(tmp_path: Path, call: Call) -> None:
    args = [*SUDOKU, "--model", "trm-nano", "--untrained", "--limit", "60", "--augment", "4", "--batch-size", "8"]
    command = [sys.executable, "-m", "trm_harness", *args, "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal, until = tmp_path / "run" / "journal.jsonl", time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "eval --resume run" in errors
    assert "Traceback" not in errors
    assert call("runs", "list").out == "no runs in ./runs\n"
    assert "cancelled" in call("runs", "show", "run").out
    assert call("runs", "score", "run").code == 2
    assert call("eval", "--resume", "run").code == 0
    assert call(*args, "--out", "whole").code == 0
    for name in ("journal.jsonl", "puzzles.csv", "candidates.csv"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
    again = call("eval", "--resume", "run")
    assert again.code == 2
    assert "is finished" in again.err


PLUGIN = """
from trm_harness import hookimpl
from trm_harness.specs import ModelSpec

@hookimpl
def register_models(register):
    for name in ("breaks", "unmade"):
        register(ModelSpec(name, 1, "{module}:" + name, name, name, "trivial"))

def unmade(request):
    raise ZeroDivisionError("no model today")

def breaks(request):
    from trm_model_baselines.models import OneShot

    def answer(puzzle, seed):
        raise RuntimeError("cannot think")
    return OneShot(request.spec, answer)
"""


def test_a_models_failure_is_one_line_and_names_its_plugin(site: object, harness: Callable) -> None:
    site.install("brittle", PLUGIN)
    done = harness(*SUDOKU, "--model", "breaks", "--limit", "2", "--out", "run")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: the run in run stopped with RuntimeError: cannot think")
    assert done.stderr.count("\n") == 1
    assert "Traceback" in harness(*SUDOKU, "--model", "breaks", "--limit", "2", TRM_HARNESS_DEBUG="1").stderr
    done = harness(*SUDOKU, "--model", "unmade", "--limit", "2")
    assert done.returncode == 2, done.stderr
    assert "brittle" in done.stderr
    assert "no model today" in done.stderr


def test_plain_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines(lambda: now[0])
    for second in range(26):
        now[0] = float(second)
        lines(10 + second * 2, 100)
    said = capsys.readouterr().err.splitlines()
    assert said == ["30 of 100 answers (30.0 %), 35 s left", "50 of 100 answers (50.0 %), 25 s left"]


def test_the_time_left_counts_from_the_first_answers(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines(lambda: now[0])
    for second, done in ((60.0, 0), (70.0, 10)):
        now[0] = second
        lines(done, 100)
    # A minute went into loading; the ten answers took ten seconds.
    assert capsys.readouterr().err.splitlines()[-1] == "10 of 100 answers (10.0 %), 1 min 30 s left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (125, "2 min 5 s"), (7300, "2 h 1 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_debug_is_off_by_default() -> None:
    assert "TRM_HARNESS_DEBUG" not in os.environ
