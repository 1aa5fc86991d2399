"""Files and folders written whole or not at all. Everything that the harness writes goes through here.

What is written lies under a temporary name beside its place, is brought to the disk, gets the mode of an ordinary new
file (or that of the file it replaces) and takes its name in one move. What fails leaves nothing behind and touches
nothing that was there. Plugins may use it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trm_harness.errors import BadInput

UNFINISHED = ".new-*"
"""Names of folders that :func:`folder` has not finished; a killed process leaves them."""

_SHOWN = 40
"""Characters of a file's name in its temporary one: together they must not be longer than a file system takes."""


@contextmanager
def replacing(path: Path, parents: bool = False) -> Iterator[Path]:
    """A temporary path to write to, which becomes the file ``path`` when the block ends well.

    A link is followed: the file it names is replaced, the link stays. With ``parents`` the folders above are made where
    they are missing. ``BadInput`` if ``path`` cannot be written or is there as something else than a file; any other
    error of the block is raised as it is.
    """
    with _explained(path):
        final = _behind(path)
        if parents:
            final.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(final)
        temporary = final.with_name(f".{final.name[:_SHOWN]}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        try:
            # Made first, for its mode: some libraries write through private files of their own.
            with temporary.open("xb") as made:
                mode = stat.S_IMODE(os.fstat(made.fileno()).st_mode) if mode is None else mode
            yield temporary
            to_disk(temporary)
            if stat.S_IMODE(temporary.stat().st_mode) != mode:
                temporary.chmod(mode)
            temporary.replace(final)
            to_disk(final.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(file: Path, text: str, parents: bool = False) -> Path:
    """``file``, replaced by ``text`` as UTF-8, line breaks as they are. Else as :func:`replacing`."""
    return write_bytes(file, text.encode(), parents)


def write_bytes(file: Path, content: bytes, parents: bool = False) -> Path:
    """``file``, replaced by ``content``. Else as :func:`replacing`."""
    with replacing(file, parents) as temporary:
        temporary.write_bytes(content)
    return file


@contextmanager
def folder(path: Path, name: str = "", replace: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, which becomes the folder ``path`` when the block ends well.

    Until then its path ends in ``name`` (default: the name of ``path``), for what is named after its folders. A folder
    with things in it that is there already is kept and refused, or with ``replace`` goes. ``BadInput`` for that, or if
    ``path`` cannot be written; any other error of the block is raised as it is.
    """
    with _explained(path):
        final = _behind(path)
        missing = [parent for parent in final.parents if not parent.exists()]
        # Below a folder of its own, so that it can have any name, and the mode of an ordinary folder.
        above = final.parent / f".new-{os.getpid()}-{os.urandom(4).hex()}"
        made = above / (name or final.name)
        try:
            made.mkdir(parents=True)
            yield made
            for inside, _, names in os.walk(made):
                for file in names:
                    to_disk(Path(inside, file))
                to_disk(Path(inside))
            if final.exists() and (not final.is_dir() or any(final.iterdir())):
                if not replace:
                    raise BadInput(f"{path} is there already: choose another name, or remove it")
                final.replace(above / "old")
            made.replace(final)
            to_disk(final.parent)
        finally:
            shutil.rmtree(above, ignore_errors=True)
            with suppress(OSError):
                # Stops at the first that holds something.
                for parent in missing:
                    parent.rmdir()


def to_disk(path: Path) -> None:
    """Wait until the bytes of a file, or the entries of a folder where the system can, are on the disk."""
    is_folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not is_folder:
            raise


def _behind(path: Path) -> Path:
    """``path`` with its links followed. ``BadInput`` for what cannot be a name."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise BadInput(f"{str(path)!r} cannot be written: {error}") from error


def _mode(path: Path) -> int | None:
    """Permissions of the file at ``path``, ``None`` if there is none. ``BadInput`` for a folder, a device and such."""
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        raise BadInput(f"{path} cannot be written: it is {'a folder' if stat.S_ISDIR(found) else 'no ordinary file'}")
    return stat.S_IMODE(found) & 0o777


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns the system's errors into ``BadInput`` about ``path``."""
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        # Not where it lies while it is being made: that is gone when the message is read.
        own = any(part.startswith(".") and str(os.getpid()) in part for part in named.parts)
        other = "" if own or named in (path, path.parent) else f" ({named})"
        raise BadInput(f"{path} cannot be written: {error.strerror or error}{other}") from error
