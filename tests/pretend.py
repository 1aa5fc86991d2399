"""A pretend accelerator, ``pretend:0``: its tensors hold CPU data, have a device of their own and never meet a CPU one.

torch lets a device be written in Python on its PrivateUse1 key. What code does wrongly on CUDA, it does wrongly here: a
tensor that was left on the CPU, a module that did not move. What the host waits for is counted. Importing this file
registers the device for the whole process, so tests run it in one of its own: ``python -m tests.pretend``.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
WAITS = {"aten::_local_scalar_dense": "item", "aten::nonzero": "nonzero", "aten::masked_select": "masked_select"}
WAITS |= {"aten::_unique2": "unique"}
"""Operators whose result the host has to wait for, and what they are called here."""

_COPIES = ("aten::_copy_from", "aten::_copy_from_and_resize", "aten::copy_", "aten::_to_copy")
_TAKES_CPU = ("aten::index.Tensor", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index.Tensor")
"""Operators that may be handed CPU indices on an accelerator too."""

counted: Counter[str] = Counter()


class _Module:
    """What ``torch.get_device_module`` gives for the device."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        pass

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16]

    @staticmethod
    def is_bf16_supported() -> bool:
        return True

    @staticmethod
    def get_device_name(device: str) -> str:
        return "Pretend accelerator"


_setup_privateuseone_for_python_backend(NAME, _Module())
# A device in Python has no streams that torch could wait for, and nothing is under way on it.
torch.accelerator.synchronize = lambda device=None: None


_CPU, _EXTENSION = 1, 12
"""DLPack's numbers of the devices."""


def held(raw: torch.Tensor) -> torch.Tensor:
    """A tensor on the device over the memory of the CPU tensor ``raw``: both hold the same numbers ever after."""
    # A view of a tensor from outside inference mode is none of inference mode either.
    with torch.inference_mode(False):
        return _moved(raw, _EXTENSION)


def bare(one: Any) -> Any:
    """The CPU tensor over the memory of a tensor on the device; anything else as it is."""
    if not is_held(one):
        return one
    with torch.inference_mode(False):
        return _moved(one, _CPU)


def _moved(one: torch.Tensor, device: int) -> torch.Tensor:
    capsule = torch._C._to_dlpack(one)
    _pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    told = ctypes.c_int32.from_address(_pointer(capsule, b"dltensor") + ctypes.sizeof(ctypes.c_void_p))
    told.value = device
    return torch._C._from_dlpack(capsule)


_pointer = ctypes.pythonapi.PyCapsule_GetPointer


def is_held(one: Any) -> bool:
    """Whether ``one`` is a tensor on the device."""
    return isinstance(one, torch.Tensor) and one.device.type == NAME


def _kernel(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operator: on the CPU, with the tensors behind those of the device."""
    name = operator.name()
    base = name.split(".")[0]
    if base in WAITS:
        counted[WAITS[base]] += 1
    _refuse_mixture(name, args, kwargs)
    if base in ("aten::_copy_from", "aten::_copy_from_and_resize"):
        return _copied(*args[:2])
    if kwargs.get("device") is not None:
        kwargs["device"] = torch.device("cpu")
    kwargs.pop("pin_memory", None)
    inputs = [(bare(one), one) for one in tree_flatten((args, kwargs))[0] if is_held(one)]
    known = {id(one): raw for raw, one in inputs}
    strip = partial(tree_map, lambda one: known.get(id(one), one))
    # Numbers that stand for tensors come as numbers.
    whole = zip(operator._schema.arguments, args, strict=False)
    args = [torch.tensor(one) if _is_number_for_tensor(argument, one) else one for argument, one in whole]
    found = operator(*strip(args), **strip(kwargs))
    given = {id(raw): one for raw, one in inputs}
    # What works in place gives back the very tensor that it was handed.
    return tree_map(lambda one: _told(given, one) if isinstance(one, torch.Tensor) else one, found)


def _is_number_for_tensor(argument: Any, one: Any) -> bool:
    return isinstance(one, bool | int | float) and str(argument.type) == "Tensor"


def _told(given: dict[int, torch.Tensor], one: torch.Tensor) -> torch.Tensor:
    return given[id(one)] if id(one) in given else held(one)


def _copied(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if is_held(source) and not is_held(target):
        counted["cpu"] += 1
    bare(target).copy_(bare(source))
    return target


def _refuse_mixture(name: str, args: Any, kwargs: Any) -> None:
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    strangers = [one for one in tensors if not is_held(one) and one.dim()]
    if strangers and not name.startswith((*_COPIES, *_TAKES_CPU)):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {NAME}:0 and cpu")


_library = torch.library.Library("_", "IMPL")
_library.fallback(_kernel, "PrivateUse1")


def _made(operator: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A new tensor of an operator that would otherwise resize an empty one, which this device cannot."""
    told = {name: value for name, value in kwargs.items() if name not in ("device", "pin_memory", "layout")}
    return held(operator(*args, **told))


_aten = torch.library.Library("aten", "IMPL")
for _name in ("arange", "arange.start", "arange.start_step"):
    _packet, _, _overload = _name.partition(".")
    _aten.impl(_name, partial(_made, getattr(getattr(torch.ops.aten, _packet), _overload or "default")), "PrivateUse1")


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """What the host waits for while entered."""
    counted.clear()
    found: Counter[str] = Counter()
    yield found
    found.update(counted)
