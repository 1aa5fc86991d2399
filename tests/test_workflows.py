"""The leaderboard's workflow parses, its jobs hang together, and every command in it exists with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.conftest import ROOT
from trm_harness.cli.main import cli

FILES = [ROOT / ".github/workflows/leaderboard.yml"]


def workflow(file: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key "on" as a truth value.
    return {("on" if key is True else key): value for key, value in yaml.safe_load(file.read_text()).items()}


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in workflow(file)["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_jobs_hang_together(file: Path) -> None:
    told = workflow(file)
    assert told["on"]
    assert told["jobs"]
    for job in told["jobs"].values():
        assert "runs-on" in job
        assert "timeout-minutes" in job
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= told["jobs"].keys()
    for step in steps(file):
        assert ("run" in step) != ("uses" in step), step
        # What an event carries is somebody's text: it comes in by the environment, never as part of a script.
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]), step


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_command_exists(file: Path) -> None:
    lines = [line.strip() for step in steps(file) for line in step.get("run", "").splitlines()]
    ours = [shlex.split(line) for line in lines if line.startswith("trm-harness ")]
    assert ours
    for words in ours:
        command: click.Command = cli
        rest = words[1:]
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found, words
            command, rest = found, rest[1:]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


def test_the_board_is_checked_and_published() -> None:
    told = workflow(ROOT / ".github/workflows/leaderboard.yml")
    check = next(step["run"] for step in told["jobs"]["records"]["steps"] if "leaderboard check" in step.get("run", ""))
    assert "--base" in check
    # Only what publishes may write, and only on the main branch.
    assert told["permissions"] == {"contents": "read"}
    writers = [name for name, job in told["jobs"].items() if "write" in str(job.get("permissions", ""))]
    assert writers == ["publish"]
    assert "refs/heads/main" in told["jobs"]["publish"]["if"]
