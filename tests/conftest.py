"""Fixtures for every room: the command line in a real process, and real third-party plugins in a temporary folder."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_serial = itertools.count()

# Side by side, tests share the cores: a process of each takes its part, before torch asks how many there are.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    beside = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // beside)))

# A shell that starts the tests in the background has Ctrl-C ignored, which every process started here would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test sees, or adds to, the cards of whoever runs it.
os.environ["TRM_HARNESS_ZOO"] = str(ROOT / "tests" / "no-cards")


@dataclass
class Site:
    """A folder of installed distributions, as ``pip install --target`` leaves it."""

    folder: Path
    modules: list[str] = field(default_factory=list)

    def install(self, name: str, source: str, distribution: str = "", version: str = "1.0") -> str:
        """Install a one-module distribution whose entry point ``name`` is that module; returns the module's name.

        ``{module}`` in ``source`` becomes the module's name, which no other test uses.
        """
        module = f"third_party_{next(_serial)}"
        distribution = distribution or f"{name}-dist"
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(source.replace("{module}", module))
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[trm_harness]\n{name} = {module}\n")
        return module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty folder of distributions on ``sys.path`` here and in every process the test starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.delenv("TRM_HARNESS_DISABLE", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])))
    return Site(folder)


@pytest.fixture
def harness(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``trm-harness ARGS`` in its own process, in an empty working folder; both streams are captured."""

    def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trm_harness", *args],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
