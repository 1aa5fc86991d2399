"""Weights on disk: safetensors whose metadata names the architecture, the card, the configuration and the commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from trm_harness.errors import BadInput
from trm_harness.files.read import is_pickled, parse_json, taken_for_weights
from trm_harness.files.utf8 import is_utf8, utf8_path
from trm_harness.files.write import write_bytes
from trm_harness.nn.network import Architecture, Network, NetworkConfig, seeded
from trm_harness.record.environment import source_tree
from trm_harness.types import plain

FORMAT = "trm-harness"
_FURTHER_HEAD = "auxiliary_head."
"""How tensors are named that weights may get later: nothing that answers reads them."""
_PUZZLE_ROWS = {"identities", "table_rows", "puzzle_dim"}
"""Settings that say what the rows of a puzzle table mean."""


def save_weights(
    path: Path,
    architecture: Architecture,
    network: Network,
    names: tuple[str, ...],
    card: str,
    dtype: torch.dtype = torch.float32,
    encoding: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write ``network`` with tensors of ``dtype`` to ``path``, whole or not at all.

    ``names`` are the puzzle identities of the table's rows; ``card`` the zoo name or ``""``; ``encoding`` the options
    the weights were trained with; ``training`` what they were trained on, in the record's terms.
    """
    metadata = {
        "format": FORMAT,
        "architecture": architecture.name,
        "card": card,
        "config": json.dumps(network.config.as_dict(), sort_keys=True),
        "encoding": json.dumps(plain(encoding or {}), sort_keys=True),
        "identities": json.dumps(list(names)),
        "training": json.dumps(plain(training or {}), sort_keys=True),
        "commit": source_tree()[0],
    }
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in network.state_dict().items()}
    write_bytes(path, save(tensors, metadata=metadata))


