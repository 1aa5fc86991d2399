"""TRM weights under the reference's tensor names (``inner.L_level.layers.0.self_attn.qkv_proj.weight``), and back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from trm_harness.nn import reference
from trm_harness.nn.checkpoint import load_state
from trm_harness.nn.network import Architecture
from trm_model_trm.network import TRM, TRMConfig

ARCHITECTURE = Architecture("trm", TRMConfig, TRM, reference={"L_level": "core"})

__all__ = ["ARCHITECTURE", "from_reference", "load_state", "to_reference"]


def from_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reference state dict to ours; wrappers' prefixes are stripped. ``BadInput`` for a key TRM does not have."""
    return reference.from_reference(ARCHITECTURE, state)


def to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict to the reference's names, prefix ``inner.``; ``BadInput`` for separate networks."""
    return reference.to_reference(ARCHITECTURE, state)
