"""One-file plugins, a project's own section, tracing, the plugin API's version, and completion, in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.conftest import Site
from trm_harness.plugins.check_log import KIT_VERSION

Harness = Callable[..., CompletedProcess[str]]

ONE_FILE = """
from trm_harness import ModelSpec, hookimpl

PLUGIN_API = 1

@hookimpl
def register_models(register):
    register(ModelSpec(
        id="corner", version=1, target="my_model:build", title="Corner", description="Answers the input, corner first.",
        family="trivial",
    ))

def build(request):
    import numpy as np
    from trm_harness import Cost, ModelFacts, Prediction

    class Corner:
        spec, steps, encoding = request.spec, 1, {}
        facts = staticmethod(ModelFacts)
        begin = staticmethod(lambda batch: batch)
        select = staticmethod(lambda batch, rows: batch.select(rows))
        cost = staticmethod(lambda length: Cost())

        def step(self, batch):
            answers = tuple(puzzle.input.copy() for puzzle in batch.puzzles)
            return batch, Prediction(None, np.ones(batch.size, np.float32), answers)

    return Corner()
"""

PROJECT = '[project]\nname = "mine"\n\n[tool.trm-harness]\nplugins = ["my_model.py"]\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TRM_HARNESS_DISABLE", "TRM_HARNESS_PLUGINS", "TRM_HARNESS_TRACE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "my_model.py"
    path.write_text(ONE_FILE)
    return path


@pytest.mark.parametrize("behind", [False, True])
def test_a_file_is_a_plugin_wherever_the_option_stands(file: Path, harness: Harness, behind: bool) -> None:
    args = ("eval", "--task", "sudoku-4x4", "--model", "corner", "--limit", "2", "--out", "run")
    option = ("--plugin", "./my_model.py")
    done = harness(*args, *option) if behind else harness(*option, *args)
    assert done.returncode == 0, done.stderr
    assert "note: running" not in done.stderr
    shown = json.loads(harness(*option, "plugins", "show", "my_model", "--json").stdout)
    assert (shown[0]["distribution"], shown[0]["status"], shown[0]["hooks"]) == (str(file), "ok", ["register_models"])
    assert "corner" not in harness("models", "list").stdout


def test_a_resumed_run_names_the_plugin_that_it_lacks(file: Path, harness: Harness, tmp_path: Path) -> None:
    option = ("--plugin", "./my_model.py")
    args = ("eval", "--task", "sudoku-4x4", "--model", "corner", "--limit", "2", "--out", "run")
    assert harness(*option, *args).returncode == 0
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    without = harness("eval", "--resume", "run")
    assert without.returncode == 2
    assert without.stderr.splitlines()[-1].endswith("run was begun with --plugin ./my_model.py: give that again")
    assert harness(*option, "eval", "--resume", "run").returncode == 0


def test_the_kit_checks_a_file_and_stamps_it_until_it_changes(file: Path, harness: Harness, tmp_path: Path) -> None:
    option, cache = ("--plugin", "my_model.py"), {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = harness(*option, "plugins", "check", "corner", **cache)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       model corner  batch_size_changes_nothing" in done.stdout
    kit = json.loads(harness(*option, "plugins", "list", "--json", **cache).stdout)
    assert {row["name"]: row["kit_passed"] for row in kit}["my_model"] == ""
    harness(*option, "plugins", "check", "my_model", **cache)

    def stamp() -> str:
        rows = json.loads(harness(*option, "plugins", "list", "--json", **cache).stdout)
        return {row["name"]: row["kit_passed"] for row in rows}["my_model"]

    assert stamp() == f"kit {KIT_VERSION}"
    file.write_text(ONE_FILE.replace("np.ones(batch.size", "batch.size + np.ones(batch.size"))
    assert stamp() == "stale"
    broken = harness(*option, "plugins", "check", "my_model", "--json", **cache)
    assert broken.returncode == 1
    laws = {row["law"] for row in json.loads(broken.stdout)["checks"] if row["status"] == "broken"}
    assert "batch_size_changes_nothing" in laws
    assert stamp() == ""


def test_a_project_names_its_plugins_and_the_harness_says_that_it_runs_them(
    file: Path, tmp_path: Path, harness: Harness
) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    done = harness("models", "list")
    assert "corner" in done.stdout
    assert done.stderr == (
        f"note: running {file}, a plugin named in {tmp_path / 'pyproject.toml'} (TRM_HARNESS_DISABLE=* stops it)\n"
    )
    off = harness("models", "list", TRM_HARNESS_DISABLE="*")
    assert (off.returncode, off.stderr) == (0, "")
    assert "corner" not in off.stdout
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    command = [sys.executable, "-m", "trm_harness", "models", "list"]
    assert "corner" in subprocess.run(command, cwd=below, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.trm-harness]\nplugins = ["nowhere.py"]\n', "there is no plugin file"),
        ('[tool.trm-harness]\nplugins = ["../outside.py"]\n', "lies outside the project: give it with --plugin"),
        ('[tool.trm-harness]\nplugins = "my_model.py"\n', "must be a list of file names"),
        ("[tool.trm-harness]\nplugin = []\n", "has an unknown key 'plugin'"),
        ("[tool.trm-harness]\n= 3\n", "is no TOML"),
    ],
)
def test_a_bad_section_is_one_line(file: Path, tmp_path: Path, harness: Harness, text: str, message: str) -> None:
    inside = tmp_path / "project"
    inside.mkdir()
    (tmp_path / "outside.py").write_text(ONE_FILE)
    (inside / "pyproject.toml").write_text(text)
    command = [sys.executable, "-m", "trm_harness", "models", "list"]
    done = subprocess.run(command, cwd=inside, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_project_of_somebody_else_is_not_run(file: Path, tmp_path: Path, harness: Harness) -> None:
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    os.chown(tmp_path / "pyproject.toml", 12345, 12345)
    done = harness("models", "list")
    assert "belongs to another user" in done.stderr
    assert "corner" not in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [("json.py", "is that of another module: rename json.py"), ("my-model.py", "name it like a Python module")],
)
def test_a_name_that_python_cannot_take_is_one_line(
    file: Path, tmp_path: Path, harness: Harness, name: str, message: str
) -> None:
    (tmp_path / name).write_text(ONE_FILE)
    done = harness("--plugin", name, "models", "list")
    assert done.returncode == 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert harness("--plugin", "nowhere.py", "models", "list").returncode == 2


def test_every_hook_call_is_traced(file: Path, harness: Harness) -> None:
    done = harness("--plugin", "my_model.py", "models", "list", TRM_HARNESS_TRACE="1")
    lines = [line for line in done.stderr.splitlines() if "my_model" in line]
    assert [line.partition(" of ")[0] for line in lines if " of " in line] == [
        "trace: import",
        "trace: register_models",
    ]
    assert any("model 'corner' registered by plugin 'my_model'" in line and "ok, " in line for line in lines)
    assert harness("models", "list", TRM_HARNESS_TRACE="0").stderr == ""


@pytest.mark.parametrize(
    ("api", "message"),
    [
        ("2", "it is written for plugin API 2, this trm-harness has 1: upgrade trm-harness"),
        ("0", "it is written for plugin API 0, this trm-harness takes 1 to 1: upgrade the plugin"),
        ("'new'", "PLUGIN_API is 'new': it must be the number of a plugin API"),
    ],
)
def test_a_plugin_of_another_api_is_told_what_to_do(site: Site, harness: Harness, api: str, message: str) -> None:
    site.install("other", ONE_FILE.replace("PLUGIN_API = 1", f"PLUGIN_API = {api}"))
    done = harness("plugins", "list")
    assert done.returncode == 0
    assert message in done.stderr
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("trm-harness eval --task sudoku-4", {"sudoku-4x4"}),
        ("trm-harness eval --model trm-nano.sudoku-4", {"trm-nano.sudoku-4x4"}),
        ("trm-harness train --trainer tor", {"torch"}),
        ("trm-harness tasks show maze-h", {"maze-hard"}),
        ("trm-harness eval --model copy", {"copy-input"}),
        ("trm-harness zoo show trm-nano.sudoku-4", {"trm-nano.sudoku-4x4"}),
        ("trm-harness plugins check sud", {"sudoku"}),
        ("trm-harness lea", {"leaderboard"}),
    ],
)
def test_shells_complete_verbs_and_names(file: Path, typed: str, found: set[str]) -> None:
    words = typed.split()
    environment = {**os.environ, "_TRM_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": typed}
    environment["COMP_CWORD"] = str(len(words) - 1)
    code = "import sys; from trm_harness.cli.main import main; sys.argv = ['trm-harness']; "
    heavy = "import atexit; atexit.register(lambda: print('HEAVY', {'torch', 'numpy', 'pandas'} & set(sys.modules)));"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}{heavy} main()"], env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert {line.partition(",")[2] for line in lines[:-1]} == found, done.stderr
    assert lines[-1] == "HEAVY set()"
