"""What a law is, how it fails, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trm_harness.plugins.check_log import KIT_VERSION

__all__ = ["KIT_VERSION", "LAWS", "Law", "LawBroken", "NotApplicable", "demand", "law"]


class LawBroken(AssertionError):
    """A plugin breaks a law; the message says what was seen and what to change."""


class NotApplicable(Exception):
    """A law has nothing to say about this object, or what it needs is not here; the message says which."""


@dataclass(frozen=True)
class Law:
    """One law: ``run(subject)`` raises :class:`LawBroken` or :class:`NotApplicable`, or is kept.

    ``kind`` is the kind of subject (``plugin``, ``task``, ``model``, ``trainer``), ``slow`` whether it takes more than
    some seconds on small puzzles.
    """

    kind: str
    name: str
    run: Callable[[Any], None]
    slow: bool = False


LAWS: list[Law] = []
"""Every law of the kit, in the order in which they are tried."""


def law(kind: str, slow: bool = False) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Make a function a law of ``kind``; its name is the law's."""

    def add(run: Callable[[Any], None]) -> Callable[[Any], None]:
        LAWS.append(Law(kind, run.__name__, run, slow))
        return run

    return add


def demand(kept: bool, seen: str, change: str) -> None:
    """Raise :class:`LawBroken` unless ``kept``: what was ``seen``, and what to ``change``."""
    __tracebackhide__ = True
    if not kept:
        raise LawBroken(f"{seen}. Change: {change}")
