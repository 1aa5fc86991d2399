"""From a puzzle's identity (``00576224|||t3|||0123456789``) to rows of the puzzle table.

``table`` is the published form: one row per (task, augmentation) name. ``factored`` composes the identity from a task
row, one of 8 dihedral rows and ten colour rows (colour ``c`` became ``p``), so that a few hundred thousand values
cover every augmentation; the rows lie side by side in the network's prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SEPARATOR = "|||"
BLANK = 0


class Identities(Protocol):
    """Names to table rows."""

    names: tuple[str, ...]
    """What is stored beside the weights."""

    def rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """``int64 [batch, k]`` row numbers; unknown names give the blank row."""
        ...


class NoIdentities:
    """Tasks without identities (Sudoku, mazes): every puzzle reads row 0, as in the reference."""

    names: tuple[str, ...] = ()

    def rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """Zeros ``[batch, 1]``."""
        return np.zeros((len(identities), 1), dtype=np.int64)


class TableIdentities:
    """One row per name; ``names[i]`` owns row ``i`` and ``names[0]`` is the blank."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._row = {name: row for row, name in enumerate(self.names)}

    @property
    def table_rows(self) -> int:
        """Rows the table needs."""
        return max(1, len(self.names))

    def rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """``[batch, 1]``."""
        return np.array([[self._row.get(name, BLANK)] for name in identities], dtype=np.int64)


class FactoredIdentities:
    """Row layout: blank, tasks, 8 dihedral maps, then 10 x 10 colours (slot c, value p)."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.names = tuple(tasks)
        self._task = {name: row for row, name in enumerate(self.names, start=1)}
        self._dihedral = len(self.names) + 1
        self._colour = self._dihedral + 8

    @property
    def table_rows(self) -> int:
        """Rows the table needs."""
        return self._colour + 100

    def rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """``[batch, 12]``: task, dihedral map, ten colours."""
        return np.array([self._one(name) for name in identities], dtype=np.int64).reshape(len(identities), 12)

    def _one(self, identity: str) -> list[int]:
        base, *rest = identity.split(SEPARATOR)
        turn = int(rest[0][1:]) if rest else 0
        colours = rest[1] if rest else "0123456789"
        slots = [self._colour + 10 * slot + int(value) for slot, value in enumerate(colours)]
        return [self._task.get(base, BLANK), self._dihedral + turn, *slots]


def make_identities(kind: str, names: Sequence[str]) -> NoIdentities | TableIdentities | FactoredIdentities:
    """The identity map of a config's ``identities`` field."""
    if kind == "table" and names:
        return TableIdentities(names)
    if kind == "factored":
        return FactoredIdentities(names)
    return NoIdentities()
