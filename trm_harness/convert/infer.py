"""A foreign checkpoint's configuration: what its shapes say, what a configuration file says, and what is assumed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from trm_harness.errors import BadInput
from trm_harness.files.read import TOML_LIMIT, read_text
from trm_harness.nn.layers import swiglu_width
from trm_harness.nn.network import Architecture
from trm_harness.nn.reference import layer_settings, settings_from_reference

_BLOCK = re.compile(r"^(\w+)\.blocks\.(\d+)\.")
_EXPANSIONS = (4.0, 2.0, 3.0, 1.0, 6.0, 8.0, 8 / 3)
"""Expansions to try, likely ones first: the inner width is rounded up, so that several give the same."""


@dataclass(frozen=True)
class Setting:
    """One setting and how it is known: ``shape``, ``config file``, ``given`` or ``assumed``."""

    name: str
    value: Any
    how: str


def from_shapes(architecture: Architecture, state: Mapping[str, Tensor], seq_len: int) -> dict[str, Any]:
    """Settings that the shapes of ``state`` (our names) settle for puzzles of ``seq_len`` cells.

    ``BadInput`` if a tensor that every network has is missing.
    """
    vocab, hidden = _shape(state, "frame.token_embedding.weight")
    known: dict[str, Any] = {"vocab_size": vocab, "hidden_size": hidden, "seq_len": seq_len}
    known |= dict(_stacks(architecture, state))
    if (table := state.get("table.weight")) is not None:
        known |= {"table_rows": table.shape[0], "puzzle_dim": table.shape[1]}
    else:
        known |= {"puzzle_dim": 0}
    known |= _positions(state, seq_len)
    if "features" in {field.name for field in fields(architecture.config)}:
        # One starting vector for each feature.
        known["features"] = sum(name.endswith("_init") for name in state)
    return known


def from_file(architecture: Architecture, path: Path) -> dict[str, Any]:
    """Settings of the reference's ``all_config.yaml`` (or its ``arch`` table alone). ``BadInput`` if it is not one."""
    import yaml

    try:
        data = yaml.safe_load(read_text(path, TOML_LIMIT, "the reference's configuration"))
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: cannot be read as YAML ({str(error).splitlines()[0]}): check --config") from error
    table = data.get("arch", data) if isinstance(data, dict) else None
    if not isinstance(table, dict) or "hidden_size" not in table:
        raise BadInput(f"{path}: has no arch table with a hidden_size: give the reference's all_config.yaml")
    return settings_from_reference(architecture, table)


def settle(
    architecture: Architecture,
    shapes: Mapping[str, Any],
    file: Mapping[str, Any],
    given: Mapping[str, Any],
    usual: Mapping[str, Any],
) -> list[Setting]:
    """Every setting of the configuration with its origin: shapes first, then file, what was given, and the usual.

    ``BadInput`` if a file or a given value says otherwise than the shapes.
    """
    sources = {"shape": shapes, "given": given, "config file": file, "assumed": usual}
    settled = []
    for name in [field.name for field in fields(architecture.config)]:
        found = [(how, source[name]) for how, source in sources.items() if name in source]
        for how, value in found[1:]:
            if how != "assumed" and found[0][0] == "shape" and value != found[0][1]:
                raise BadInput(f"{name}: {how} says {value!r}, but the tensors are those of {found[0][1]!r}")
        if found:
            settled.append(Setting(name, found[0][1], found[0][0]))
    return settled


def _stacks(architecture: Architecture, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """Layers, mixer and expansion."""
    counts: dict[str, int] = {}
    for name in state:
        if match := _BLOCK.match(name):
            counts[match[1]] = max(counts.get(match[1], 0), int(match[2]) + 1)
    for stack, setting in layer_settings(architecture).items():
        ours = architecture.reference[stack]
        if ours not in counts:
            raise BadInput(f"the checkpoint has no layers of {stack}: it is not of architecture {architecture.name}")
        yield setting, counts[ours]
    first = next(iter(counts))
    yield "mixer", "mlp" if f"{first}.blocks.0.mixer.gate_up.weight" in state else "attention"
    width, hidden = _shape(state, f"{first}.blocks.0.mlp.gate_up.weight")
    fitting = [value for value in _EXPANSIONS if 2 * swiglu_width(hidden, value) == width]
    if not fitting:
        raise BadInput(f"no usual expansion gives an inner width of {width // 2} for hidden size {hidden}: give one")
    yield "expansion", fitting[0]


def _positions(state: Mapping[str, Tensor], seq_len: int) -> dict[str, Any]:
    """Position code and prefix, where a tensor runs over the whole sequence."""
    learned = state.get("frame.position_embedding.weight")
    if learned is not None:
        return {"positions": "learned", "prefix": _prefix(learned.shape[0], seq_len)}
    for name, value in state.items():
        if name.endswith(".mixer.gate_up.weight"):
            # Who mixes cells by an MLP knows their places from it; the reference's recipe leaves codes out then.
            return {"prefix": _prefix(value.shape[1], seq_len)}
    return {}


def _prefix(total: int, seq_len: int) -> int:
    if total < seq_len:
        raise BadInput(f"the checkpoint is for sequences of {total}, the task has {seq_len} cells: name its own task")
    return total - seq_len


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in state or state[name].ndim != 2:
        raise BadInput(f"the checkpoint has no matrix {name!r}: it is of another architecture")
    return state[name].shape[0], state[name].shape[1]
