"""The command line as a user meets it: real processes, real streams, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import trm_harness
from tests.conftest import Site
from tests.plugins import maze_tasks
from trm_harness.cli.main import VERBS
from trm_harness.cli.options import beside, facts, plain, table
from trm_task_sudoku import files as sudokus

Harness = Callable[..., CompletedProcess[str]]

START = [
    ("--help",),
    ("--version",),
    ("tasks", "list"),
    ("models", "list"),
    ("zoo", "list"),
    ("runs", "list"),
    ("plugins", "list"),
    ("tasks", "list", "--json"),
    ("eval", "--help"),
    ("tasks", "--help"),
]
"""What has to be quick."""

HEAVY = ("torch", "pandas", "matplotlib", "numpy", "pydantic", "rich", "scipy")
# Start-up allowed: seconds, or on a slow machine so many times what an interpreter with click alone takes.
SECONDS, TIMES = 0.25, 3.5

PROBE = """
import sys
from trm_harness.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print("HEAVY", sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)
"""

COMMANDS = """
import click
from trm_harness import BadInput, hookimpl

@click.command(short_help="Waits for a signal.")
def wait():
    import time
    print("ready", flush=True)
    time.sleep(60)

@click.command()
def refuse():
    raise BadInput("the file\\nis wrong")

@click.command()
def three():
    return 3

@click.command()
def bug():
    raise RuntimeError("a bug is not an input error")

@hookimpl
def register_commands(cli):
    for command in (wait, refuse, three, bug):
        cli.add_command(command)
"""


@pytest.mark.parametrize("args", START, ids=" ".join)
def test_starting_imports_nothing_heavy(args: tuple[str, ...], tmp_path: Path) -> None:
    probe = PROBE.replace("{heavy!r}", repr(set(HEAVY)))
    done = subprocess.run(
        [sys.executable, "-c", probe, *args], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "HEAVY []"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Python keeps compiled modules, as it does unless told not to, in their own folder."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled"))}


def _start(command: list[str], folder: Path, env: dict[str, str]) -> float:
    """Seconds that a command takes: wall, or of processor where other work holds the cores."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return min(time.perf_counter() - started, used.ru_utime + used.ru_stime)


@pytest.mark.parametrize("args", START, ids=" ".join)
def test_starting_is_quick(args: tuple[str, ...], tmp_path: Path, compiled: dict[str, str]) -> None:
    """Best of up to ten runs, each beside an interpreter that imports click alone: a slow machine is slow at both."""
    best = plain = float("inf")
    for _ in range(10):
        plain = min(plain, _start([sys.executable, "-c", "import click"], tmp_path, compiled))
        best = min(best, _start([sys.executable, "-m", "trm_harness", *args], tmp_path, compiled))
        allowed = max(SECONDS, TIMES * plain)
        if best < allowed:
            return
    pytest.fail(f"{' '.join(args)}: {best:.3f} s at best, {allowed:.3f} s allowed")


def test_help_names_every_verb(harness: Harness) -> None:
    shown = harness("--help")
    assert shown.returncode == 0
    assert all(re.search(rf"^  {verb} ", shown.stdout, re.MULTILINE) for verb in VERBS)
    assert harness().stdout == shown.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_agrees_with_the_table(harness: Harness, verb: str) -> None:
    shown = harness(verb, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: trm-harness {verb}")


def test_version(harness: Harness) -> None:
    assert re.fullmatch(r"trm-harness \d+\.\d+\.\d+\S*\n", harness("--version").stdout)


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (("taks", "list"), "error: unknown command 'taks': did you mean 'tasks'?", "trm-harness --help"),
        (("tasks", "lst"), "error: unknown command 'lst': did you mean 'list'?", "trm-harness tasks --help"),
        (("tasks", "list", "--jsn"), "error: No such option", "trm-harness tasks list --help"),
        (("tasks", "show"), "error: Missing argument 'TASK'.", "trm-harness tasks show --help"),
        (("tasks", "sample", "arc1", "--n", "0"), "error: Invalid value for '-n' / '--n'", "tasks sample --help"),
    ],
)
def test_usage_errors_are_one_line_and_a_hint(harness: Harness, args: tuple[str, ...], message: str, hint: str) -> None:
    done = harness(*args)
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert first.startswith(message)
    assert hint in second


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tasks", "show", "ark1"), "error: unknown task 'ark1': did you mean 'arc1'"),
        (("models", "show", "trm-8m"), "error: unknown model 'trm-8m': did you mean 'trm-7m'"),
        (("models", "list", "--task", "nope"), "error: unknown task 'nope'"),
        (("plugins", "show", "arch"), "error: unknown plugin 'arch': did you mean 'arc'?"),
        (("tasks", "sample", "arc1", "--split", "tset"), "error: task 'arc1' has no split 'tset': use "),
        (("tasks", "show", "arc1", "--data", "not/there"), "error: "),
    ],
)
def test_bad_names_are_one_line(harness: Harness, args: tuple[str, ...], message: str) -> None:
    done = harness(*args)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith(message)


