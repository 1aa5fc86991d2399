"""The wheel: what is in it, and that it works from a folder that knows nothing of the source tree."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

pytest.importorskip("hatchling", reason="the dev extra brings it")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pip(*args: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("target")
    pip("install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel))
    return folder


def run(target: Path, cwd: Path, *args: str) -> str:
    """A process whose first import folder is the installed wheel; its standard output."""
    environment = {**os.environ, "PYTHONPATH": str(target)}
    environment.pop("TRM_HARNESS_DISABLE", None)
    done = subprocess.run(
        [sys.executable, *args], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_wheel_holds_everything_that_travels(wheel: Path) -> None:
    inside = set(ZipFile(wheel).namelist())
    expected = {
        place + str(path.relative_to(base))
        for base, folder, place in (
            (ROOT, "trm_harness", ""),
            (ROOT / "plugins", ".", ""),
            (ROOT, "zoo", "trm_harness/_shipped/"),
            (ROOT, "leaderboards", "trm_harness/_shipped/"),
        )
        for path in (base / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".tmp"
    }
    assert expected <= inside, sorted(expected - inside)
    assert any(name.endswith("card.toml") for name in inside)
    assert any(name.startswith("trm_harness/_shipped/leaderboards/reported/") for name in inside)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    roots = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}
    packages = {Path(name).name for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert roots == packages | {f"trm_harness-{PROJECT['project']['version']}.dist-info"}


def test_the_wheel_declares_its_doors_and_licence(wheel: Path) -> None:
    archive = ZipFile(wheel)
    names = archive.namelist()
    (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    parsed = configparser.ConfigParser()
    parsed.read_string(archive.read(entry_points).decode())
    assert dict(parsed["trm_harness"]) == PROJECT["project"]["entry-points"]["trm_harness"]
    assert dict(parsed["console_scripts"]) == PROJECT["project"]["scripts"]
    (licence,) = [name for name in names if name.endswith("/LICENSE")]
    assert "Apache License" in archive.read(licence).decode()


def test_the_installed_wheel_works_outside_the_checkout(target: Path, tmp_path: Path) -> None:
    assert run(target, tmp_path, "-c", "import trm_harness; print(trm_harness.__file__)").startswith(str(target))
    tasks = json.loads(run(target, tmp_path, "-m", "trm_harness", "tasks", "list", "--json"))
    assert {"arc1", "arc2", "sudoku-4x4"} <= {task["id"] for task in tasks}
    plugins = json.loads(run(target, tmp_path, "-m", "trm_harness", "plugins", "list", "--json"))
    entries = PROJECT["project"]["entry-points"]["trm_harness"]
    assert {plugin["name"] for plugin in plugins if plugin["status"] == "ok"} >= set(entries)


def test_the_installed_wheel_finds_its_own_folders(target: Path, tmp_path: Path) -> None:
    code = "from trm_harness.files import paths; print(paths.zoo(), paths.reported(), paths.checkout(), sep='\\n')"
    zoo, reported, checkout = run(target, tmp_path, "-c", code).splitlines()
    assert Path(zoo) == target / "trm_harness" / "_shipped" / "zoo"
    assert list(Path(zoo).glob("*/card.toml"))
    assert list(Path(reported).glob("*.csv"))
    assert checkout == "None"
