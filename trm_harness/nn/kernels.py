"""Compiled blocks, and the way back to plain ones."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

KERNELS = 128
"""Kernels that one stack may be compiled to, one for each shape and use."""


def compile_stacks(network: torch.nn.Module, say: Callable[[str], None], dynamic: bool | None = False) -> bool:
    """Compile the network's stacks in place; where that cannot work here, say why and leave them as they are.

    ``dynamic`` as torch has it: ``False`` compiles anew for every shape, ``None`` goes over to kernels for any size
    when a second one comes. Returns whether it works.
    """
    if trouble := cache_trouble():
        say(f"torch.compile fails here ({trouble}): going on without it")
        return False
    try:
        torch.compile(_probe)(torch.ones(4))
    except Exception as error:
        torch._dynamo.reset()
        say(f"torch.compile fails here ({type(error).__name__}): going on without it")
        return False
    # A shape is compiled with and without gradients, and a curriculum has many; past torch's limit of 8 it gives up.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, KERNELS)
    for stack in network.stacks:
        stack.compile(dynamic=dynamic)
    return True


def bfloat16_factor(device: torch.device) -> float:
    """How many times as long a product takes in bfloat16 as in float32, by a trial; 1 where it is no CPU.

    Processors without instructions for it take some forty times as long.
    """
    if device.type != "cpu":
        return 1.0
    plain = torch.ones(512, 256)
    return _seconds(plain.bfloat16()) / _seconds(plain)


def _seconds(matrix: torch.Tensor) -> float:
    """The quickest of three products of a matrix with its transpose, after one that warms up."""
    matrix @ matrix.T
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        matrix @ matrix.T
        taken.append(time.perf_counter() - began)
    return min(taken)


@lru_cache(maxsize=1)
def cache_trouble() -> str:
    """Why torch's folder for compiled kernels cannot be written, in words; empty where it can.

    torch makes that folder as soon as it optimizes anything, compiled or not. Where it cannot be had, torch gets a
    temporary one that goes with the process.
    """
    name = "TORCHINDUCTOR_CACHE_DIR"
    # Where nothing is set torch makes torchinductor_<user> there; asking torch itself would make it.
    folder = os.environ.get(name) or tempfile.gettempdir()
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        os.environ[name] = tempfile.mkdtemp(prefix="torchinductor_")
        atexit.register(shutil.rmtree, os.environ[name], ignore_errors=True)
        return f"its folder {folder} cannot be written: {error.strerror}; {name} names another"


def _probe(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.silu(x) * 2


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Run compiled stacks as they are written: the arithmetic that ``eval`` uses, to the last bit."""
    with torch.compiler.set_stance("force_eager"):
        yield
