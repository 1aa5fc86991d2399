"""Optimizers of the family in plain torch: AdamATan2 for the network, sign-SGD for the touched rows of a puzzle table.

AdamATan2 comes from arXiv 2407.05872; the arithmetic, including where the first moment's bias correction enters,
follows the fused kernel the reference uses (package adam-atan2 0.0.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trm_harness.errors import BadInput


class AdamATan2(Optimizer):
    """Adam whose update is ``atan2(m, sqrt(v))``: scale-free, no epsilon, decoupled weight decay.

    Parameters without a gradient are skipped and keep their own step count. Moments are float32.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise BadInput(
                f"AdamATan2: lr {lr}, betas {betas}, weight_decay {weight_decay}: need >= 0 and betas in [0,1)"
            )
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's value."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            by_step: dict[int, list[Tensor]] = {}
            for p in params:
                by_step.setdefault(self._advance(p), []).append(p)
            for step, members in by_step.items():
                self._update(members, step, group)
        return loss

    def _advance(self, p: Tensor) -> int:
        state = self.state[p]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(p, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(p, dtype=torch.float32)
        state["step"] += 1
        return state["step"]

    def _update(self, params: Sequence[Tensor], step: int, group: dict[str, Any]) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        grads = [p.grad.float() for p in params]
        first = [self.state[p]["exp_avg"] for p in params]
        second = [self.state[p]["exp_avg_sq"] for p in params]
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(first, grads, 1 - beta1)
        torch._foreach_lerp_(second, torch._foreach_mul(grads, grads), 1 - beta2)
        # The correction of the first moment scales the step, not the numerator: atan2 is not linear.
        scale = lr / (1 - beta1**step)
        roots = torch._foreach_sqrt(second)
        torch._foreach_div_(roots, math.sqrt(1 - beta2**step))
        for p, numerator, root in zip(params, first, roots, strict=True):
            p.add_(torch.atan2(numerator, root).to(p.dtype), alpha=-scale)


@torch.no_grad()
def sparse_sign_step(table: Tensor, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
    """Sign-SGD with decoupled decay on the touched rows of ``table [rows, dim]``, in place.

    ``ids`` int ``[n]``, ``grads`` float ``[n, dim]``: gradients of equal ids are summed first. Untouched rows do not
    decay; a zero sum decays only. With several processes, concatenate everybody's ids and gradients before calling.
    """
    unique, inverse = torch.unique(ids, return_inverse=True)
    summed = torch.zeros(len(unique), grads.shape[-1], dtype=grads.dtype, device=grads.device)
    summed.index_add_(0, inverse, grads)
    rows = table[unique]
    table[unique] = rows.mul(1 - lr * weight_decay).add(summed.sign().to(rows.dtype), alpha=-lr)


def cosine_with_warmup(step: int, base_lr: float, warmup: int, total: int, min_ratio: float = 1.0) -> float:
    """Learning rate at ``step`` (the first training step is 1): linear warm-up, then a cosine down to ``min_ratio``.

    As in the reference the cosine is not clamped: it turns back up after ``total``.
    """
    if step < warmup:
        return base_lr * step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return base_lr * (min_ratio + max(0.0, (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))))


class ExponentialMovingAverage:
    """Shadow weights ``shadow = (1 - rate) * p + rate * shadow`` of a module's parameters (buffers have none)."""

    def __init__(self, module: torch.nn.Module, rate: float) -> None:
        self.rate = rate
        self.shadow = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """Move every shadow towards its parameter."""
        for name, p in module.named_parameters():
            shadow = self.shadow[name]
            shadow.copy_((1 - self.rate) * p + self.rate * shadow)