def read_config(path: Path, architecture: Architecture) -> tuple[NetworkConfig, tuple[str, ...], dict[str, Any]]:
    """Configuration, identity names and encoding options of a weights file. ``BadInput`` if it is not one of ours."""
    metadata = _metadata(path)
    if metadata.get("format") != FORMAT:
        raise BadInput(
            f"{path.name}: no weights of this harness (metadata has no format): `trm-harness zoo import {path.name} "
            "--arch ARCH --task TASK --author NAME --license ID` makes a card of them"
        )
    found = metadata.get("architecture")
    if found != architecture.name:
        raise BadInput(
            f"{path.name}: holds weights of architecture {found!r}, not {architecture.name!r}: choose its model"
        )
    try:
        config = architecture.config.from_mapping(parse_json(metadata["config"], "config"))
        names = tuple(parse_json(metadata["identities"], "identities"))
        encoding = dict(parse_json(metadata.get("encoding", "{}"), "encoding"))
    except (KeyError, ValueError, TypeError, BadInput) as error:
        raise BadInput(f"{path.name}: its metadata is broken ({error}): get the file again") from error
    if not all(isinstance(name, str) for name in names):
        raise BadInput(f"{path.name}: its metadata is broken (identities that are no names): get the file again")
    return config, names, encoding


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file to the temporary ``path``."""
    told = None if metadata is None else dict(metadata)
    if is_utf8(path):
        save_file(dict(tensors), path, told)
    else:
        path.write_bytes(save(dict(tensors), told))


def load_weights(
    path: Path,
    architecture: Architecture,
    dtype: torch.dtype = torch.float32,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[Network, tuple[str, ...], dict[str, Any]]:
    """The network of a weights file (parameters in float32, computing in ``dtype``), its identity names and encoding
    options. ``BadInput`` for broken or foreign files.

    With ``changes`` it has those settings in place of its own: other cycles or steps, an auxiliary head, which is that
    of an untrained network of ``seed``, or more of what its configuration knows how to grow. ``BadInput`` if a tensor
    does not fit.
    """
    config, names, encoding = read_config(path, architecture)
    _check_shapes(path, architecture, config)
    try:
        with utf8_path(path) as file:
            tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    own, asked = config.as_dict(), dict(changes or {})
    encoding = asked.pop("encoding", encoding)
    told = {name: value for name, value in asked.items() if name not in own or own[name] != value}
    if told:
        network = _changed(architecture, config, tensors, told, seed, dtype, path.name)
    else:
        network = architecture.network(config, dtype)
    load_state(network, tensors, path.name)
    return network, names, encoding


def _changed(
    architecture: Architecture,
    config: NetworkConfig,
    tensors: dict[str, Tensor],
    told: Mapping[str, Any],
    seed: int,
    dtype: torch.dtype,
    where: str,
) -> Network:
    """An untrained network of the settings ``told`` in place of those of ``config``; ``tensors`` are made to fit it."""
    own = config.as_dict()
    words = ", ".join(f"model.{name} = {value!r} (theirs: {own.get(name)!r})" for name, value in told.items())
    leave = "leave that out of the recipe, or begin without weights"
    if _PUZZLE_ROWS & told.keys():
        raise BadInput(f"{where}: the rows of its puzzle table stay as they are, but the recipe says {words}: {leave}")
    try:
        with seeded(seed):
            network = architecture.network(architecture.config.from_mapping(own | told), dtype)
    except TypeError as error:
        raise BadInput(f"{where}: {words}: {error}") from error
    fresh = network.state_dict()
    for name in sorted(fresh.keys() | tensors.keys()):
        value = tensors.get(name)
        if value is None and name.startswith(_FURTHER_HEAD):
            value = fresh[name]
        elif value is not None and name in fresh and fresh[name].shape != value.shape:
            value = config.grown(network.config, name, value, fresh[name])
        if value is None or name not in fresh:
            raise BadInput(f"{where}: with {words} tensor {name!r} of these weights does not fit: {leave}")
        tensors[name] = value
    return network


def load_state(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy ``tensors`` into ``network``, checking names, shapes and values.

    ``BadInput`` names the first difference, or the first tensor with values that are no numbers.
    """
    _compare(network, {name: list(value.shape) for name, value in tensors.items()}, where)
    values = {name: value.float() for name, value in tensors.items()}
    for name, value in values.items():
        wrong = value.numel() - int(torch.isfinite(value).sum())
        if wrong:
            raise BadInput(
                f"{where}: tensor {name!r} holds NaN or infinite values ({wrong:,} of {value.numel():,}): its training "
                "went astray or the file is damaged, take an earlier checkpoint"
            )
    network.load_state_dict(values)


def _check_shapes(path: Path, architecture: Architecture, config: NetworkConfig) -> None:
    """``BadInput`` unless the file's tensors are those of its configuration, before any memory is taken for either.

    A configuration of a few bytes may ask for terabytes.
    """
    try:
        with torch.device("meta"):
            skeleton = architecture.network(config, torch.float32)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path.name}: its configuration cannot be built ({reason}): get the file again") from error
    try:
        with utf8_path(path) as legible, safe_open(legible, framework="pt") as file:
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    _compare(skeleton, shapes, path.name)


def _compare(network: nn.Module, shapes: Mapping[str, list[int]], where: str) -> None:
    """``BadInput`` names the first difference between the tensors of ``network`` and of a file."""
    own = network.state_dict()
    for name in sorted(own.keys() ^ shapes.keys()):
        side = "lacks" if name in own else "has an extra"
        why = "these weights are of another architecture or configuration"
        if name in own and name.startswith("frame.") and "head" in name:
            why = "the file was saved without that head, without which nothing answers or halts: take the whole state"
        raise BadInput(f"{where}: {side} tensor {name!r}: {why}")
    for name, shape in shapes.items():
        if list(own[name].shape) != shape:
            raise BadInput(f"{where}: tensor {name!r} is {shape} but the configuration needs {list(own[name].shape)}")


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file: check the path of the weights")
    if told := taken_for_weights(path):
        raise BadInput(f"{path.name}: {told}")
    if is_pickled(path):
        raise BadInput(f"{path.name}: is a checkpoint of torch (.pt): `trm-harness zoo import` converts it")
    try:
        with utf8_path(path) as legible, safe_open(legible, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path.name}: cannot be read ({error}): the file is damaged, get it again")
