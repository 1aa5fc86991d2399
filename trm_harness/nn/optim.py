"""Optimizers of the family in plain torch: AdamATan2 for the network, sign-SGD for the touched rows of a puzzle table.

AdamATan2 comes from arXiv 2407.05872; the arithmetic, including where the first moment's bias correction enters,
follows the fused kernel the reference uses (package adam-atan2 0.0.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from trm_harness.errors import BadInput


class _ByGroup(Optimizer):
    """Steps one group of parameters after the other: :meth:`_step` is what an optimizer adds."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's value."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step([p for p in group["params"] if p.grad is not None], group)
        return loss

    def _step(self, params: Sequence[Tensor], group: dict[str, Any]) -> None:
        raise NotImplementedError


class AdamATan2(_ByGroup):
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

    def _step(self, params: Sequence[Tensor], group: dict[str, Any]) -> None:
        by_step: dict[int, list[Tensor]] = {}
        for p in params:
            by_step.setdefault(self._advance(p), []).append(p)
        for step, members in by_step.items():
            self._update(members, step, group)

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


class Muon(_ByGroup):
    """Momentum, made orthogonal and scaled to the size of an Adam step (kellerjordan.github.io/posts/muon).

    The same steps as ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, but for two things. Newton-Schulz
    runs in float32 on a CPU, where bfloat16 may be forty times slower, and matrices of one shape go together.
    """

    NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        rounds: int = 5,
    ) -> None:
        if lr < 0 or weight_decay < 0 or not 0 <= momentum < 1 or rounds < 1:
            raise BadInput(f"Muon: lr {lr}, weight_decay {weight_decay}, momentum {momentum}, rounds {rounds}: too low")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "rounds": rounds})

    def _step(self, params: Sequence[Tensor], group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for p in params:
            by_shape.setdefault(p.shape, []).append(p)
        for members in by_shape.values():
            self._update(members, group)

    def _update(self, params: Sequence[Tensor], group: dict[str, Any]) -> None:
        momentum, lr = group["momentum"], group["lr"]
        pulls = []
        for p in params:
            state = self.state[p]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(p, dtype=torch.float32)
            buffer = state["momentum_buffer"].lerp_(p.grad.float(), 1 - momentum)
            pulls.append(p.grad.float().lerp(buffer, momentum))
        size = 0.2 * math.sqrt(max(params[0].shape))
        for p, update in zip(params, orthogonal(torch.stack(pulls), group["rounds"], self.NEWTON_SCHULZ), strict=True):
            p.mul_(1 - lr * group["weight_decay"]).add_(update.to(p.dtype), alpha=-lr * size)


def orthogonal(matrices: Tensor, rounds: int, coefficients: tuple[float, float, float]) -> Tensor:
    """The nearest matrices ``[n, rows, columns]`` with all singular values near 1, by Newton and Schulz."""
    a, b, c = coefficients
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


@torch.no_grad()
def sparse_sign_step(table: Tensor, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
    """Sign-SGD with decoupled decay on the touched rows of ``table [rows, dim]``, in place.

    ``ids`` int ``[n]``, ``grads`` float ``[n, dim]``: gradients of equal ids are summed first. Untouched rows do not
    decay; a zero sum decays only. With several processes, concatenate everybody's ids and gradients before calling.
    """
    # How many ids are different is not asked: the host would have to wait for a device. Each place of an id is written
    # with the same row.
    order = ids.argsort(stable=True)
    ordered, place = ids[order], torch.empty_like(order)
    place[order] = F.pad((ordered[1:] != ordered[:-1]).cumsum(0), (1, 0))
    summed = torch.zeros_like(grads).index_add_(0, place, grads)[place]
    table[ids] = table[ids].mul(1 - lr * weight_decay).add(summed.sign().to(table.dtype), alpha=-lr)


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
