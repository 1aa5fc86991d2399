"""What the machine is, and the most floating point operations a second that its matrix products reach.

torch is imported where it computes: what is measured without it must not hold its memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trm_harness import machine
from trm_harness.bench.clock import Timing, by_turns, ratio
from trm_harness.record import environment

if TYPE_CHECKING:
    import torch

SIDES = {"cpu": (512, 1024), "cuda": (2048, 4096, 8192)}
"""Sides of the square matrices that are tried; others than these devices take the CPU's."""


PRODUCT = "matrix product"
"""Name of the square product among the turns."""
PRODUCT_S = 0.1
"""Seconds of one turn of it: long enough to meet the noise that the others meet."""


@dataclass(frozen=True)
class Product:
    """The fastest square matrix product, as one more work of the turns; ``flops`` are those of one ``run``.

    Measured beside a model on a busy machine it slows as the model does, so a share of it keeps its meaning.
    """

    flops: float
    run: Callable[[], object]

    def utilisation(self, flops: float, timing: Timing, own: Timing) -> float:
        """Share of the product's rate (``own``) that work of ``flops`` reaches: the median over the turns."""
        return flops / self.flops * ratio(timing, own)

    def peak(self, own: Timing) -> float:
        """Floating point operations a second of its fastest turn."""
        return self.flops / min(own.seconds)


def fastest_product(device: str, dtype: torch.dtype, repeats: int = 3) -> Product:
    """The product of the side with the highest rate: what model FLOPs utilisation is a share of."""
    sides = SIDES.get(device.partition(":")[0], SIDES["cpu"])
    rates = {side: _rate(side, device, dtype, repeats) for side in sides}
    side = max(rates, key=rates.__getitem__)
    times = max(1, round(rates[side] * PRODUCT_S / (2.0 * side**3)))
    return Product(2.0 * side**3 * times, _product(side, device, dtype, times))


def waiting(device: str) -> Callable[[], None]:
    """Returns when ``device`` is idle."""
    return lambda: machine.synchronize(device)


def clock_of(device: str) -> tuple[str, Callable[[], float]]:
    """``cpu`` or ``wall``, and the clock: CPU time where one thread does all, which a busy machine cannot stretch."""
    alone = not machine.is_accelerator(device) and machine.threads() == 1
    return ("cpu", time.process_time) if alone else ("wall", time.perf_counter)


def describe(device: str) -> dict[str, Any]:
    """The device and the environment, JSON-ready."""
    return {
        "device": device,
        "device_name": machine.device_name(device),
        "environment": environment.snapshot().model_dump(),
    }


def describe_used(device: str) -> dict[str, Any]:
    """:func:`describe` with the device's peak memory so far."""
    return describe(device) | {"peak_memory_bytes": machine.peak_memory(device)}


def _rate(side: int, device: str, dtype: torch.dtype, repeats: int) -> float:
    times = max(1, int(2e8 / side**3))
    work = {PRODUCT: _product(side, device, dtype, times)}
    # A moment's work: nothing to tell of.
    timing = by_turns(work, repeats, waiting(device), clock_of(device)[1], lambda what: None)[PRODUCT]
    return 2.0 * side**3 * times / min(timing.seconds)


def _product(side: int, device: str, dtype: torch.dtype, times: int) -> Callable[[], object]:
    import torch

    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)

    def run() -> None:
        for _ in range(times):
            torch.mm(a, b, out=out)

    return run
