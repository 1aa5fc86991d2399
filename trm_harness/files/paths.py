"""Where the folders that travel with the package lie: beside it in a checkout, inside it in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

from trm_harness.errors import BadInput

PACKAGE = Path(__file__).resolve().parent
"""Folder of the ``trm_harness`` package."""


def zoo() -> Path:
    """Folder of the shipped zoo cards, ``<arch.tag>/card.toml`` each. Raises ``BadInput`` if it is missing."""
    return shipped("zoo")


def own_zoo() -> Path:
    """Folder of the user's own cards: ``$TRM_HARNESS_ZOO``, else one among the user's data. It need not exist."""
    if os.environ.get("TRM_HARNESS_ZOO"):
        return Path(os.environ["TRM_HARNESS_ZOO"]).expanduser()
    return _user_folder("XDG_DATA_HOME", ".local/share") / "zoo"


def cache() -> Path:
    """Folder of what can be made again: ``$XDG_CACHE_HOME/trm-harness`` or the like. It need not exist."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def leaderboards() -> Path:
    """Folder of the shipped leaderboards: ``reported/``, ``records/``, ``RULES.md``."""
    return shipped("leaderboards")


def reported() -> Path:
    """Folder of the CSV files of scores that others published."""
    return leaderboards() / "reported"


def records() -> Path:
    """Folder of the records that this project publishes."""
    return leaderboards() / "records"


def checkout() -> Path | None:
    """Root of the source tree this package runs from, or ``None`` when it was installed from a wheel."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "plugins").is_dir() else None


def shipped(name: str) -> Path:
    """The shipped folder ``name``. Raises ``BadInput`` when this installation lacks it."""
    root = checkout()
    folder = (root or PACKAGE / "_shipped") / name
    if not folder.is_dir():
        raise BadInput(f"the shipped folder {name!r} is missing at {folder}: reinstall trm-harness")
    return folder


def _user_folder(variable: str, usual: str) -> Path:
    """``trm-harness`` in the folder that ``variable`` names, else in ``usual`` under the home folder."""
    return Path(os.environ.get(variable) or Path.home() / usual) / "trm-harness"
