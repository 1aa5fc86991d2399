"""Tensor names of the reference implementation, and ours.

The reference's ``H``/``L`` letters stay in this file and in the plugins' maps of its stacks: elsewhere the answer
state is ``y`` and the latent ``z``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from trm_harness.errors import BadInput
from trm_harness.nn.network import Architecture

_DIRECT = {
    "inner.embed_tokens.embedding_weight": "frame.token_embedding.weight",
    "inner.embed_pos.embedding_weight": "frame.position_embedding.weight",
    "inner.lm_head.weight": "frame.answer_head.weight",
    "inner.q_head.weight": "frame.halt_head.weight",
    "inner.q_head.bias": "frame.halt_head.bias",
    "inner.puzzle_emb.weights": "table.weight",
    "inner.H_init": "y_init",
    "inner.L_init": "z_init",
    **{f"inner.L{scale}_init": f"z{scale}_init" for scale in range(1, 7)},
}
_LAYER = {
    "self_attn.qkv_proj": "attention.qkv",
    "self_attn.o_proj": "attention.out",
    "mlp_t.gate_up_proj": "mixer.gate_up",
    "mlp_t.down_proj": "mixer.down",
    "mlp.gate_up_proj": "mlp.gate_up",
    "mlp.down_proj": "mlp.down",
}
_WRAPPERS = re.compile(r"^(?:_orig_mod\.|model\.|module\.)*(?=inner\.)")
_THEIR_BLOCK = re.compile(r"^inner\.(\w+)\.layers\.(\d+)\.(.+)\.weight$")
_OUR_BLOCK = re.compile(r"^(\w+)\.blocks\.(\d+)\.(.+)\.weight$")


ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "trm": ("trm", {}),
    "trm_singlez": ("trm", {"features": 1}),
    "trm_hier6": ("trm", {"features": 7}),
    "hrm": ("hrm", {}),
    "transformers_baseline": ("direct", {}),
}
"""Architecture files of the reference: our family, and the settings that make the variant."""

_SETTINGS = {
    "hidden_size": "hidden_size",
    "num_heads": "heads",
    "expansion": "expansion",
    "halt_max_steps": "supervision_steps",
    "pos_encodings": "positions",
    "puzzle_emb_ndim": "puzzle_dim",
    "puzzle_emb_len": "prefix",
    "rms_norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "H_cycles": "h_cycles",
    "L_cycles": "l_cycles",
}


def settings_from_reference(architecture: Architecture, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our settings from the ``arch`` table of the reference's configuration; those we have no use for are left out.

    Layers count for the stacks that the architecture has. A prefix length of 0, or none, is as long as the embedding.
    """
    own = {field.name for field in fields(architecture.config)}
    ours = {_SETTINGS[key]: value for key, value in theirs.items() if _SETTINGS.get(key) in own}
    for stack, setting in layer_settings(architecture).items():
        if (layers := theirs.get(f"{stack[0]}_layers")) is not None:
            ours[setting] = layers
    if "mlp_t" in theirs:
        ours["mixer"] = "mlp" if theirs["mlp_t"] else "attention"
    ours |= {key: ours["hidden_size"] for key, value in ours.items() if value == "${.hidden_size}"}
    if "puzzle_dim" in ours and "hidden_size" in ours and not ours.get("prefix"):
        ours["prefix"] = -(-ours["puzzle_dim"] // ours["hidden_size"])
    return ours


def settings_to_reference(architecture: Architecture, config: Mapping[str, Any]) -> dict[str, Any]:
    """The ``arch`` table of the reference's configuration for one of ours."""
    theirs = {key: config[ours] for key, ours in _SETTINGS.items() if ours in config}
    theirs |= {f"{stack[0]}_layers": config[setting] for stack, setting in layer_settings(architecture).items()}
    # Its configuration classes want these even where nothing reads them.
    return {"H_layers": 0, "H_cycles": 1} | theirs | {"mlp_t": config["mixer"] == "mlp"}


def layer_settings(architecture: Architecture) -> dict[str, str]:
    """Reference stack -> our setting of its number of layers: ``layers`` for a lone one."""
    stacks = architecture.reference
    return {stack: "layers" if len(stacks) == 1 else f"{stack[0].lower()}_layers" for stack in stacks}


def from_reference(architecture: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reference state dict to ours; wrappers' prefixes are stripped. ``BadInput`` for a key it cannot have."""
    return {_ours(architecture, key): value for key, value in state.items()}


def to_reference(architecture: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict to the reference's names, prefix ``inner.``. ``BadInput`` for variants the reference has not."""
    return {_theirs(architecture, key): value for key, value in state.items()}


def _ours(architecture: Architecture, key: str) -> str:
    bare = _WRAPPERS.sub("", key)
    match = _THEIR_BLOCK.match(bare)
    if match and match[1] in architecture.reference and match[3] in _LAYER:
        return f"{architecture.reference[match[1]]}.blocks.{match[2]}.{_LAYER[match[3]]}.weight"
    if bare in _DIRECT:
        return _DIRECT[bare]
    raise BadInput(
        f"reference checkpoint: {key!r} is no tensor of architecture {architecture.name!r}: is it of another one?"
    )


def _theirs(architecture: Architecture, key: str) -> str:
    stacks, direct, layer = ({v: k for k, v in m.items()} for m in (architecture.reference, _DIRECT, _LAYER))
    match = _OUR_BLOCK.match(key)
    if match and match[1] in stacks:
        return f"inner.{stacks[match[1]]}.layers.{match[2]}.{layer[match[3]]}.weight"
    if key in direct:
        return direct[key]
    raise BadInput(f"{architecture.name}: the reference has no tensor like {key!r}: this variant stays in our format")
