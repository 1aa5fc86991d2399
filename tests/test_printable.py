"""Text from other people's files cannot steer the terminal that it is shown on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.conftest import ROOT
from trm_harness.cli.options import facts, printable, table

Harness = Callable[..., CompletedProcess[str]]
CLEAR = "\x1b[2J\x1b]0;mine\x07"


def test_control_characters_are_spelled_out() -> None:
    assert printable(f"a{CLEAR}b\x9b\u202e\ud800") == "a\\x1b[2J\\x1b]0;mine\\x07b\\x9b\\x202e\\xd800"
    assert printable("tabs\tand\nbreaks, ünïcode, 漢字") == "tabs\tand\nbreaks, ünïcode, 漢字"
    assert "\x1b" not in table([(CLEAR, 1)], ("A", "B")) + facts({"a": CLEAR, "b": (CLEAR,), "c": {CLEAR: CLEAR}})


def test_a_record_is_shown_without_them(tmp_path: Path, harness: Harness) -> None:
    source = next((ROOT / "leaderboards" / "records" / "sudoku-4x4").rglob("run.json"))
    record = json.loads(source.read_text())
    record["model"]["card"] = record["task"]["source"] = record["message"] = f"evil{CLEAR}"
    (tmp_path / "runs" / "evil").mkdir(parents=True)
    (tmp_path / "runs" / "evil" / "run.json").write_text(json.dumps(record))
    for command in (["show", "last"], ["list"]):
        done = harness("runs", *command)
        assert done.returncode == 0, done.stderr
        assert "evil\\x1b[2J" in done.stdout
        assert "\x1b" not in done.stdout


def test_an_error_is_shown_without_them(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "t.json").write_text(json.dumps({"train": [{"input": [[CLEAR]]}], "test": []}))
    done = harness("tasks", "sample", "arc1", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
