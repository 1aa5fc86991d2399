"""Standard streams: where they are closed, or whoever read them went away, a run goes on all the same."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

GONE = (errno.EPIPE, errno.EIO)
"""What writing says when the reader of a pipe, or a terminal, is gone."""


def prepare() -> None:
    """Give the process three standard streams that are open, and a stderr that nothing written to it can break.

    A service or cron may start a program without any: the next file that it opens, a journal say, would become its
    standard output. Called before anything else is opened.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            _point_nowhere(handle)
    if sys.stdout is None:
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    if getattr(sys.stdout, "errors", "") == "strict":
        # Names of files that are no UTF-8 come out as the bytes they are.
        sys.stdout.reconfigure(errors="surrogateescape")
    if sys.stderr is None or (sys.stderr is sys.__stderr__ and _handle(sys.stderr) == 2):
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        # Unbuffered, so that a signal handler may write while a line is being written.
        raw = _Forgiving(2)
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(raw, encoding, "backslashreplace", write_through=True)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print what came of finished work: that nobody reads it is no failure of the work."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in GONE:
            raise
        nobody_reads()


def nobody_reads() -> None:
    """Point standard output nowhere: Python flushes it at exit, which would fail again."""
    _point_nowhere(_handle(sys.stdout))


class _Forgiving(io.RawIOBase):
    """A stream on a file descriptor. Once writing fails it is pointed nowhere."""

    def __init__(self, handle: int) -> None:
        self._number = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: bytes) -> int:  # type: ignore[override]
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                # A terminal that somebody made non-blocking and that is full: a line of progress is not worth waiting.
                break
            except OSError:
                _point_nowhere(self._number)
                break
        return len(data)


def _handle(stream: object) -> int:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return -1


def _point_nowhere(handle: int) -> None:
    """Make a descriptor write to, and read from, the null device; programs that are started inherit it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if handle < 0 or handle == nowhere:
        os.set_inheritable(nowhere, handle == nowhere)
        return
    os.dup2(nowhere, handle)
    os.close(nowhere)
