"""Packages that can be called.

``trm_harness.evaluate`` and ``trm_harness.train`` are packages, and Python binds a package to its name in the root as
soon as anybody imports it: a function of the same name there would come and go with the order of imports. So the two
packages themselves take the call, which looks the same to the caller and always works.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module
from typing import Any


class CallablePackage(types.ModuleType):
    """A package whose call is ``call_target``, ``"module:function"``, imported when it is first called."""

    call_target: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, _, name = self.call_target.partition(":")
        return getattr(import_module(module), name)(*args, **kwargs)


def callable_package(name: str, target: str) -> None:
    """Have the package ``name``, which is being imported, answer calls with ``target``."""
    package = sys.modules[name]
    package.__class__ = CallablePackage
    package.call_target = target
