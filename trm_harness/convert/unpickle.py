"""Tensors out of a foreign checkpoint, and nothing else: the one place where a pickle is read.

torch's restricted unpickler refuses every object that is no tensor or plain container before it is made, so that a
file cannot run code here.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.rewrite import tensors_of
from trm_harness.errors import BadInput
from trm_harness.zoo import safetensors_metadata

EMA_KEYS = ("ema", "ema_state_dict", "ema_model", "model_ema", "shadow")
RAW_KEYS = ("model_state_dict", "state_dict", "model", "raw", "network")
WHICH = ("auto", "ema", "raw")


def read_checkpoint(path: Path, which: str = "auto") -> tuple[dict[str, Tensor], str]:
    """The state dict in ``path`` and a word on where in the file it was.

    A checkpoint may be the state dict itself, as the reference saves it, or hold one beside other things; of two,
    ``which`` says ``ema`` or ``raw`` (``auto``: EMA where there is one). Tensors of a zip file are mapped, not read: a
    table of gigabytes costs nothing until rows are taken. ``BadInput`` for anything but tensors.
    """
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file: check the path")
    if path.suffix == ".safetensors":
        safetensors_metadata(path)
        return tensors_of(path), "the file's tensors"
    return _chosen(path, _loaded(path), which)


def _loaded(path: Path) -> Any:
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped and any(member.compress_type for member in zipfile.ZipFile(path).infolist()):
            # What is packed may unpack to anything; torch packs nothing.
            raise ValueError("its parts are compressed, as torch never writes them")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: refused, and nothing in it was run: it holds more than tensors ({reason})") from error
    except Exception as error:
        # A damaged file can fail anywhere in the unpickler, with any error.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{path}: is no checkpoint that can be read ({reason}): get the file again") from error


def _chosen(path: Path, loaded: Any, which: str) -> tuple[dict[str, Tensor], str]:
    if not isinstance(loaded, Mapping):
        raise BadInput(f"{path}: holds a {type(loaded).__name__}, not named tensors: is it a checkpoint?")
    if _is_state(loaded):
        return dict(loaded), "the file's tensors (whether EMA or raw is not told)"
    keys = {"ema": EMA_KEYS, "raw": RAW_KEYS, "auto": (*EMA_KEYS, *RAW_KEYS)}[which]
    for key in keys:
        if isinstance(loaded.get(key), Mapping) and _is_state(loaded[key]):
            return dict(loaded[key]), f"the file's {key!r}"
    raise BadInput(f"{path}: has no {'weights' if which == 'auto' else which} among {', '.join(map(str, loaded))}")


def _is_state(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())
