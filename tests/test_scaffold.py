"""``plugins new``: what it writes is whole, installs, passes its own tests, and its names are found."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.installing import harness as installed
from tests.installing import install, run_its_tests
from trm_harness.errors import BadInput
from trm_harness.scaffold import KINDS, write

Harness = Callable[..., CompletedProcess[str]]

COMMON = {
    ".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml", "tests/test_laws.py",
}  # fmt: skip
OWN = {
    "task": {"__init__.py", "files.py", "puzzles.py", "task.py"},
    "model": {"__init__.py", "model.py"},
    "trainer": {"__init__.py", "trainer.py"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_whole(kind: str, tmp_path: Path) -> None:
    folder = write(kind, "light-up", tmp_path / "made", author="A. N. Other")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    package = f"src/trm_{kind}_light_up"
    assert files >= COMMON | {f"{package}/{name}" for name in OWN[kind]}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "LICENSE":
            text = path.read_text()
            assert "$" not in text, path
            assert max(map(len, text.splitlines() or [""])) <= 121, path
            if path.suffix == ".py":
                ast.parse(text)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["trm_harness"] == {"light-up": f"trm_{kind}_light_up"}
    assert project["project"]["authors"] == [{"name": "A. N. Other"}]


@pytest.mark.parametrize(("licence", "words"), [("MIT", "A. N. Other"), ("Apache-2.0", "Apache License"), ("none", "")])
def test_the_licence_is_a_choice(licence: str, words: str, tmp_path: Path) -> None:
    folder = write("task", "queens", tmp_path / "made", author="A. N. Other", licence=licence)
    stated = tomllib.loads((folder / "pyproject.toml").read_text())["project"].get("license", "none")
    assert stated == licence
    assert (folder / "LICENSE").exists() == bool(words)
    assert not words or words in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("name", ["Queens", "light_up", "-x", "a--b", "", "../x", "1up"])
def test_a_name_that_is_no_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="use small letters, digits and single hyphens"):
        write("task", name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_nothing_is_written_over(tmp_path: Path, harness: Harness) -> None:
    done = harness("plugins", "new", "task", "queens", "--out", "q")
    assert done.returncode == 0
    assert done.stdout.startswith("wrote q\nnext: cd q && pip install -e '.[test]' && pytest && trm-harness tasks list")
    again = harness("plugins", "new", "task", "queens", "--out", "q")
    assert (again.returncode, again.stderr) == (2, "error: q exists already: choose another --out, or remove it\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_package_installs_and_its_tests_are_green(kind: str, tmp_path: Path) -> None:
    folder = write(kind, f"fresh-{kind}", tmp_path / "made")
    environment = install(folder, tmp_path)
    told = run_its_tests(folder, tmp_path, environment)
    assert " passed" in told
    shown = json.loads(installed(tmp_path, environment, "plugins", "show", f"fresh-{kind}", "--json"))
    assert shown[0]["provides"] == {kind: [f"fresh-{kind}"]}
    if kind == "task":
        assert f"\nfresh-{kind} " in installed(tmp_path, environment, "tasks", "list")
    if kind == "trainer":
        quick = ("--set", "batch_size=8", "--steps", "2", "--no-compile", "--out", "run")
        train = ("train", "--task", "sudoku-4x4", "--model", "trm-nano", "--trainer", f"fresh-{kind}")
        installed(tmp_path, environment, *train, *quick)
        assert (tmp_path / "run" / "weights.safetensors").is_file()
