"""Compiled blocks, and the way back to plain ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def compile_stacks(network: torch.nn.Module, say: Callable[[str], None], dynamic: bool | None = False) -> bool:
    """Compile the network's stacks in place; where that cannot work here, say why and leave them as they are.

    ``dynamic`` as torch has it: ``False`` compiles anew for every shape, ``None`` goes over to kernels for any size
    when a second one comes. Returns whether it works.
    """
    try:
        torch.compile(_probe)(torch.ones(4))
    except Exception as error:
        torch._dynamo.reset()
        say(f"torch.compile fails here ({type(error).__name__}): going on without it")
        return False
    for stack in network.stacks:
        stack.compile(dynamic=dynamic)
    return True


def _probe(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.silu(x) * 2


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Run compiled stacks as they are written: the arithmetic that ``eval`` uses, to the last bit."""
    with torch.compiler.set_stance("force_eager"):
        yield
