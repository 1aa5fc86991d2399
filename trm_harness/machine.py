"""The machine: its devices, cores and memory, as torch and the system tell.

torch is asked only where a device needs it or where it is loaded already, so that solvers run without it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import psutil

from trm_harness.errors import BadInput

_DEVICE = re.compile(r"[a-z]+(:\d+)?")
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")
"""What torch calls the instructions of a CPU that multiply bfloat16."""


def resolve_device(name: str, uses_torch: bool = True) -> str:
    """The torch device behind ``auto``, ``cpu`` or an accelerator's name (``cuda``, ``cuda:1``, ``mps``, ``xpu``).

    ``BadInput`` if this machine has none of that name.
    """
    kind, _, place = name.partition(":")
    if not _DEVICE.fullmatch(name):
        raise BadInput(f"device '{name}' does not exist: use auto, cpu or an accelerator that torch knows")
    if kind == "cpu" or (name == "auto" and not uses_torch):
        return "cpu"
    if name != "auto":
        _check_kind(name)
        if not uses_torch:
            return "cpu"
    here = accelerator()
    if name == "auto":
        return here or "cpu"
    if kind != here:
        raise BadInput(f"this machine has no {kind} device that torch can use: use --device {here or 'cpu'} or auto")
    if place and int(place) >= device_count():
        raise BadInput(f"this machine has {device_count()} {kind} devices: {name} is none of them")
    return name


def accelerator() -> str:
    """The kind of accelerator that torch can use here (``cuda``, ``mps``, ``xpu`` ...); empty for none."""
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found is not None else ""


def device_count() -> int:
    """Accelerators of this machine."""
    import torch

    return torch.accelerator.device_count() if accelerator() else 0


def is_accelerator(device: str) -> bool:
    """Whether work on ``device`` goes on while the host does something else."""
    return device.partition(":")[0] != "cpu"


def usual_dtype(device: str) -> str:
    """The number format that ``auto`` means: bfloat16, as the reference has it, where ``device`` has it in hardware."""
    return "bfloat16" if _multiplies_bfloat16(device.partition(":")[0]) else "float32"


def _multiplies_bfloat16(kind: str) -> bool:
    import torch

    if kind == "cpu":
        told = getattr(torch.cpu, "get_capabilities", None)
        return any(map((told() if told else {}).get, _BFLOAT16))
    supported = getattr(torch.get_device_module(kind), "is_bf16_supported", None)
    return bool(supported()) if supported else False


def _check_kind(name: str) -> None:
    import torch

    try:
        torch.device(name)
    except RuntimeError:
        known = ", ".join(filter(None, ("auto", "cpu", accelerator())))
        raise BadInput(f"device '{name}' does not exist: use one of {known}") from None


def synchronize(device: str) -> None:
    """Wait until ``device`` has nothing left to do."""
    if is_accelerator(device):
        import torch

        torch.accelerator.synchronize(device)


def cores() -> int:
    """CPU cores that this process may use."""
    told = getattr(psutil.Process(), "cpu_affinity", None)
    return len(told()) if told else psutil.cpu_count() or 1


def threads() -> int:
    """CPU threads that torch computes with; 1 where it is not loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else 1


MOST_PER_CORE = 16
"""Threads or processes a core that somebody may want on purpose; far more than helps, far fewer than torch dies of."""


def use_threads(count: int) -> None:
    """Let torch compute with ``count`` CPU threads. ``BadInput`` for more than a machine can make sense of."""
    import torch

    _check_share(count, "threads")
    torch.set_num_threads(count)


def check_processes(count: int) -> None:
    """``BadInput`` for more processes than a machine can make sense of."""
    _check_share(count, "processes")


def _check_share(count: int, what: str) -> None:
    cores = psutil.cpu_count() or 1
    most = max(64, MOST_PER_CORE * cores)
    if not 0 <= count <= most:
        raise BadInput(f"{count:,} {what} make no sense on a machine of {cores} cores: use {most} at most")


def share_cores(processes: int) -> None:
    """Let torch use this process's share of the cores."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // processes))


def own_device(kind: str, place: int) -> str:
    """The accelerator of the process at ``place``: another one for each, in turn where there are more processes."""
    return f"{kind}:{place % device_count()}"


def device_name(device: str) -> str:
    """The device by its maker's name."""
    if not is_accelerator(device):
        return processor()
    told = _of_module(device, "get_device_name")
    return told(device) if told else f"{device} ({processor()})"


def free_memory(device: str) -> int:
    """Bytes that a run may plan with on ``device`` right now: the host's where torch does not tell the device's."""
    told = _of_module(device, "mem_get_info")
    return int(told(device)[0] if told else psutil.virtual_memory().available)


def peak_memory(device: str) -> int:
    """Most bytes held so far: torch's allocations on an accelerator that tells, else this process's resident memory."""
    told = _of_module(device, "max_memory_allocated")
    if told:
        return int(told(device))
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().rss)
    # Linux counts kilobytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * scale


KEPT = 256 << 20
"""Bytes of freed memory that evaluation on a CPU keeps: the arrays of a batch, with room."""
LARGEST_KEPT = 32 << 20
"""Bytes of the largest array that can be kept: no larger one is taken by glibc."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Whether freed memory stays with this process for the next array: glibc can be told so, others are left alone.

    By default arrays of some megabytes go back to the system as soon as they are free, which clears every page of the
    next one: half of the time of a network with wide activations. It holds for all that the process does. What a user
    set of it by the environment stays.
    """
    if any(name in os.environ for name in _OWN_SETTINGS) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no mallopt: macOS, Windows
        return False
    return bool(tell(_MMAP_THRESHOLD, LARGEST_KEPT) and tell(_TRIM_THRESHOLD, KEPT))


def _of_module(device: str, name: str) -> Any:
    """A function of torch's module for an accelerator; ``None`` for a CPU, and where the module has none."""
    if not is_accelerator(device):
        return None
    import torch

    return getattr(torch.get_device_module(device), name, None)


def processor() -> str:
    """The CPU by its maker's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
