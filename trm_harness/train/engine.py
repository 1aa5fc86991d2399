"""How gradients become steps: the one part in which trainers differ. Here the plain one: a single process of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from trm_harness.nn.kernels import cache_trouble
from trm_harness.nn.optim import AdamATan2, Muon
from trm_harness.train.recipe import Recipe


class Engine(Protocol):
    """Backward pass, optimizer and the talk between processes. The puzzle table is not its business."""

    rank: int
    """This process among ``world``."""
    world: int
    """Processes that share a global batch, each a slice of its rows."""

    def backward(self, total: Tensor, rows: int, last: bool) -> None:
        """Add the gradients of ``total``, a sum over ``rows`` rows; ``last`` is the step's last micro-batch.

        Together the micro-batches of all processes must give the gradient of the mean over the global batch.
        """
        ...

    def step(self, lr: float) -> None:
        """Let every optimizer take its step at rate ``lr`` and forget the gradients."""
        ...

    def sum(self, value: Tensor) -> Tensor:
        """``value`` summed over the processes."""
        ...

    def gather(self, value: Tensor) -> Tensor:
        """Rows of all processes, first those of rank 0."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Moments by ``<parameter name>/<moment>``, whole whatever the number of processes; every process calls it."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave, perhaps with another number of processes."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """Numbers of its own about the last step, such as a gradient norm, for ``metrics.jsonl`` and the console.

        The same names after every step, none of them the learner's.
        """
        ...


def make_optimizers(network: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers for the network's parameters; rates are set at every step.

    Muon (kellerjordan.github.io/posts/muon) orthogonalises the update of a matrix; its step is scaled to the size of an
    Adam step, so that one learning rate serves both.
    """
    cache_trouble()
    named = list(network.named_parameters())
    matrices = [p for name, p in named if recipe.optimizer == "muon" and ".blocks." in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [AdamATan2(rest, 0.0, (recipe.beta1, recipe.beta2), recipe.weight_decay)]
    if matrices:
        decay = recipe.weight_decay
        optimizers.append(Muon(matrices, lr=0.0, weight_decay=decay))
    return optimizers


class TorchEngine:
    """One process. Keeps :class:`Engine`."""

    rank, world = 0, 1

    def __init__(self, network: torch.nn.Module, recipe: Recipe) -> None:
        self.network, self.batch_size = network, recipe.batch_size
        self.optimizers = make_optimizers(network, recipe)

    def backward(self, total: Tensor, rows: int, last: bool) -> None:
        """Gradients of the sum divided by the global batch, as the reference has it; they add up by themselves."""
        (total / self.batch_size).backward()

    def step(self, lr: float) -> None:
        """Every optimizer at rate ``lr``."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def sum(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value

    def gather(self, value: Tensor) -> Tensor:
        """The rows themselves."""
        return value

    def metrics(self) -> Mapping[str, float]:
        """None."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Moments of every parameter."""
        return optimizer_state(self.network, self.optimizers)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the moments over."""
        load_optimizer_state(self.network, self.optimizers, state)


def optimizer_state(network: torch.nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Moments by ``<parameter name>/<moment>``; counters become tensors too."""
    tensors = {}
    for name, p in network.named_parameters():
        for key, value in _owner(optimizers, p).state.get(p, {}).items():
            tensors[f"{name}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return tensors


def load_optimizer_state(
    network: torch.nn.Module, optimizers: list[torch.optim.Optimizer], state: Mapping[str, Tensor]
) -> None:
    """Undo :func:`optimizer_state`."""
    for name, p in network.named_parameters():
        moments = {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}
        if moments:
            # AdamATan2 counts in Python numbers, which keeps its bias correction in double precision.
            _owner(optimizers, p).state[p] = {k: int(v) if k == "step" else v for k, v in moments.items()}


def _owner(optimizers: list[torch.optim.Optimizer], parameter: Tensor) -> torch.optim.Optimizer:
    owns = (o for o in optimizers if any(parameter is p for group in o.param_groups for p in group["params"]))
    return next(owns)
