"""Gaussian noise that belongs to a row and a step, whoever else is in the batch and wherever it is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = -7046029254386353131
_MIXERS = ((30, -4658895280553007687), (27, -7723592293110705685))
"""SplitMix64 (Steele, Lea and Flood 2014): its increment; shift and factor of its rounds, as signed integers."""
_UNIFORM = 24


def gaussian(seeds: NDArray[np.uint64], step: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Standard normal values, float32 ``[len(seeds), *shape]`` on ``device``; row i depends on (seeds[i], step) alone.

    Every value is a hash of its row's seed, the step and its own place, so there is no stream to be advanced by
    neighbours, and devices differ by the rounding of ``log`` and ``cos`` only (Box and Muller 1958).
    """
    rows = torch.from_numpy(seeds.view(np.int64).copy()).to(device)
    keys = _mixed(_mixed(rows) ^ step)
    places = torch.arange(math.prod(shape), dtype=torch.int64, device=device)
    bits = _mixed(keys[:, None] + (places + 1) * _GOLDEN)
    # Half a unit above 0, so that the logarithm is finite.
    radius = (_top(bits, 64 - _UNIFORM).float() + 0.5).mul_(2.0**-_UNIFORM).log_().mul_(-2).sqrt_()
    angle = _top(bits << _UNIFORM, 64 - _UNIFORM).float().mul_(2 * math.pi * 2.0**-_UNIFORM)
    return (radius * angle.cos_()).reshape(len(seeds), *shape)


def _mixed(bits: Tensor) -> Tensor:
    """The finalizer of SplitMix64 on int64, whose products wrap."""
    for shift, factor in _MIXERS:
        bits = (bits ^ _top(bits, shift)) * factor
    return bits ^ _top(bits, 31)


def _top(bits: Tensor, shift: int) -> Tensor:
    """A logical shift to the right: torch's own keeps the sign."""
    return (bits >> shift) & ((1 << (64 - shift)) - 1)
