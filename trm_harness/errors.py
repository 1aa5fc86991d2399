"""The errors a user may meet. The command line prints their one line and exits with ``exit_code``."""

from __future__ import annotations


class HarnessError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do, in one line."""

    exit_code = 2


class BadInput(HarnessError):
    """A file, option or value is wrong (exit code 2)."""


MOST = 2**63 - 1
"""The largest whole number that a record, a seed or a counter takes."""


def check_count(name: str, value: int | None) -> None:
    """``BadInput`` unless ``value`` is a whole number that a record takes, or is left open."""
    if value is not None and not 0 <= value <= MOST:
        raise BadInput(f"{name} must not be negative: {value}" if value < 0 else f"{name} {value} is above {MOST}")


class DataMissing(BadInput):
    """Data that would have to be downloaded first are not on this machine (exit code 2)."""


class NoSplit(BadInput):
    """The data given hold no puzzles of a split that the task has (exit code 2)."""


class UnknownName(HarnessError):
    """No task, model, trainer, card or run of that name (exit code 2)."""


class PluginError(HarnessError):
    """A plugin broke the rules of registration (exit code 2)."""


class Incompatible(PluginError):
    """A plugin was written for another version of the plugin API (exit code 2)."""


class CheckFailed(HarnessError):
    """A check ran and found something wrong (exit code 1)."""

    exit_code = 1
