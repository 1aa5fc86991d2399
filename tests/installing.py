"""Packages of third parties: built offline, installed into a folder of their own, tested from outside the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def install(package: Path, place: Path) -> dict[str, str]:
    """Install ``package`` under ``place/site``; the environment in which it is found."""
    source, site = place / "source", place / "site"
    # Building leaves files behind: never in the tree.
    shutil.copytree(package, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    quiet = ("-q", "--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--target", str(site))
    run([sys.executable, "-m", "pip", "install", *quiet, str(source)], place)
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(place / "cache"),
    }
    environment.pop("TRM_HARNESS_DISABLE", None)
    return environment


def run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def harness(place: Path, environment: dict[str, str], *args: str) -> str:
    """Standard output of ``trm-harness ARGS``."""
    return run([sys.executable, "-m", "trm_harness", *args], place, environment)


def run_its_tests(package: Path, place: Path, environment: dict[str, str], *more: str) -> str:
    """Run a package's own tests against the installed package, from a copy that cannot see its sources."""
    shutil.copytree(package / "tests", place / "its-tests")
    (place / "its-tests" / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, "."]
    return run(command, place / "its-tests", environment)
