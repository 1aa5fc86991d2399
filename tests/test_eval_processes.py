"""``eval --processes``: several processes leave the journal and the scores that one leaves, to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT
from tests.evaluating import PLAN, LatinTask, Propagator
from trm_harness import registry
from trm_harness.errors import BadInput
from trm_harness.evaluate import evaluate, resume
from trm_harness.inference.workers import Workers
from trm_harness.record import read

Harness = Callable[..., subprocess.CompletedProcess[str]]
NANO = ("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "30", "--batch-size", "4", "--steps", "3")


@pytest.mark.parametrize("more", [(), pytest.param(("--augment", "3", "--halt", "settled"), marks=pytest.mark.slow)])
def test_the_journal_is_the_same_to_the_byte(more: tuple[str, ...], harness: Harness, tmp_path: Path) -> None:
    for name, count in (("one", "1"), ("two", "2")):
        said = harness(*NANO, *more, "--out", name, "--processes", count, OMP_NUM_THREADS="1")
        assert said.returncode == 0, said.stderr
    for file in ("journal.jsonl", "puzzles.csv", "candidates.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    assert read(tmp_path / "one").scores == read(tmp_path / "two").scores


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_run_and_resume_finishes_it(harness: Harness, tmp_path: Path) -> None:
    whole = harness(*NANO, "--augment", "8", "--out", "whole", OMP_NUM_THREADS="1")
    assert whole.returncode == 0, whole.stderr
    line = [sys.executable, "-m", "trm_harness", *NANO, "--augment", "8", "--out", "killed", "--processes", "2"]
    process = subprocess.Popen(
        line, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / "killed" / "journal.jsonl"
    while not (journal.exists() and journal.stat().st_size):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    spawned = [p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
    spawned[0].kill()
    said = process.communicate(timeout=60)[1]
    if process.returncode:
        assert process.returncode == 1
        assert "a process that answers died" in said
        on = harness("eval", "--resume", "killed", "--processes", "2", OMP_NUM_THREADS="1")
        assert on.returncode == 0, on.stderr
    assert journal.read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()


def test_a_model_with_an_account_stays_in_one_process() -> None:
    class Counting:
        spec = registry.default().models.spec("llm")

        def usage(self) -> dict[str, float]:
            return {"requests": 1.0}

    with pytest.raises(BadInput, match="model llm keeps one account of what it uses: leave --processes out"):
        Workers(2, lambda place: pytest.fail("made")).check(Counting())


def test_solvers_share_their_work_too(harness: Harness, tmp_path: Path) -> None:
    said = harness(
        "eval", "--task", "maze-8x8", "--model", "oracle-maze", "--limit", "40", "--processes", "2", "--out", "run"
    )
    assert said.returncode == 0, said.stderr
    assert read(tmp_path / "run").headline.numerator == 40


def refuses(place: int) -> tuple[Any, Any]:
    raise BadInput("the weights are gone: get them again")


def test_what_a_worker_cannot_build_is_said_as_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="the weights are gone: get them again"):
        evaluate(LatinTask(), Propagator(), PLAN, tmp_path / "run", workers=Workers(2, refuses))
    assert read(tmp_path / "run").status == "error"
    assert "Traceback" not in capfd.readouterr().err


def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
    code = "from pathlib import Path; from tests.test_eval_processes import slow; slow(Path('run'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    journal = tmp_path / "run" / "journal.jsonl"
    while not (journal.exists() and journal.stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def slow(folder: Path) -> None:
    evaluate(LatinTask(), Propagator(), PLAN, folder, workers=Workers(2, slowly))


def slowly(place: int) -> tuple[Any, Any]:
    return LatinTask(), Propagator(pause=0.1)


def test_a_resumed_run_of_a_model_with_an_account_stays_in_one_process(tmp_path: Path) -> None:
    evaluate(LatinTask(), Propagator(), PLAN, tmp_path / "run")
    os.truncate(tmp_path / "run" / "journal.jsonl", 3000)
    with pytest.raises(BadInput, match="keeps one account of what it uses"):
        resume(tmp_path / "run", LatinTask(), Accountant(), workers=Workers(2, slowly))


class Accountant(Propagator):
    """Counts nothing, but says so."""

    def usage(self) -> dict[str, float]:
        return {}
