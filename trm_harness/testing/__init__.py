"""The kit for plugin authors: laws that every task, model and trainer keeps, as pytest checks and as ``plugins check``.

A whole test file::

    from trm_harness.testing import parametrize_with_checks

    @parametrize_with_checks("my-plugin")
    def test_laws(check):
        check()

Each failure says what is wrong and what to change. The names are looked up on first use: importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_harness.testing.checks import Check, Outcome, check_all, checks_of, parametrize_with_checks
    from trm_harness.testing.laws import KIT_VERSION, Law, LawBroken, NotApplicable
    from trm_harness.testing.subjects import ModelSubject, PluginSubject, TaskSubject, TrainerSubject

__all__ = [
    "KIT_VERSION",
    "Check",
    "Law",
    "LawBroken",
    "ModelSubject",
    "NotApplicable",
    "Outcome",
    "PluginSubject",
    "TaskSubject",
    "TrainerSubject",
    "check_all",
    "checks_of",
    "parametrize_with_checks",
]

_FILES = {
    "checks": ("Check", "Outcome", "check_all", "checks_of", "parametrize_with_checks"),
    "laws": ("KIT_VERSION", "Law", "LawBroken", "NotApplicable"),
    "subjects": ("ModelSubject", "PluginSubject", "TaskSubject", "TrainerSubject"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
    globals()[name] = value
    return value
