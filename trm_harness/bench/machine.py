"""What the machine is, and the most floating point operations a second that its matrix products reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trm_harness import environment
from trm_harness.bench.clock import by_turns

SIDES = {"cpu": (512, 1024), "cuda": (2048, 4096, 8192)}
"""Sides of the square matrices that are tried; others than these devices take the CPU's."""


def matmul_peak(device: str, dtype: torch.dtype, repeats: int = 5) -> float:
    """Floating point operations a second of the fastest square product: what model FLOPs utilisation is a share of."""
    return max(_rate(side, device, dtype, repeats) for side in SIDES.get(device.partition(":")[0], SIDES["cpu"]))


def waiting(device: str) -> Callable[[], None]:
    """Returns when ``device`` is idle."""
    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def describe(device: str) -> dict[str, Any]:
    """The device, its peak memory so far, and the environment, JSON-ready."""
    return {
        "device": device,
        "device_name": environment.device_name(device),
        "peak_memory_bytes": environment.peak_memory(device),
        "environment": environment.snapshot().model_dump(),
    }


def _rate(side: int, device: str, dtype: torch.dtype, repeats: int) -> float:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = max(1, int(2e8 / side**3))
    with torch.inference_mode():
        timing = by_turns({"product": lambda: [a @ b for _ in range(times)]}, repeats, waiting(device))["product"]
    return 2.0 * side**3 * times / min(timing.seconds)
