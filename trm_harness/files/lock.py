"""A run's folder has one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trm_harness.errors import BadInput


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold ``folder`` alone; ``BadInput`` if another process does. The lock dies with its process."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise BadInput(f"{folder} is being written by another process: wait until it ends, or stop it") from None
    except PermissionError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}") from None
