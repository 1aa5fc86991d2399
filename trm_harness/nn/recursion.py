"""One round of thinking: latent updates, then an answer update. TRM and HRM differ only in what they pass in here."""

from __future__ import annotations

import torch
from torch import Tensor

from trm_harness.nn.layers import Rope, Stack
from trm_harness.nn.supervision import State


def refine_pair(
    latent: Stack, answer: Stack, state: State, x: Tensor, rope: Rope | None, updates: int, one_step: bool
) -> State:
    """State ``(y, z)``: ``updates`` times ``z <- latent(z + y + x)``, then ``y <- answer(y + z)``.

    With ``one_step`` only the last update of each has gradients (the one-step approximation of arXiv 2506.21734).
    """
    y, z = state
    with _gradients(not one_step):
        for _ in range(updates - 1):
            z = latent(z, y + x, rope)
    z = latent(z, y + x, rope)
    return answer(y, z, rope), z


def refine_single(core: Stack, state: State, x: Tensor, rope: Rope | None, updates: int, one_step: bool) -> State:
    """State ``(z,)``: ``updates`` times ``z <- core(z + x)``, then once without the input; ``z`` is also the answer."""
    (z,) = state
    with _gradients(not one_step):
        for _ in range(updates - 1):
            z = core(z, x, rope)
    return (core(core(z, x, rope), None, rope),)


def refine_scales(core: Stack, state: State, x: Tensor, rope: Rope | None, updates: int, one_step: bool) -> State:
    """State ``(y, z1, z2, ...)``: ``z_i <- core(sum of z + y + x)`` for the first ``updates`` of them in turn, then
    ``y <- core(y + sum of z)``: each latent update has a feature of its own.
    """
    y, *scales = state
    with _gradients(not one_step):
        for index in range(updates - 1):
            scales[index] = core(sum(scales), y + x, rope)
    scales[updates - 1] = core(sum(scales), y + x, rope)
    return core(y, sum(scales), rope), *scales


def _gradients(wanted: bool) -> torch.autograd.grad_mode.set_grad_enabled:
    # Never switches gradients on where the caller has switched them off.
    return torch.set_grad_enabled(wanted and torch.is_grad_enabled())
