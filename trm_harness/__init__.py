"""trm-harness: puzzles in from task plugins, answers from tiny recursive models (or any other solver), records out.

``load_task``, ``load_model``, ``evaluate`` and ``train`` do in one line what the command line does; the last two are
the packages of that name, which can be called (see :mod:`trm_harness.callable`).

The names below are what plugins and notebooks need most; each room's own module has the rest. They are looked up on
first use, so that ``import trm_harness`` costs a millisecond and pulls in neither numpy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_harness.api import load_model, load_task
    from trm_harness.contracts import Model, ModelRequest, Task
    from trm_harness.errors import BadInput, CheckFailed, HarnessError, PluginError, UnknownName
    from trm_harness.hookspecs import hookimpl
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
    "hookimpl",
    "load_model",
    "load_task",
]

_ROOMS = {
    "api": ("load_model", "load_task"),
    "contracts": ("Model", "ModelRequest", "Task"),
    "errors": ("BadInput", "CheckFailed", "HarnessError", "PluginError", "UnknownName"),
    "hookspecs": ("hookimpl",),
    "specs": ("CardsSpec", "ClaimsSpec", "ModelSpec", "TaskSpec", "TrainerSpec"),
    "types": ("Batch", "Cost", "DataSource", "Encoded", "ModelFacts", "Parameters", "Prediction", "Puzzle"),
}
_CALLABLE = ("evaluate", "train")
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use; ``__version__`` is read from the installed distribution."""
    if name == "__version__":
        value = _installed_version()
    elif name in _CALLABLE:
        from importlib import import_module

        value = import_module(f"{__name__}.{name}")
    elif name in _ROOM_OF:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_CALLABLE, "__version__"})


def _installed_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("trm-harness")
    except metadata.PackageNotFoundError:
        return "0+not-installed"
