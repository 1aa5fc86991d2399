"""DeepSpeed as the harness' engine: it owns the dense network's gradients and optimizer.

The puzzle table is a buffer that no ZeRO stage knows: the learner steps it on every process with everybody's gradients,
which it gathers through this engine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from trm_harness.errors import BadInput
from trm_harness.train.engine import load_optimizer_state, make_optimizers, optimizer_state
from trm_harness.train.recipe import Recipe
from trm_trainer_deepspeed.config import make_config

_SHARED_MEMORY_OP = "deepspeed_shm_comm"


def start(device: str) -> Any:
    """Import DeepSpeed and join the process group, alone where no launcher set one up; returns the package."""
    kind = device.partition(":")[0]
    if kind not in ("cuda", "cpu"):
        # It would move the network to a device of its own choice.
        raise BadInput(f"--trainer deepspeed runs on cuda and cpu, not on {kind}: leave --trainer out")
    os.environ.setdefault("DS_ACCELERATOR", kind)
    # Its logger is loud at import already.
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    try:
        import deepspeed
    except ImportError:
        raise BadInput('--trainer deepspeed needs its package: pip install "trm-harness[deepspeed]"') from None
    from deepspeed.utils import logger

    logger.setLevel(logging.ERROR)
    # A compiled op for sums in shared memory: it would take a minute to build, for messages of megabytes.
    deepspeed.ops.__compatible_ops__[_SHARED_MEMORY_OP] = False
    backend = "nccl" if kind == "cuda" else "gloo"
    launched = {"RANK", "MASTER_ADDR"} <= os.environ.keys()
    if not launched and not dist.is_initialized():
        # A process alone meets nobody: with a store of its own it needs no port, which another could take first. What
        # it says of itself is inherited by processes that it starts, so a rank alone is no launcher's word.
        os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
    return deepspeed


class Together(torch.optim.Optimizer):
    """Several optimizers as one, for an engine that takes one. Its groups are theirs, so rates are set in one place."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:
        """Let each take its step."""
        for part in self.parts:
            part.step()


class DeepSpeedEngine:
    """Keeps :class:`trm_harness.train.engine.Engine` over any number of processes."""

    def __init__(self, network: torch.nn.Module, recipe: Recipe, user: Mapping[str, Any], where: str = "") -> None:
        deepspeed = start(str(network.device))
        self.network, self.rank, self.world = network, dist.get_rank(), dist.get_world_size()
        config = make_config(recipe, self.world, user, where)
        self._own = make_optimizers(network, recipe)
        optimizer = self._own[0] if len(self._own) == 1 else Together(self._own)
        self._engine, self._optimizer, _, _ = deepspeed.initialize(model=network, optimizer=optimizer, config=config)
        self.stage = int(dict(config["zero_optimization"]).get("stage", 0))
        self._zero = self.stage > 0

    def backward(self, total: Tensor, rows: int, last: bool) -> None:
        """Gradients of the mean over these rows: the engine averages over micro-batches and processes itself."""
        self._engine.backward(total / rows)
        if not last:
            # Between micro-batches this only counts.
            self._engine.step()

    def step(self, lr: float) -> None:
        """The engine's step at rate ``lr``."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._engine.step()

    def sum(self, value: Tensor) -> Tensor:
        """``value`` summed over the processes."""
        total = value.clone()
        dist.all_reduce(total)
        return total

    def gather(self, value: Tensor) -> Tensor:
        """Rows of all processes, in rank order."""
        parts = [torch.empty_like(value) for _ in range(self.world)]
        dist.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    def metrics(self) -> Mapping[str, float]:
        """None."""
        return {}

    def leave(self) -> None:
        """Wait until every process is done, so that none goes while another still needs its word."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()

    def state(self) -> dict[str, Tensor]:
        """Moments of every parameter, whole; under ZeRO they are gathered from the processes."""
        if not self._zero:
            return optimizer_state(self.network, self._own)
        found: dict[str, Tensor] = {}
        for flat, partition, named in self._groups():
            moments = self._own[0].state.get(partition, {})
            for key, value in moments.items():
                whole = self.gather(value) if isinstance(value, Tensor) and value.ndim else None
                for name, parameter in named:
                    found[f"{name}/{key}"] = torch.tensor(value) if whole is None else _part(whole, flat, parameter)
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave, on any number of processes, and the network's weights as they stand."""
        if not self._zero:
            return load_optimizer_state(self.network, self._own, state)
        for flat, partition, named in self._groups():
            size = partition.numel()
            own = slice(self.rank * size, (self.rank + 1) * size)
            partition.data.copy_(flat[own])
            moments: dict[str, Any] = {}
            for key in sorted({key.rpartition("/")[2] for key in state}):
                values = {name: state[f"{name}/{key}"] for name, _ in named if f"{name}/{key}" in state}
                if key == "step":
                    moments[key] = max(int(value) for value in values.values())
                    continue
                whole = torch.zeros_like(flat)
                for name, parameter in named:
                    if name in values:
                        _part(whole, flat, parameter).copy_(values[name])
                moments[key] = whole[own].clone()
            if moments:
                self._own[0].state[partition] = moments
        return None

    def _groups(self) -> Iterator[tuple[Tensor, Tensor, list[tuple[str, Tensor]]]]:
        """ZeRO's flat weights, this process's float32 part of them, and the named parameters that lie in them."""
        zero = self._optimizer
        for flat, partition in zip(zero.bit16_groups_flat, zero.single_partition_of_fp32_groups, strict=True):
            begin, end = flat.data_ptr(), flat.data_ptr() + flat.numel() * flat.element_size()
            named = [(name, p) for name, p in self.network.named_parameters() if begin <= p.data_ptr() < end]
            yield flat.detach(), partition, named


def _part(whole: Tensor, flat: Tensor, parameter: Tensor) -> Tensor:
    """The stretch of ``whole``, laid out as ``flat``, that belongs to a parameter; a view in its shape."""
    offset = (parameter.data_ptr() - flat.data_ptr()) // flat.element_size()
    return whole[offset : offset + parameter.numel()].view(parameter.shape)
