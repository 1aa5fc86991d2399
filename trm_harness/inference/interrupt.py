"""Ctrl-C, a polite kill or a terminal that closes: the first asks a run to stop, a second one stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal is gone; ``None`` on systems without it."""

SIGNALS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None)


class Interrupt:
    """While entered, SIGINT, SIGTERM and SIGHUP set ``asked``; a second one raises ``KeyboardInterrupt``.

    A hangup that somebody had ignored (``nohup``) stays ignored, and a second hangup means no more than the first:
    kernel and shell both send one.
    Signals reach the main thread only: in another one nothing changes and ``asked`` stays false.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            wanted = [one for one in SIGNALS if one != HANGUP or signal.getsignal(one) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in wanted}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == HANGUP:
            return
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("finishing this batch, then stopping (once more to stop at once)")


def leave_stopping_to_parent() -> None:
    """In a process that works for another: let Ctrl-C and a closing terminal pass, for the other one stops it."""
    for number in (signal.SIGINT, HANGUP):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
