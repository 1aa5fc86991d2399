"""The mean of weights: runs that began alike and end close by are better together than each alone.

Model soups (arXiv 2203.05482). It works where the runs share their first weights; of networks trained from different
seeds the mean is worth nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.rewrite import our_metadata, tensors_of, write_tensors
from trm_harness.errors import BadInput
from trm_harness.files.read import parse_json
from trm_harness.fingerprint import file_sha256
from trm_harness.zoo import each_once, training_declaration

_OF_A_BOARD = ("seq_len", "supervision_steps")
"""Settings in which the files may differ: the first one's count."""
_ONE = ("demonstrations", "transduction")
"""What a training declares once for all of its data."""


def average(files: Sequence[Path], out: Path) -> None:
    """Write the mean of weights of one network to the new file ``out``; what they were trained on adds up.

    ``BadInput`` for fewer than two files, files of different networks, and trainings that declare something else of
    the evaluation tasks.
    """
    if len(files) < 2:
        raise BadInput("a mean needs two files of weights or more")
    if out.exists():
        raise BadInput(f"{out} is there already: give --out a new file")
    told = [our_metadata(file) for file in files]
    tensors = [tensors_of(file) for file in files]
    for file, metadata, values in zip(files[1:], told[1:], tensors[1:], strict=True):
        if not _alike(metadata, told[0]) or _shapes(values) != _shapes(tensors[0]):
            raise BadInput(f"{file}: is of another network than {files[0]}: give weights of one network")
    training = json.dumps(_together([training_declaration(file) for file in files], files), sort_keys=True)
    write_tensors(out, _mean(tensors), told[0] | {"card": "", "training": training})


def _alike(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether two files are of one network. A setting that either does not know yet is the default in the other."""
    configs = [parse_json(metadata["config"], "their metadata") for metadata in (one, other)]
    kept = (set(configs[0]) & set(configs[1])) - set(_OF_A_BOARD)
    return all(configs[0][name] == configs[1][name] for name in kept) and all(
        one.get(name) == other.get(name) for name in ("architecture", "encoding", "identities")
    )


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def _mean(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        name: torch.stack([values[name].double() for values in tensors]).mean(0).to(first.dtype)
        for name, first in tensors[0].items()
    }


def _together(trainings: Sequence[dict[str, Any]], files: Sequence[Path]) -> dict[str, Any]:
    """One declaration: all data, each once, and of which files this is the mean."""
    for name in _ONE:
        if len({json.dumps(training.get(name)) for training in trainings}) > 1:
            raise BadInput(f"{files[0]} and the others declare different {name}: their mean could declare neither")
    lists = {
        name: each_once([entry for training in trainings for entry in training.get(name, ())])
        for name in ("data", "extra_data")
    }
    notes = "; ".join(each_once([training["notes"] for training in trainings if training.get("notes")]))
    shas = ", ".join(file_sha256(file)[:12] for file in files)
    kept = {name: value for name, value in {**lists, "notes": notes}.items() if value}
    return trainings[0] | kept | {"checkpoint_choice": f"the mean of {len(files)} weights: {shas}"}
