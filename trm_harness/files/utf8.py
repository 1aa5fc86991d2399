"""Paths for libraries that open none but those in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def is_utf8(path: Path) -> bool:
    """Whether the bytes of a path are UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """``path`` to read from where it is UTF-8, else a link to it that is, for as long as the block runs."""
    if is_utf8(path):
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder, f"file{path.suffix}" if path.suffix.isascii() else "file")
        link.symlink_to(path.absolute())
        yield link