def test_plugins_add_commands(site: Site, harness: Harness) -> None:
    site.install("extra", COMMANDS)
    assert re.search(r"Commands of plugins:\n(.*\n)*  wait +Waits for a signal\.", harness("--help").stdout)
    refused = harness("refuse")
    assert (refused.returncode, refused.stderr) == (2, "error: the file is wrong\n")
    assert harness("three").returncode == 3
    bug = harness("bug")
    assert bug.returncode == 1
    assert "Traceback" in bug.stderr
    assert "did you mean 'refuse'" in harness("refuze").stderr


def test_a_command_that_is_taken_quarantines_its_plugin(site: Site, harness: Harness) -> None:
    site.install("thief", COMMANDS.replace("def wait()", "def tasks()").replace("(wait,", "(tasks,"))
    shown = harness("--help")
    assert shown.returncode == 0
    assert "its commands are taken: 'tasks' by trm-harness itself" in shown.stderr
    assert "refuse" not in shown.stdout


def test_ctrl_c_is_one_line_and_130(site: Site, tmp_path: Path) -> None:
    site.install("extra", COMMANDS)
    command = [sys.executable, "-m", "trm_harness", "wait"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")


@pytest.mark.parametrize("args", [("plugins", "list", "--json"), ("--help",)], ids=" ".join)
def test_a_reader_that_leaves_is_no_news(args: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trm_harness", *args]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert (process.wait(timeout=60), errors) == (1, b"")


def test_listings_say_who_brought_a_name(harness: Harness) -> None:
    tasks = {task["id"]: task for task in json.loads(harness("tasks", "list", "--json").stdout)}
    assert tasks["arc1"]["plugin"] == "arc"
    assert tasks["arc1"]["distribution"] == "trm-harness"
    models = {model["id"]: model for model in json.loads(harness("models", "list", "--json").stdout)}
    assert models["trm-7m"]["needs_weights"] is True
    assert "trm-7m" in harness("models", "list", "--task", "arc1").stdout
    shown = json.loads(harness("models", "show", "trm-7m", "--json").stdout)
    assert "arc1" in shown["answers"]


def test_a_task_shows_where_its_data_come_from(harness: Harness) -> None:
    shown = json.loads(harness("tasks", "show", "sudoku-4x4", "--json").stdout)
    for split in shown["splits"]:
        source = shown["sources"][split]
        assert re.fullmatch(r"(sha256:)?[0-9a-f]{64}", source["sha256"])
        assert source["n_puzzles"] > 0
    text = harness("tasks", "show", "sudoku-4x4").stdout
    assert shown["sources"]["test"]["sha256"] in text


def test_samples_are_seeded_and_plain_off_a_terminal(harness: Harness) -> None:
    args = ("tasks", "sample", "arc1", "--n", "2", "--split", "evaluation", "--json")
    first, again = (json.loads(harness(*args, "--seed", "5").stdout) for _ in range(2))
    assert first == again
    assert len({puzzle["id"] for puzzle in first}) == 2
    assert first != json.loads(harness(*args, "--seed", "6").stdout)
    text = harness("tasks", "sample", "arc1", "--split", "evaluation", "--seed", "5").stdout
    assert "\x1b" not in text
    assert "demonstration 1" in text


def test_samples_are_coloured_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "trm_harness", "tasks", "sample", "sudoku-4x4"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        text = b""
        # Linux ends a pseudo-terminal with EIO rather than an empty read.
        try:
            while chunk := os.read(ours, 65536):
                text += chunk
        except OSError:
            pass
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert text.count(b"\x1b[") > 2 * 16


def test_doctor_reports_in_json(harness: Harness) -> None:
    done = harness("doctor", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    checks = {finding["check"]: finding for finding in report["findings"]}
    assert checks["device cpu"]["status"] == "ok"
    assert checks["plugin arc"]["status"] == "ok"
    assert {"trm-harness", "python", "torch", "cards zoo", "claims reported"} <= set(checks)
    assert done.returncode == 0, [finding for finding in report["findings"] if finding["status"] == "fail"]


def test_tables_align() -> None:
    text = table([("a", 1, 0.25), ("long", 20, 3.0)], ("NAME", "N", "X"))
    assert text.splitlines() == ["NAME   N    X", "a      1  0.2", "long  20  3.0"]
    assert table([], ("NAME",)) == "NAME"


def test_facts_leave_out_what_is_empty() -> None:
    assert facts({"a": 1, "longer": "", "b": ("x", "y"), "c": {"k": 2}}) == "a  1\nb  x, y\nc  k=2"


def test_plain_values_are_json() -> None:
    value = {"path": Path("a"), "nan": float("nan"), "grid": np.eye(2, dtype=np.uint8), "n": np.int64(3), "t": (True,)}
    assert plain(value) == {"path": "a", "nan": None, "grid": [[1, 0], [0, 1]], "n": 3, "t": [True]}


def test_blocks_of_unequal_height_stand_side_by_side() -> None:
    assert beside(["12", "34"], ["5"]) == ["12  ->  5", "34"]
    assert beside(["1"], ["2", "3"]) == ["1  ->  2", "       3"]


@pytest.mark.parametrize(
    ("task", "name"),
    [("sudoku-4x4", "test.csv"), ("sudoku-4x4", "train.csv"), ("sudoku-extreme", "test.csv"), ("maze-8x8", "test.csv")],
)
def test_own_data_of_one_split_can_be_shown(harness: Harness, tmp_path: Path, task: str, name: str) -> None:
    puzzles = trm_harness.load_task("sudoku-9x9" if task == "sudoku-extreme" else task).puzzles("test")[:12]
    write = maze_tasks.write if task.startswith("maze") else sudokus.write
    (tmp_path / "own").mkdir()
    write(tmp_path / "own" / name, "mine", puzzles)
    done = harness("tasks", "show", task, "--data", f"own/{name}")
    assert done.returncode == 0, done.stderr
    assert f"split {name.removesuffix('.csv')}\nname" in done.stdout
    assert f"not among own/{name}" in done.stdout
    done = harness("tasks", "show", task, "--data", "own", "--json")
    assert [split for split, source in json.loads(done.stdout)["sources"].items() if source] == [name[:-4]]
    (tmp_path / "empty").mkdir()
    done = harness("tasks", "show", task, "--data", "empty")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_quiet_and_verbose_stand_before_a_verb_and_behind_it(
    harness: Callable[..., CompletedProcess[str]],
) -> None:
    # In float32, for on some processors bfloat16 brings a warning, which is no progress.
    small = ("--set", "batch_size=4", "--set", "validation_limit=4", "--steps", "1", "--set", "dtype=float32")
    train = ("train", "--task", "sudoku-4x4", "--model", "trm-nano", "--device", "cpu", "--no-compile", *small)
    loud = harness(*train, "--out", "loud")
    assert "getting ready" in loud.stderr
    for words in (("-q", *train, "--out", "one"), (*train, "--out", "two", "--quiet")):
        done = harness(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("1 steps in")
    traced = harness("tasks", "list", "-v")
    assert traced.returncode == 0
    assert "register_tasks" in traced.stderr
    assert traced.stdout == harness("tasks", "list").stdout
