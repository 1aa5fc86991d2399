"""``trm-harness leaderboard show`` in a real process."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_leaderboard import run
from trm_harness.record import write

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, n in (("full", 400), ("part", 2)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write(tmp_path / "runs" / name, run(n=n, id=name))
    return tmp_path / "runs"


def test_our_runs_stand_beside_the_reported(runs: Path, harness: Run) -> None:
    done = harness("leaderboard", "show", "--task", "arc1", "--runs", str(runs))
    assert (done.returncode, done.stderr) == (0, "")
    ranked, unranked = done.stdout.split("-- shown, not ranked")
    assert "run full" in ranked
    assert "run part" in unranked
    assert "TRM (ARC Prize verified)" in ranked
    assert "as quoted by TRM paper" in unranked
    assert "compute share" in done.stdout


def test_every_format_holds_every_row(harness: Run) -> None:
    rows = json.loads(harness("leaderboard", "show", "--task", "maze-hard", "--json").stdout)["rows"]
    assert len([row for row in rows if row["level"] != "ours"]) == 31
    assert {row["system"] for row in rows if row["level"] == "ours"} >= {"oracle-maze", "copy-input", "random"}
    table = csv.DictReader(io.StringIO(harness("leaderboard", "show", "--task", "maze-hard", "--format", "csv").stdout))
    assert [row["system"] for row in table] == [row["system"] for row in rows]
    markdown = harness("leaderboard", "show", "--task", "maze-hard", "--format", "md").stdout
    assert all(row["system"] in markdown and row["source"] in markdown for row in rows)


def test_one_split(harness: Run) -> None:
    told = json.loads(harness("leaderboard", "show", "--task", "arc2", "--split", "semi-private", "--json").stdout)
    assert told["columns"] == ["semi-private"]
    assert not any("public" in name for row in told["rows"] for name in row)


def test_a_broken_run_is_skipped_aloud(runs: Path, harness: Run) -> None:
    (runs / "part" / "run.json").write_text('{"schema_version": 1')
    done = harness("leaderboard", "show", "--task", "arc1", "--runs", str(runs))
    assert done.returncode == 0
    assert done.stderr.startswith("skipped: ")
    assert len(done.stderr.splitlines()) == 1
    assert "run full" in done.stdout


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--task", "arc11"), "error: no scores of task 'arc11': did you mean"),
        (("--task", "arc1", "--split", "secret"), "error: no score of arc1 is on split 'secret': there are public"),
        (("--task", "arc1", "--runs", "nowhere"), "error: nowhere does not exist"),
        ((), "error: Missing option '--task'"),
    ],
)
def test_bad_requests_are_one_line(args: tuple[str, ...], complaint: str, harness: Run) -> None:
    done = harness("leaderboard", "show", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(complaint)


def test_a_task_without_scores_is_no_error(harness: Run) -> None:
    done = harness("leaderboard", "show", "--task", "sudoku-6x6")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sudoku-6x6" in done.stdout


def test_no_torch_and_no_pandas(harness: Run) -> None:
    done = harness("leaderboard", "show", "--task", "arc1", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "csv" in imported
    assert not imported & {"torch", "pandas", "matplotlib"}
