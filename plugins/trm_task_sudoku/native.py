"""``explore`` of :mod:`trm_harness.solvers.sudoku_bands` from C: the same counts and solutions, some 25 times as fast.

The search for hard puzzles needs it, and who draws many 9x9 puzzles is served sooner. ``bands.c`` is compiled on first
use with the system's C compiler into a temporary folder that goes with the process; without a compiler the search for
hard puzzles runs on the Python original, for hours.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trm_harness.solvers import sudoku_bands
from trm_harness.solvers.sudoku_bands import Guessing
from trm_harness.types import Grid

SIZE = 9
"""The only board that the C source knows."""

SOURCE = Path(__file__).with_name("bands.c")
Explore = Callable[..., Guessing]


@lru_cache(maxsize=1)
def fastest() -> Explore:
    """The C version if it can be compiled here, else the Python one."""
    return compiled() or sudoku_bands.explore


@lru_cache(maxsize=1)
def compiled() -> Explore | None:
    """The C version; ``None`` where no compiler is found or it fails (it must know ``__int128``)."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    with TemporaryDirectory() as folder:
        library = Path(folder) / "bands.so"
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        functions = ctypes.CDLL(str(library))
    functions.prepare()
    return _wrapped(functions.explore)


def _wrapped(function: Callable[..., int]) -> Explore:
    def explore(grid: Grid, wanted: int = 1, most: int | None = None, ban: tuple[int, int] | None = None) -> Guessing:
        cells = np.ascontiguousarray(grid, np.uint8)
        found, guesses = np.zeros((wanted, 9, 9), np.uint8), ctypes.c_int()
        banned = -1 if ban is None else 81 * (ban[1] - 1) + ban[0]
        limit = -1 if most is None else most
        place = [ctypes.c_void_p(array.ctypes.data) for array in (cells, found)]
        count = function(place[0], banned, wanted, limit, place[1], ctypes.byref(guesses))
        return Guessing(wanted, most, guesses.value, list(found[:count]))

    return explore
