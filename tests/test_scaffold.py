"""``plugins new``: what it writes is whole, installs, passes its own tests, and its names are found."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.installing import harness as installed
from tests.installing import install, run, run_its_tests
from trm_harness.errors import BadInput
from trm_harness.scaffold import FLAVOURS, KINDS, write

Harness = Callable[..., CompletedProcess[str]]

COMMON = {
    ".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml", "tests/test_laws.py",
}  # fmt: skip
OWN = {
    ("task", ""): {"__init__.py", "bundle.py", "files.py", "puzzles.py", "task.py"},
    ("model", "torch"): {"__init__.py", "model.py"},
    ("model", "numpy"): {"__init__.py", "model.py"},
    ("model", "solver"): {"__init__.py", "solver.py"},
    ("trainer", ""): {"__init__.py", "trainer.py"},
}


def test_every_kind_and_flavour_is_tried() -> None:
    assert {kind for kind, _ in OWN} == set(KINDS)
    assert {flavour for kind, flavour in OWN if kind == "model"} == set(FLAVOURS["model"])


def test_a_flavour_that_there_is_not_is_refused(tmp_path: Path) -> None:
    for kind, flavour in (("model", "jax"), ("task", "torch")):
        with pytest.raises(BadInput, match=f"there is no {flavour} {kind}"):
            write(kind, "light-up", tmp_path / "made", flavour=flavour)


@pytest.mark.parametrize(("kind", "flavour"), OWN)
def test_the_package_is_whole(kind: str, flavour: str, tmp_path: Path) -> None:
    folder = write(kind, "light-up", tmp_path / "made", author="A. N. Other", flavour=flavour)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    package = f"src/trm_{kind}_light_up"
    assert files >= COMMON | {f"{package}/{name}" for name in OWN[kind, flavour]}
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
@pytest.mark.parametrize(("kind", "flavour"), OWN)
def test_a_fresh_package_installs_and_its_tests_are_green(kind: str, flavour: str, tmp_path: Path) -> None:
    folder = write(kind, f"fresh-{kind}", tmp_path / "made", flavour=flavour)
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


@pytest.mark.slow
def test_the_sizes_of_a_task_follow_one_number_and_its_puzzles_can_be_bundled(tmp_path: Path) -> None:
    folder = write("task", "fresh-sizes", tmp_path / "made")
    manifest = folder / "src" / "trm_task_fresh_sizes" / "__init__.py"
    text = manifest.read_text()
    assert "\nSIZE = 4\n" in text
    manifest.write_text(text.replace("\nSIZE = 4\n", "\nSIZE = 6\n"))
    environment = install(folder, tmp_path)
    shown = json.loads(installed(tmp_path, environment, "tasks", "show", "fresh-sizes", "--json"))
    assert shown["seq_len"] == 36
    before = shown["sources"]["test"]["sha256"]
    run([sys.executable, "-m", "trm_task_fresh_sizes.bundle"], tmp_path, environment)
    data = tmp_path / "site" / "trm_task_fresh_sizes" / "data"
    counts = {file.stem: len(file.read_text().splitlines()) - 1 for file in data.iterdir()}
    assert counts == {"train": 2000, "validation": 100, "test": 200}
    after = json.loads(installed(tmp_path, environment, "tasks", "show", "fresh-sizes", "--json"))["sources"]["test"]
    # No two of the generated puzzles were images of one another, so the files hold the same ones.
    assert after == {**shown["sources"]["test"], "sha256": before}
    assert " passed" in run_its_tests(folder, tmp_path, environment)
