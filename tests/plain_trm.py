"""TRM's forward pass as it stands in the paper, written to be read: what speed and answers are held against.

One batch of all puzzles, everything computed where it is needed. Reads a network's weights, and nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def answers(weights: Mapping[str, Tensor], config: Mapping[str, int], tokens: Tensor, steps: int) -> Tensor:
    """Answer tokens ``int64 [batch, length]`` after ``steps`` supervision steps.

    The MLP variant without positions and puzzle table: ``tokens`` int64 ``[batch, length]``, a prefix of zeros.
    """
    shape = (len(tokens), config["prefix"] + tokens.shape[1], config["hidden_size"])
    y, z = (weights[name].expand(shape) for name in ("y_init", "z_init"))
    logits = None
    for _ in range(steps):
        x = F.embedding(tokens, weights["frame.token_embedding.weight"])
        x = math.sqrt(config["hidden_size"]) * F.pad(x, (0, 0, config["prefix"], 0))
        for _ in range(config["h_cycles"]):
            for _ in range(config["l_cycles"]):
                z = _core(weights, config["layers"], z + y + x)
            y = _core(weights, config["layers"], y + z)
        logits = F.linear(y, weights["frame.answer_head.weight"])[:, config["prefix"] :]
    return logits.argmax(-1)


def _core(weights: Mapping[str, Tensor], layers: int, x: Tensor) -> Tensor:
    for layer in range(layers):
        flipped = x.transpose(1, 2)
        x = _norm(flipped + _swiglu(weights, f"core.blocks.{layer}.mixer", flipped)).transpose(1, 2)
        x = _norm(x + _swiglu(weights, f"core.blocks.{layer}.mlp", x))
    return x


def _swiglu(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    gate, up = F.linear(x, weights[f"{name}.gate_up.weight"]).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, weights[f"{name}.down.weight"])


def _norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)
