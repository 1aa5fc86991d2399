"""Where the folders that travel with the package lie: beside it in a checkout, inside it in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

from trm_harness.errors import BadInput

PACKAGE = Path(__file__).resolve().parents[1]
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


def checkout() -> Path | None:
    """Root of the source tree this package runs from, or ``None`` when it was installed from a wheel."""
    root = PACKAGE.parent
    return root if _is_checkout(root) else None


def _is_checkout(root: Path) -> bool:
    try:
        return (root / "pyproject.toml").is_file() and all(
            (root / name).is_dir() for name in ("trm_harness", "plugins", "zoo", "leaderboards")
        )
    except OSError:
        return False


def here() -> Path | None:
    """Root of the checkout of this project that the working folder lies in, whichever one runs; ``None`` outside."""
    try:
        above = Path.cwd()
    except OSError:
        return None
    return next((root for root in (above, *above.parents) if _is_checkout(root)), None)


def board_here() -> Path:
    """Leaderboards folder that the working folder belongs to: of its checkout, else the user's own.

    The user's own, :func:`own_leaderboards`, need not exist.
    """
    root = here()
    return root / "leaderboards" if root else own_leaderboards()


def board_to_read() -> Path:
    """:func:`board_here` if it is there, else the shipped leaderboards."""
    root = board_here()
    return root if root.is_dir() else leaderboards()


def zoo_here() -> Path:
    """Folder for new cards: ``$TRM_HARNESS_ZOO``, else that of the checkout one stands in, else the user's own."""
    root = here()
    return own_zoo() if root is None or os.environ.get("TRM_HARNESS_ZOO") else root / "zoo"


def board_beside(folder: Path) -> Path | None:
    """Leaderboards of the checkout whose ``zoo`` is ``folder``; ``None`` for any other folder of cards."""
    root = folder.resolve().parent
    return root / "leaderboards" if folder.resolve() == root / "zoo" and _is_checkout(root) else None


def own_leaderboards() -> Path:
    """Folder of the user's own filed runs, among the user's data. It need not exist."""
    return _user_folder("XDG_DATA_HOME", ".local/share") / "leaderboards"


def shipped(name: str) -> Path:
    """The shipped folder ``name``. Raises ``BadInput`` when this installation lacks it."""
    root = checkout()
    folder = (root or PACKAGE / "_shipped") / name
    if not folder.is_dir():
        raise BadInput(f"the shipped folder {name!r} is missing at {folder}: reinstall trm-harness")
    return folder


def absolute(path: Path | str | None) -> str:
    """``path`` as a run keeps it, good in any working folder; empty for none."""
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def _user_folder(variable: str, usual: str) -> Path:
    """``trm-harness`` in the folder that ``variable`` names, else in ``usual`` under the home folder."""
    try:
        return Path(os.environ.get(variable) or Path.home() / usual) / "trm-harness"
    except RuntimeError:
        # No HOME and no entry for this user: a place that can neither exist nor be made.
        return Path(os.devnull, "no-home-folder", "trm-harness")
