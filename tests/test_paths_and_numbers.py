"""Paths, numbers and machines as people have them: one line and exit code 2, or it works."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_cli_eval import Call, call
from trm_harness.cli import report
from trm_harness.errors import BadInput
from trm_harness.files import paths
from trm_harness.inference import InferencePlan
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.machine import check_processes, use_threads
from trm_harness.record import environment
from trm_harness.registry import default
from trm_harness.scaffold import write
from trm_harness.train.trainer import Settings
from trm_harness.zoo.cards import card_files

__all__ = ["call"]

RANDOM = ("eval", "--task", "sudoku-4x4", "--model", "random", "--limit", "2")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two puzzles of one's own in the folder ``mine``."""
    lines = (paths.PACKAGE.parent / "plugins/trm_task_sudoku/data/sudoku-4x4/test.csv").read_text().splitlines()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test.csv").write_text("\n".join(lines[:3]) + "\n")
    return tmp_path / "mine"


def test_a_run_is_read_from_anywhere_and_its_data_may_move(
    call: Call, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call(*RANDOM, "--data", "mine", "--out", "runs/r")
    assert said.code == 0, said.err
    sha256 = json.loads(Path("runs/r/run.json").read_text())["task"]["data_sha256"]
    assert f"own data mine, sha256 {sha256[:12]}" in said.out
    assert f"own data mine, sha256 {sha256[:12]}" in call("runs", "show", "r").out
    assert f"sudoku-4x4, own data mine, sha256 {sha256[:12]}" in call("runs", "list").out
    assert StoredPlan.load(Path("runs/r")).launch["data"] == str(own)
    (own.parent / "below").mkdir()
    monkeypatch.chdir(own.parent / "below")
    for verb in (("score", "../runs/r"), ("show", "../runs/r", "--puzzle", "test-000000")):
        assert call("runs", *verb).code == 0
    moved = str(shutil.move(own, own.parent / "moved"))
    for verb in (
        ("score", "../runs/r"),
        ("show", "../runs/r", "--puzzle", "test-000000"),
        ("diff", "../runs/r", "../runs/r"),
        ("watch", "../runs/r"),
    ):
        assert call("runs", *verb, "--data", moved).code == 0, verb
    assert call("runs", "score", "../runs/r").code == 2


def test_lists_print_what_other_verbs_take_and_survive_bad_records(call: Call) -> None:
    assert call(*RANDOM, "--out", "runs/before").code == 0
    Path("runs/before").rename("runs/after")
    good = json.loads(Path("runs/after/run.json").read_text())
    for number, change in enumerate(({"started": None}, {"started": 5}, {"id": {"a": 1}}, {"status": []})):
        bad = Path("runs", f"bad{number}")
        bad.mkdir()
        (bad / "run.json").write_text(json.dumps(good | change))
    said = call("runs", "list")
    (line,) = said.out.splitlines()[1:]
    assert said.err.count("is not a run record; left out") == 4
    assert call("runs", "show", line.split()[0]).code == 0
    assert call("runs", "show", "last").code == 0


def test_names_that_are_no_utf8_work(own: Path) -> None:
    odd, run = os.fsdecode(b"d\xff"), os.fsdecode(b"r\xff")
    own.rename(own.parent / odd)
    for verb in ((*RANDOM, "--data", odd, "--out", run), ("runs", "score", run), ("runs", "path", run)):
        command = [sys.executable, "-m", "trm_harness", *verb]
        done = subprocess.run(command, cwd=own.parent, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout == b"r\xff\n"
    assert json.loads((own.parent / run / "run.json").read_text())["id"] == r"r\udcff"
    assert environment.legible(odd) == r"d\udcff"


@pytest.mark.parametrize("name", ["seed", "limit", "augment", "restarts", "batch_size"])
def test_numbers_that_no_record_takes_are_refused(name: str) -> None:
    task = default().task("sudoku-4x4", None)
    plan = InferencePlan(split="test")
    with pytest.raises(BadInput, match=f"{name.replace('_', '-')} {2**63} is above {2**63 - 1}"):
        InferencePlan(**{"split": "test", name: 2**63}).check(task)
    plan.check(task)
    InferencePlan(split="test", seed=2**63 - 1).check(task)


@pytest.mark.parametrize("settings", [{"seconds": math.nan}, {"seconds": -1.0}, {"every": math.nan}, {"every": -1.0}])
def test_times_are_numbers_from_0_up(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="must be a number from 0 up"):
        Settings(**settings)


def test_a_million_threads_are_refused() -> None:
    for ask in (use_threads, check_processes):
        with pytest.raises(BadInput, match=r"1,000,000 \w+ make no sense on a machine of"):
            ask(1_000_000)


def test_no_home_and_a_home_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRM_HARNESS_ZOO", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert not paths.own_zoo().exists()
    assert card_files(paths.own_zoo()) == []
    with pytest.raises(OSError, match="Not a directory"):
        paths.own_zoo().mkdir(parents=True)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: os.listdir("/proc/1/nowhere"))
    assert card_files(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("task", name) for name in ("sudoku", "arc", "maze", "torch", "zoo", "json", "numpy", "trm-harness")),
        *(("model", name) for name in ("trm", "llm", "hrm", "random")),
        *(("trainer", name) for name in ("torch", "deepspeed")),
    ],
)
def test_a_plugin_takes_nobodys_place(kind: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is taken"):
        write(kind, name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_joint_is_not_said_of_tasks_that_nobody_trained_on() -> None:
    looked = {"checked": [{}], "not_checked": [], "demonstrated": 0}
    assert report._demonstrations("joint", looked).startswith("none of the evaluated tasks' demonstrations")
    for found in (None, looked | {"demonstrated": 3}, looked | {"not_checked": ["x"]}, looked | {"checked": []}):
        assert report._demonstrations("joint", found) == report.DEMONSTRATIONS["joint"]
    assert report._demonstrations("inductive", looked) == report.DEMONSTRATIONS["inductive"]


def test_line_ends_are_nobodys_to_change() -> None:
    assert "* -text" in (paths.PACKAGE.parent / ".gitattributes").read_text().splitlines()
