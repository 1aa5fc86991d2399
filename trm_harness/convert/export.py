"""Our weights in other people's forms: the reference's checkpoint, and a folder that a hub takes as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.importer import architecture_of
from trm_harness.errors import BadInput
from trm_harness.files.write import folder, replacing, write_text
from trm_harness.nn.checkpoint import load_weights
from trm_harness.nn.identities import make_identities
from trm_harness.nn.network import Architecture, Network
from trm_harness.nn.reference import ARCHITECTURES, settings_to_reference, to_reference
from trm_harness.registry import default
from trm_harness.types import BLANK_NAME
from trm_harness.zoo import Card, weights_path

PREFIX = "_orig_mod.model."
"""The reference saves a compiled model inside its loss head, which shows in every name."""

CLASSES = {
    "trm": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "trm_singlez": "recursive_reasoning.trm_singlez@TinyRecursiveReasoningModel_ACTV1",
    "trm_hier6": "recursive_reasoning.trm_hier6@TinyRecursiveReasoningModel_ACTV1",
    "hrm": "recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1",
    "transformers_baseline": "recursive_reasoning.transformers_baseline@Model_ACTV2",
}


def export_safetensors(card: Card, out: Path) -> Path:
    """Copy the weights to the new file ``out`` through a temporary name; its metadata says what they are."""
    source = weights_path(card)
    if out.exists():
        raise BadInput(f"{out} is there already: give --out a new file")
    with replacing(out) as temporary:
        shutil.copyfile(source, temporary)
    return out


def export_reference(card: Card, out: Path) -> list[Path]:
    """Write ``checkpoint.pt``, ``all_config.yaml`` and ``identifiers.json`` into the new folder ``out``.

    A factored identity becomes the one row that its parts make side by side, for every task of the table as it stands.
    ``BadInput`` for a network that the reference cannot express.
    """
    import yaml

    architecture = architecture_of(default().models.spec(card.architecture))
    network, names, encoding = load_weights(weights_path(card), architecture)
    _, arch, state, names = reference_form(architecture, network, names)
    arch |= {"forward_dtype": "bfloat16"}
    arch |= {"loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"}}
    if out.exists():
        raise BadInput(f"{out} is there already: give --out a new folder")
    config = {"arch": arch, "ema": True, "seed": card.training.seed or 0}
    files = ("checkpoint.pt", "all_config.yaml", "identifiers.json")
    with folder(out) as made:
        _save({f"{PREFIX}{key}": value.contiguous().clone() for key, value in state.items()}, made / files[0])
        write_text(made / files[1], yaml.safe_dump(config, sort_keys=True))
        write_text(made / files[2], json.dumps(names) + "\n")
        if encoding.get("canvas", "full") != "full":
            note = "These weights were trained on cropped canvases; the reference lays 30x30 ones.\n"
            write_text(made / "NOTES.txt", note)
    return [out / name for name in files]


def reference_form(
    architecture: Architecture, network: Network, names: Sequence[str]
) -> tuple[str, dict[str, Any], dict[str, Tensor], list[str]]:
    """Architecture file of the reference, ``arch`` table of its configuration, weights under its names, and the
    identities of its table's rows.

    ``BadInput`` for a network that the reference cannot express.
    """
    names, table = _table(network, names)
    file = _file(architecture, network)
    tensors = {key: value for key, value in network.state_dict().items() if key != "table.weight"}
    state = to_reference(architecture, {**tensors, "table.weight": table})
    arch = settings_to_reference(architecture, network.config.as_dict())
    arch |= {"name": CLASSES[file], "puzzle_emb_ndim": table.shape[1], "puzzle_emb_len": network.config.prefix}
    return file, arch | {"halt_exploration_prob": 0.1, "no_ACT_continue": True}, state, names


def _table(network: Network, names: Sequence[str]) -> tuple[list[str], Tensor]:
    """Names and rows as the reference has them: one row for each identity, the blank first."""
    config = network.config
    if network.table is None:
        # It has no network without a table: zeros fill the prefix as no embedding does.
        dim = config.hidden_size * max(1, config.prefix)
        return [BLANK_NAME], torch.zeros(1, dim)
    if config.identities != "factored":
        return list(names) or [BLANK_NAME], network.table.weight
    identities = make_identities(config.identities, names)
    rows = torch.from_numpy(identities.rows([BLANK_NAME, *names]))
    return [BLANK_NAME, *names], network.table(rows).flatten(1)


def _file(architecture: Architecture, network: Network) -> str:
    """The reference's architecture file for the network. ``BadInput`` for a variant that it has not."""
    config = network.config.as_dict()
    fitting = [
        name
        for name, (family, variant) in ARCHITECTURES.items()
        if family == architecture.name and variant.items() <= config.items()
    ]
    # The file with most of its own settings: single z before plain TRM.
    best = max(fitting, key=lambda name: len(ARCHITECTURES[name][1]), default=None)
    odd = config.get("networks", 1) != 1 or config.get("gradient", "full") != "full"
    if best is None or odd:
        raise BadInput(f"{architecture.name}: the reference has no file for this variant: it stays in our format")
    return best


def _save(state: dict[str, Tensor], path: Path) -> None:
    """Write tensors as the reference does; anything else is no business of this file."""
    with replacing(path) as temporary:
        torch.save(state, temporary)
