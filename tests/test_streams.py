"""Runs outlive whoever watches them: closed streams, readers that leave, terminals that close, polite kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trm_harness.files.names import JOURNAL_FILE, METRICS_FILE

HARNESS = [sys.executable, "-m", "trm_harness"]
EVAL = [*HARNESS, "eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "40", "--batch-size", "4"]
LONG = [*HARNESS, "eval", "--task", "sudoku-6x6", "--model", "trm-nano", "--batch-size", "2"]
TRAIN = [*HARNESS, "train", "--task", "sudoku-4x4", "--model", "trm-nano", "--no-compile", "--set", "batch_size=4"]
TRAIN += ["--set", "validate_every=0"]


def status(folder: Path) -> str:
    return json.loads((folder / "run.json").read_text())["status"]


def without(*closed: int) -> Callable[[], None]:
    return lambda: [os.close(handle) for handle in closed] and None


@pytest.mark.parametrize("closed", [(0, 1, 2), (1,), (2,)])
def test_a_run_needs_no_streams(tmp_path: Path, closed: tuple[int, ...]) -> None:
    ran = subprocess.run([*EVAL, "--out", "run"], cwd=tmp_path, preexec_fn=without(*closed), check=False)
    assert ran.returncode == 0
    assert status(tmp_path / "run") == "success"
    lines = (tmp_path / "run" / JOURNAL_FILE).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 40


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["stderr", "both"])
def test_nobody_has_to_read_what_a_run_says(tmp_path: Path, gone: str) -> None:
    streams = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL if gone == "stderr" else subprocess.PIPE}
    for command, out in ((EVAL, "run"), ([*TRAIN, "--steps", "3", "--out"], "trained")):
        where = ["--out", out] if command is EVAL else [out]
        process = subprocess.Popen([*command, *where], cwd=tmp_path, **streams)
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()
        assert process.wait(timeout=200) == 0
    assert status(tmp_path / "run") == "success"
    assert (tmp_path / "trained" / "weights.safetensors").is_file()


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*HARNESS, "tasks", "list"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 1
    assert ran.stderr == "error: the system refused: No space left on device\n"


def begun(command: list[str], file: Path, **extra: object) -> subprocess.Popen[str]:
    """A process that has written something to ``file``."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **extra)
    deadline = time.monotonic() + 120
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("how", [(signal.SIGTERM,), (signal.SIGHUP, signal.SIGHUP), (signal.SIGHUP, signal.SIGCONT)])
def test_a_stopped_run_and_a_stopped_training_go_on(tmp_path: Path, how: tuple[signal.Signals, ...]) -> None:
    run, trained = tmp_path / "run", tmp_path / "trained"
    for command, file in (
        ([*LONG, "--out", str(run)], run / JOURNAL_FILE),
        ([*TRAIN, "--steps", "100000", "--out", str(trained)], trained / METRICS_FILE),
    ):
        process = begun(command, file)
        for number in how:
            process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        assert "--resume" in said
    assert status(run) == "cancelled"
    (checkpoint,) = (trained / "checkpoints").iterdir()
    done = json.loads((trained / "train.json").read_text())["result"]["steps"]
    assert checkpoint.name == f"step-{done:07d}"
    go_on = [*HARNESS, "train", "--resume", str(trained), "--seconds", "0"]
    assert f"{done + 1} steps in" in subprocess.run(go_on, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_several_processes_outlive_their_terminal(tmp_path: Path) -> None:
    """A terminal that closes tells everybody in it, the processes that answer too."""
    run = tmp_path / "run"
    process = begun([*LONG, "--processes", "2", "--out", str(run)], run / JOURNAL_FILE, start_new_session=True)
    os.killpg(process.pid, signal.SIGHUP)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert status(run) == "cancelled"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="nobody can tell here who sent a signal")
def test_a_training_whose_whole_group_is_told_to_stop_saves_all_the_same(tmp_path: Path) -> None:
    """`timeout` and batch systems send SIGTERM to the processes that draw batches, too."""
    trained = tmp_path / "trained"
    process = begun(
        [*TRAIN, "--steps", "100000", "--workers", "1", "--out", str(trained)],
        trained / METRICS_FILE,
        start_new_session=True,
    )
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert (trained / "weights.safetensors").is_file()


@pytest.mark.slow
def test_an_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = begun(
        [*LONG, "--limit", "60", "--out", str(run)],
        run / JOURNAL_FILE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert status(run) == "success"


@pytest.mark.slow
def test_a_training_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    process = begun([*TRAIN, "--steps", "4000", "--out", str(trained)], trained / METRICS_FILE)
    process.kill()
    process.communicate()
    assert not (trained / "checkpoints").exists()
    again = [*HARNESS, "train", "--resume", str(trained), "--steps", "3"]
    ran = subprocess.run(again, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    steps = [json.loads(line)["step"] for line in (trained / METRICS_FILE).read_text().splitlines()]
    assert steps == [1, 2, 3]
