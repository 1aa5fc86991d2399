"""trm-harness: puzzles in from task plugins, answers from tiny recursive models (or any other solver), records out.

``load_task``, ``load_model``, ``evaluate`` and ``train`` do in one line what the command line does. The names below are
what plugins and notebooks need most; each folder's own module has the rest. They are looked up on first use, so that
``import trm_harness`` costs a millisecond and pulls in neither numpy nor torch.

``evaluate`` and ``train`` are functions here, and packages under the same names hold the code behind them. ``from
trm_harness.train.loop import fit`` and ``import trm_harness.train.loop as loop`` reach into a package as always; what
has the dotted name alone, ``trm_harness.train``, is the function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_harness.api import evaluate, load_model, load_run, load_task, resume, train
    from trm_harness.contracts import Model, ModelRequest, Task
    from trm_harness.errors import BadInput, CheckFailed, HarnessError, PluginError, UnknownName
    from trm_harness.hookspecs import hookimpl
    from trm_harness.registry import register
    from trm_harness.specs import CardsSpec, ClaimsSpec, ModelSpec, TaskSpec, TrainerSpec
    from trm_harness.types import Batch, Cost, DataSource, Encoded, ModelFacts, Parameters, Prediction, Puzzle

__all__ = [
    "BadInput",
    "Batch",
    "CardsSpec",
    "CheckFailed",
    "ClaimsSpec",
    "Cost",
    "DataSource",
    "Encoded",
    "HarnessError",
    "Model",
    "ModelFacts",
    "ModelRequest",
    "ModelSpec",
    "Parameters",
    "PluginError",
    "Prediction",
    "Puzzle",
    "Task",
    "TaskSpec",
    "TrainerSpec",
    "UnknownName",
    "evaluate",
    "hookimpl",
    "load_model",
    "load_run",
    "load_task",
    "register",
    "resume",
    "train",
]

_ROOMS = {
    "api": ("evaluate", "load_model", "load_run", "load_task", "resume", "train"),
    "contracts": ("Model", "ModelRequest", "Task"),
    "errors": ("BadInput", "CheckFailed", "HarnessError", "PluginError", "UnknownName"),
    "hookspecs": ("hookimpl",),
    "registry": ("register",),
    "specs": ("CardsSpec", "ClaimsSpec", "ModelSpec", "TaskSpec", "TrainerSpec"),
    "types": ("Batch", "Cost", "DataSource", "Encoded", "ModelFacts", "Parameters", "Prediction", "Puzzle"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use; ``__version__`` is read from the installed distribution."""
    if name == "__version__":
        value = _installed_version()
    elif name in _ROOM_OF:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _installed_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("trm-harness")
    except metadata.PackageNotFoundError:
        return "0+not-installed"


class _Root(ModuleType):
    """The type of this module.

    Importing ``trm_harness.train.loop`` makes Python bind the package ``train`` here, over the function of that name.
    Whether ``trm_harness.train`` can be called would then depend on who imported what; so that binding is refused.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _ROOM_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
