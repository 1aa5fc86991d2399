"""Tensors out of a foreign checkpoint, and nothing else: the one place where a pickle is read.

torch's restricted unpickler refuses every object that is no tensor or plain container before it is made, so that a
file cannot run code here.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.rewrite import tensors_of
from trm_harness.errors import BadInput
from trm_harness.files.read import is_pickled, is_safetensors, taken_for_weights
from trm_harness.files.utf8 import utf8_path
from trm_harness.zoo import safetensors_metadata

EMA_KEYS = ("ema", "ema_state_dict", "ema_model", "model_ema", "shadow")
RAW_KEYS = ("model_state_dict", "state_dict", "model", "raw", "network")
INSIDE = ("shadow", "shadow_params", "params", "state_dict", "model_state_dict", "module", "model", "ema_model", "ema")
"""Where helpers that keep an average put it beside their own numbers (``{"ema": {"shadow": ..., "decay": 0.999}}``)."""

_GLOBAL = re.compile(r"(?:GLOBAL|global|class) ([A-Za-z_][\w.]*)")
_ADVICE = ("weights_only", "torch.load", "trust", "safe_globals", "torch.serialization")
"""Words of torch's advice to switch its protection off."""


def read_checkpoint(path: Path, which: str = "auto") -> tuple[dict[str, Tensor], str]:
    """The state dict in ``path`` and a word on where in the file it was.

    A checkpoint may be the state dict itself, as the reference saves it, or hold one beside other things; of two,
    ``which`` says ``ema`` or ``raw`` (``auto``: EMA where there is one). Tensors of a zip file are mapped, not read: a
    table of gigabytes costs nothing until rows are taken. ``BadInput`` for anything but tensors.
    """
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file: check the path")
    if told := taken_for_weights(path):
        raise BadInput(f"{path}: {told}")
    # By what it holds, whatever it is called.
    if is_safetensors(path) or (path.suffix == ".safetensors" and not is_pickled(path)):
        safetensors_metadata(path)
        return tensors_of(path), "the file's tensors"
    return _chosen(path, _loaded(path), which)


def _loaded(path: Path) -> Any:
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped and any(member.compress_type for member in zipfile.ZipFile(path).infolist()):
            # What is packed may unpack to anything; torch packs nothing.
            raise ValueError("its parts are compressed, as torch never writes them")
        # By its name torch would take such a file for safetensors; what is read from a handle cannot be mapped.
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                return _tensors(file, mapped=False)
        with utf8_path(path) as legible:
            return _tensors(legible, mapped=zipped)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path}: refused, and nothing in it was run: it holds more than tensors{_foreign(error)}; save the state "
            "dict alone"
        ) from None
    except Exception as error:
        # A damaged file can fail anywhere in the unpickler, with any error.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if any(word in reason for word in _ADVICE):
            reason = type(error).__name__
        raise BadInput(f"{path}: is no checkpoint that can be read ({reason}): get the file again") from error


def _tensors(source: Any, mapped: bool) -> Any:
    return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)


def _foreign(error: Exception) -> str:
    """What torch's unpickler stumbled over, without its advice to switch the protection off."""
    named = _GLOBAL.search(str(error))
    return f" ({named[1]})" if named else ""


def _chosen(path: Path, loaded: Any, which: str) -> tuple[dict[str, Tensor], str]:
    if not isinstance(loaded, Mapping):
        raise BadInput(f"{path}: holds a {type(loaded).__name__}, not named tensors: is it a checkpoint?")
    if _is_state(loaded):
        return dict(loaded), "the file's tensors (whether EMA or raw is not told)"
    keys = {"ema": EMA_KEYS, "raw": RAW_KEYS, "auto": (*EMA_KEYS, *RAW_KEYS)}[which]
    for key in keys:
        found = _state_in(loaded.get(key))
        if found is None:
            continue
        state, inside = found
        told = f"the file's {key + inside!r}"
        if key in EMA_KEYS and (whole := next(filter(None, (_state_in(loaded.get(raw)) for raw in RAW_KEYS)), None)):
            # An average is kept of what is trained; buffers are in the state beside it.
            lacking = whole[0].keys() - state.keys() if state.keys() <= whole[0].keys() else ()
            told += f" (the average; {len(lacking)} tensors it has none of are the raw ones)" if lacking else ""
            state = whole[0] | state if lacking else state
        return state, told
    raise BadInput(f"{path}: has no {'weights' if which == 'auto' else which} among {', '.join(map(str, loaded))}")


def _state_in(value: Any) -> tuple[dict[str, Tensor], str] | None:
    """The state dict that ``value`` is or holds, and where in it; ``None`` if it holds none."""
    if not isinstance(value, Mapping):
        return None
    if _is_state(value):
        return dict(value), ""
    for key in INSIDE:
        if isinstance(value.get(key), Mapping) and _is_state(value[key]):
            return dict(value[key]), f".{key}"
    return None


def _is_state(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())
