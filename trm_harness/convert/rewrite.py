"""A weights file anew: other metadata, another number format, the same tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trm_harness.errors import BadInput
from trm_harness.files.utf8 import utf8_path
from trm_harness.files.write import replacing
from trm_harness.nn.checkpoint import FORMAT, save_tensors
from trm_harness.nn.model import DTYPES
from trm_harness.zoo import safetensors_metadata


def our_metadata(path: Path) -> dict[str, str]:
    """Metadata of a weights file of this harness. ``BadInput`` for any other file."""
    metadata = safetensors_metadata(path)
    if metadata.get("format") != FORMAT:
        raise BadInput(
            f"{path}: no weights of this harness (its metadata has no format): `trm-harness zoo import "
            f"{path.name} --arch ARCH --task TASK --author NAME --license ID` makes a card of them"
        )
    return metadata


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. ``BadInput`` if they cannot be read."""
    try:
        with utf8_path(path) as file:
            return load_file(file)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: cannot be read ({error}): get the file again") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all."""
    try:
        with replacing(path) as temporary:
            save_tensors({name: value.contiguous() for name, value in tensors.items()}, temporary, metadata)
    except SafetensorError as error:
        raise BadInput(f"{path} cannot be written: {error}") from error


def rewrite(source: Path, target: Path, dtype: str = "", **metadata: Any) -> None:
    """Write ``source`` to ``target`` with some metadata replaced, tensors in ``dtype`` (empty: as they are).

    Metadata values that are no text are written as JSON.
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in metadata.items()
    }
    tensors = tensors_of(source)
    if dtype:
        tensors = {name: _as(value, DTYPES[dtype]) for name, value in tensors.items()}
    write_tensors(target, tensors, our_metadata(source) | texts)


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value
