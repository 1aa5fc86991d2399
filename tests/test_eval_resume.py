"""A run that was killed, torn, tampered with or locked: finished to the byte, or refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.evaluating import MODEL, PLAN, TASK, LatinTask, Propagator, run
from trm_harness.errors import BadInput
from trm_harness.evaluate import evaluate, rescore, resume
from trm_harness.record import read
from trm_harness.specs import ModelSpec

SAME = ("journal.jsonl", "puzzles.csv", "candidates.csv")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    evaluate(LatinTask(), Propagator(), PLAN, folder)
    return folder


@pytest.fixture
def stopped(tmp_path: Path, whole: Path) -> Path:
    """A run as a kill leaves it: the journal ends somewhere, the record says ``started``."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("plan.json", "run.json", "journal.jsonl"):
        (folder / name).write_bytes((whole / name).read_bytes())
    data = json.loads((folder / "run.json").read_text())
    data |= {"status": "started", "scores": [], "headline": None, "finished": None}
    (folder / "run.json").write_text(json.dumps(data))
    cut(folder, 0.6)
    return folder


def cut(folder: Path, share: float) -> None:
    path = folder / "journal.jsonl"
    os.truncate(path, int(path.stat().st_size * share))


def start(folder: Path, *extra: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.evaluating", str(folder), *extra]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_at(process: subprocess.Popen, journal: Path, size: int, sitting: int = 1) -> None:
    """SIGKILL as soon as the journal holds ``size`` bytes and the record knows of sitting number ``sitting``."""
    until = time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size >= size and len(read(journal.parent).sessions) >= sitting):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def assert_equal(folder: Path, whole: Path) -> None:
    for name in SAME:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    mine, other = read(folder), read(whole)
    for field in ("status", "scores", "headline", "measures", "depth_curve", "halting", "progress", "selection"):
        assert getattr(mine, field) == getattr(other, field), field
    assert mine.cost.flops_per_puzzle == other.cost.flops_per_puzzle


def test_killed_again_and_again_a_run_still_ends_the_same(tmp_path: Path, whole: Path) -> None:
    folder, size = tmp_path / "run", (whole / "journal.jsonl").stat().st_size
    points = sorted(np.random.default_rng(time.time_ns()).uniform(0.02, 0.95, 3) * size)
    print("killed at bytes", points)
    kill_at(start(folder), folder / "journal.jsonl", int(points[0]))
    assert read(folder).status == "started"
    for sitting, point in enumerate(points[1:], start=2):
        kill_at(start(folder, "--resume"), folder / "journal.jsonl", int(point), sitting)
    assert read(folder).status == "started"
    last = start(folder, "--resume")
    out, errors = last.communicate(timeout=120)
    assert out == "success\n", errors
    assert_equal(folder, whole)
    sessions = read(folder).sessions
    assert len(sessions) == 4
    assert [session.seconds is None for session in sessions] == [True, True, True, False]


@pytest.mark.parametrize("share", [0.0, 0.013, 0.3, 0.61, 0.999, 1.0])
def test_a_journal_cut_anywhere_is_finished_to_the_byte(stopped: Path, whole: Path, share: float) -> None:
    (stopped / "journal.jsonl").write_bytes((whole / "journal.jsonl").read_bytes())
    cut(stopped, share)
    kept = (stopped / "journal.jsonl").read_bytes()
    torn = len(kept) - kept.rfind(b"\n") - 1
    model = Propagator()
    record = resume(stopped, LatinTask(), model)
    assert_equal(stopped, whole)
    assert record.notes == ((f"dropped a torn last line of {torn} bytes from the journal",) if torn else ())
    missing = 216 - kept.count(b"\n")
    # The batches of 7 that lack a row are answered again, and no others.
    assert missing <= sum(model.batches) < missing + 7


def test_resuming_says_that_a_line_was_dropped(stopped: Path) -> None:
    done = start(stopped, "--resume")
    out, errors = done.communicate(timeout=120)
    assert out == "success\n"
    assert "dropped a torn last line" in errors


