"""Blocks of the TRM/HRM family: post-norm, RMSNorm without weight, SwiGLU, rotary attention or sequence mixing.

Every weight is used as ``weight.to(activation dtype)``: float32 master weights serve float32 and bfloat16 activations
alike. Equality with the reference implementation is tested by ``tests/parity``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rope = tuple[Tensor, Tensor]
"""Cosine and sine tables, float32 ``[..., length, 1, head_dim]``."""


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """``x / rms(x)`` over the last axis, computed in float32, returned in ``x``'s dtype; no learned weight."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def swiglu_width(dim: int, expansion: float) -> int:
    """Inner width of SwiGLU: two thirds of ``expansion * dim``, rounded up to a multiple of 256."""
    return -(-round(expansion * dim * 2 / 3) // 256) * 256


def truncated_lecun_(weight: Tensor, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill with a normal of standard deviation ``std`` *after* truncation at two raw standard deviations."""
    raw = std / 0.87962566103423978  # std of a unit normal cut at +-2
    return nn.init.trunc_normal_(weight, std=raw, a=-2 * raw, b=2 * raw, generator=generator)


class Linear(nn.Module):
    """Affine map whose ``weight [out, in]`` follows its input's dtype."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(truncated_lecun_(torch.empty(outputs, inputs), 1.0 / math.sqrt(inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in] -> [..., out]``."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Embedding(nn.Module):
    """Lookup table ``weight [rows, dim]``, initialised to standard deviation ``1/sqrt(dim)``."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(truncated_lecun_(torch.empty(rows, dim), 1.0 / math.sqrt(dim)))

    def forward(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """``int [...] -> dtype [..., dim]``."""
        return F.embedding(ids, self.weight.to(dtype))


class SwiGLU(nn.Module):
    """``down(silu(gate(x)) * up(x))``; the first half of ``gate_up`` is the gate."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        width = swiglu_width(dim, expansion)
        self.gate_up = Linear(dim, 2 * width)
        self.down = Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., dim] -> [..., dim]``."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


def rope_tables(positions: Tensor, head_dim: int, theta: float) -> Rope:
    """Rotary tables for integer ``positions [..., length]`` (half-split form, RoFormer arXiv 2104.09864)."""
    inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim)
    angles = positions.float()[..., None] * inverse
    angles = torch.cat((angles, angles), dim=-1).unsqueeze(-2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Rotate ``x [batch, length, heads, head_dim]``, in float32, returned in ``x``'s dtype."""
    cos, sin = rope
    wide = x.float()
    low, high = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-high, low), dim=-1) * sin).to(x.dtype)


class Attention(nn.Module):
    """Full self-attention without mask. ``head_dim = dim // heads`` rounds down, so ``out`` may read fewer than dim."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.qkv = Linear(dim, 3 * heads * self.head_dim)
        self.out = Linear(heads * self.head_dim, dim)

    def forward(self, x: Tensor, rope: Rope | None) -> Tensor:
        """``[batch, length, dim] -> [batch, length, dim]``."""
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, self.head_dim)
        q, k, v = qkv.unbind(2)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    """One post-norm layer: token mixing (attention, or SwiGLU over the sequence), then SwiGLU over channels.

    ``sequence`` is the full sequence length of the mixing variant (prefix included); ``0`` means attention.
    """

    def __init__(self, dim: int, heads: int, expansion: float, eps: float, sequence: int = 0) -> None:
        super().__init__()
        self.eps = eps
        self.attention = None if sequence else Attention(dim, heads)
        self.mixer = SwiGLU(sequence, expansion) if sequence else None
        self.mlp = SwiGLU(dim, expansion)

    def forward(self, x: Tensor, rope: Rope | None) -> Tensor:
        """``[batch, length, dim] -> [batch, length, dim]``."""
        if self.mixer is not None:
            # The mixing variant norms over the *sequence* axis, as the reference does.
            flipped = x.transpose(1, 2)
            x = rms_norm(flipped + self.mixer(flipped), self.eps).transpose(1, 2)
        else:
            x = rms_norm(x + self.attention(x, rope), self.eps)
        return rms_norm(x + self.mlp(x), self.eps)


class Stack(nn.Module):
    """``layers`` blocks applied to ``state + injection``, or to ``state`` alone."""

    def __init__(self, layers: int, dim: int, heads: int, expansion: float, eps: float, sequence: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads, expansion, eps, sequence) for _ in range(layers))

    def forward(self, state: Tensor, injection: Tensor | None, rope: Rope | None) -> Tensor:
        """``[batch, length, dim]`` for both inputs and the result."""
        x = state if injection is None else state + injection
        for block in self.blocks:
            x = block(x, rope)
        return x
