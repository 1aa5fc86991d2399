"""TRM weights on disk: safetensors whose metadata names the card, the configuration and the commit.

Tensors carry this project's names; :func:`from_reference` and :func:`to_reference` translate the reference's
(``inner.L_level.layers.0.self_attn.qkv_proj.weight``), whose ``H``/``L`` letters stay in this file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from trm_harness.environment import source_tree
from trm_harness.errors import BadInput
from trm_model_trm.network import TRM, TRMConfig

FORMAT = "trm-harness"
ARCHITECTURE = "trm"

_RENAMES = (
    ("inner.embed_tokens.embedding_weight", "frame.token_embedding.weight"),
    ("inner.embed_pos.embedding_weight", "frame.position_embedding.weight"),
    ("inner.lm_head.weight", "frame.answer_head.weight"),
    ("inner.q_head.weight", "frame.halt_head.weight"),
    ("inner.q_head.bias", "frame.halt_head.bias"),
    ("inner.puzzle_emb.weights", "table.weight"),
    ("inner.H_init", "y_init"),
    ("inner.L_init", "z_init"),
)
_LAYER_RENAMES = (
    ("self_attn.qkv_proj", "attention.qkv"),
    ("self_attn.o_proj", "attention.out"),
    ("mlp_t.gate_up_proj", "mixer.gate_up"),
    ("mlp_t.down_proj", "mixer.down"),
    ("mlp.gate_up_proj", "mlp.gate_up"),
    ("mlp.down_proj", "mlp.down"),
)
_PREFIX = re.compile(r"^(?:_orig_mod\.|model\.)*(?=inner\.)")
_LAYER = re.compile(r"^inner\.L_level\.layers\.(\d+)\.(.+)\.weight$")
_BLOCK = re.compile(r"^core\.blocks\.(\d+)\.(.+)\.weight$")


def from_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reference state dict to ours; wrappers' prefixes are stripped. ``BadInput`` for a key TRM does not have."""
    direct, layer = dict(_RENAMES), dict(_LAYER_RENAMES)
    renamed = {}
    for key, value in state.items():
        bare = _PREFIX.sub("", key)
        match = _LAYER.match(bare)
        if match and match[2] in layer:
            renamed[f"core.blocks.{match[1]}.{layer[match[2]]}.weight"] = value
        elif bare in direct:
            renamed[direct[bare]] = value
        else:
            raise BadInput(f"reference checkpoint: {key!r} is no tensor of a TRM: is it of another architecture?")
    return renamed


def to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict to the reference's names, prefix ``inner.``."""
    direct = {ours: theirs for theirs, ours in _RENAMES}
    layer = {ours: theirs for theirs, ours in _LAYER_RENAMES}
    renamed = {}
    for key, value in state.items():
        match = _BLOCK.match(key)
        name = f"inner.L_level.layers.{match[1]}.{layer[match[2]]}.weight" if match else direct[key]
        renamed[name] = value
    return renamed


def save_weights(
    path: Path,
    network: TRM,
    names: tuple[str, ...],
    card: str,
    dtype: torch.dtype = torch.float32,
    encoding: Mapping[str, Any] | None = None,
) -> None:
    """Write ``network`` with tensors of ``dtype`` to ``path`` through a temporary name.

    ``names`` are the puzzle identities of the table's rows; ``card`` the zoo name or ``""``; ``encoding`` the options
    the weights were trained with.
    """
    metadata = {
        "format": FORMAT,
        "architecture": ARCHITECTURE,
        "card": card,
        "config": json.dumps(network.config.as_dict(), sort_keys=True),
        "encoding": json.dumps(dict(encoding or {}), sort_keys=True),
        "identities": json.dumps(list(names)),
        "commit": source_tree()[0],
    }
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in network.state_dict().items()}
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(save(tensors, metadata=metadata))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written ({error.strerror}): choose another place") from error


def read_config(path: Path) -> tuple[TRMConfig, tuple[str, ...], dict[str, Any]]:
    """Configuration, identity names and encoding options of a weights file. ``BadInput`` if it is not one of ours."""
    from trm_harness.zoo import safetensors_metadata

    metadata = safetensors_metadata(path)
    if metadata.get("format") != FORMAT:
        raise BadInput(f"{path.name}: no weights of this harness (metadata has no format): convert them first")
    found = metadata.get("architecture")
    if found != ARCHITECTURE:
        raise BadInput(f"{path.name}: holds weights of architecture {found!r}, not {ARCHITECTURE!r}: choose its model")
    try:
        config = TRMConfig.from_mapping(json.loads(metadata["config"]))
        names = tuple(json.loads(metadata["identities"]))
        encoding = dict(json.loads(metadata.get("encoding", "{}")))
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(f"{path.name}: its metadata is broken ({error}): get the file again") from error
    return config, names, encoding


def load_weights(path: Path, dtype: torch.dtype = torch.float32) -> tuple[TRM, tuple[str, ...], dict[str, Any]]:
    """The network of a weights file (parameters in float32, computing in ``dtype``), its identity names and encoding
    options. ``BadInput`` for broken or foreign files.
    """
    config, names, encoding = read_config(path)
    network = TRM(config, dtype)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path.name}: cannot be read ({error}): the file is damaged, get it again") from error
    load_state(network, tensors, path.name)
    return network, names, encoding


def load_state(network: TRM, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy ``tensors`` into ``network``, checking names and shapes. ``BadInput`` names the first difference."""
    own = network.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        side = "lacks" if name in own else "has an extra"
        raise BadInput(f"{where}: {side} tensor {name!r}: these weights are of another architecture or configuration")
    for name, value in tensors.items():
        if own[name].shape != value.shape:
            raise BadInput(
                f"{where}: tensor {name!r} is {list(value.shape)} but the configuration needs {list(own[name].shape)}"
            )
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