def test_damage_in_the_middle_is_refused_and_left_alone(stopped: Path) -> None:
    path = stopped / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"/", b"7", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match="damaged at line 5"):
        resume(stopped, LatinTask(), Propagator())
    assert path.read_bytes() == b"".join(lines)
    assert read(stopped).status == "started"


def test_other_weights_other_data_other_names_are_refused(stopped: Path) -> None:
    with pytest.raises(BadInput, match=r"weights of propagator changed .*sha256 aaaaaaaaaaaa, now bbbbbbbbbbbb"):
        resume(stopped, LatinTask(), Propagator(sha256="b" * 64))
    with pytest.raises(BadInput, match="data of task latin changed"):
        resume(stopped, LatinTask(seed=1), Propagator())
    other = ModelSpec(**{**vars(MODEL), "version": 2})
    with pytest.raises(BadInput, match="model propagator version 1, not with propagator version 2"):
        resume(stopped, LatinTask(), Propagator(spec=other))
    task = LatinTask(spec=type(TASK)(**{**vars(TASK), "version": 2}))
    with pytest.raises(BadInput, match="task latin version 1, not with latin version 2"):
        resume(stopped, task, Propagator())
    assert read(stopped).status == "started"


def test_a_finished_run_has_nothing_to_resume(whole: Path) -> None:
    with pytest.raises(BadInput, match="is finished"):
        resume(whole, LatinTask(), Propagator())


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_finished_run_that_lost_part_of_its_journal_is_made_whole(tmp_path: Path, whole: Path, share: float) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    cut(folder, share)
    assert read(folder).status == "success"
    assert resume(folder, LatinTask(), Propagator()).scores == read(whole).scores
    assert_equal(folder, whole)


def test_an_unfinished_journal_has_no_scores(stopped: Path) -> None:
    with pytest.raises(BadInput, match=r"ends in the middle of a row \(line \d+\)"):
        rescore(stopped, LatinTask())
    path = stopped / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(BadInput, match="of 216 rows: finish the run"):
        rescore(stopped, LatinTask())


@pytest.mark.parametrize("change", ["repeat", "foreign"])
def test_rows_that_do_not_belong_are_refused(stopped: Path, whole: Path, change: str) -> None:
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    if change == "repeat":
        lines[7] = lines[6]
        complaint = "of 216 rows|repeats a row"
    else:
        evaluate(LatinTask(groups=20, seed=5), Propagator(), PLAN, stopped / "other")
        lines[7] = (stopped / "other" / "journal.jsonl").read_bytes().splitlines(keepends=True)[-1]
        complaint = "did not select"
    (stopped / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match=complaint):
        rescore(stopped, LatinTask())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "broken JSON"),
        ('{"format": 9}', "not a plan"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 1, "plan": {"split": "test", "puzzles": [], "colour": 1}, "views": 1}', "is damaged"),
    ],
)
def test_a_broken_plan_is_one_line(stopped: Path, text: str, complaint: str) -> None:
    (stopped / "plan.json").write_text(text)
    with pytest.raises(BadInput, match=complaint):
        resume(stopped, LatinTask(), Propagator())


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = start(folder)
    try:
        journal = folder / "journal.jsonl"
        while not (journal.exists() and journal.stat().st_size):
            assert first.poll() is None, first.communicate()
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(BadInput, match="being written by another process"):
            run(folder, resumed=True)
        first.send_signal(signal.SIGCONT)
        assert first.communicate(timeout=120)[0] == "success\n"
    finally:
        first.kill()


def test_sigterm_leaves_a_cancelled_run(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    while not ((folder / "journal.jsonl").exists() and (folder / "journal.jsonl").stat().st_size):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=120)[0] == "cancelled\n"
    assert read(folder).status == "cancelled"
    run(folder, resumed=True, pause=0)
    assert_equal(folder, whole)
