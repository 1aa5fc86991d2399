"""``tasks pull`` in a real process against a hub on this machine: once with the network, then without."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub_server import serving

REPOSITORY = "sapientinc/sudoku-extreme"
UNPINNED = (
    "import sys, trm_task_sudoku; trm_task_sudoku.EXTREME.update(revision='main', files={}); "
    "from trm_harness.cli.main import main; sys.argv[0] = 'trm-harness'; main()"
)
"""The command line with the task without pins: what a hub here serves is not the published files."""
SOLVED = "123456789456789123789123456214365897365897214897214365531642978642978531978531642"
LINES = "".join(f"made,{'.' * n}{SOLVED[n:]},{SOLVED},{n}\n" for n in range(1, 9))


def command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", UNPINNED, *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_hub_data_is_pulled_once_and_used_offline(tmp_path: Path) -> None:
    with serving() as hub:
        hub.large = True
        for name in ("train.csv", "test.csv"):
            hub.put(REPOSITORY, name, ("source,question,answer,rating\n" + LINES).encode())
        online = hub.environment(tmp_path / "home")
        first = command("tasks", "pull", "sudoku-extreme", "--json", **online)
        assert first.returncode == 0, first.stderr
        assert json.loads(first.stdout)["test"]["n_puzzles"] == 8
    offline = online | {"HF_HUB_OFFLINE": "1"}
    assert command("tasks", "pull", "sudoku-extreme", "--json", **offline).stdout == first.stdout


def test_files_other_than_the_pinned_ones_are_refused_with_one_line(tmp_path: Path, harness: Callable) -> None:
    with serving() as hub:
        for name in ("train.csv", "test.csv"):
            hub.put(REPOSITORY, name, ("source,question,answer,rating\n" + LINES).encode())
        done = harness("tasks", "pull", "sudoku-extreme", **hub.environment(tmp_path / "home"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "nothing of it was kept" in done.stderr


def test_without_hub_and_cache_one_line_says_what_to_do(tmp_path: Path, harness: Callable) -> None:
    offline = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = harness("tasks", "pull", "sudoku-extreme", **offline)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--data" in done.stderr


@pytest.mark.parametrize("task", ["sudoku-extreme", "maze-hard"])
def test_showing_a_task_downloads_nothing_and_says_how_it_is_pinned(
    task: str, tmp_path: Path, harness: Callable
) -> None:
    with serving() as hub:
        done = harness("tasks", "show", task, **hub.environment(tmp_path / "home"))
        assert not hub.asked
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"trm-harness tasks pull {task}") == 3
    assert len(re.findall(r"\b[0-9a-f]{40}\b", done.stdout)) == 1
    assert len(set(re.findall(r"\b[0-9a-f]{64}\b", done.stdout))) >= 2


def test_bundled_data_needs_no_hub(harness: Callable) -> None:
    done = harness("tasks", "pull", "arc1", HF_HUB_OFFLINE="1")
    assert done.returncode == 0
    assert "arcagi" in done.stdout
