"""Progress of long work: a bar with an ETA on a terminal, a plain line every ten seconds elsewhere. On stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

EVERY = 10.0
"""Seconds between plain lines."""

_quiet = False


def be_quiet(wanted: bool) -> None:
    """Show no progress from now on, or show it again. Warnings and errors are no progress."""
    global _quiet
    _quiet = wanted


def is_quiet() -> bool:
    """Whether progress is not to be shown."""
    return _quiet


def say(what: str) -> None:
    """Say on stderr what is being done now, unless nothing is to be shown."""
    if not is_quiet():
        click.echo(what, err=True)


@contextmanager
def progress(what: str = "answers") -> Iterator[Callable[[float, int], None]]:
    """A function to call with (``what`` is done, in all) as often as one likes."""
    if is_quiet():
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield Lines(what=what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.percentage:5.1f} %  {task.fields[count]}"), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, count="")

        def show(done: float, total: int) -> None:
            bar.update(task, completed=done, total=total, count=f"{int(done):,} of {total:,} {what}")

        yield show


class Lines:
    """Plain progress: at most one line per :data:`EVERY` seconds, none for work that is shorter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, what: str = "answers") -> None:
        self._clock, self._what = clock, what
        self._began = self._last = clock()
        self._from: float | None = None

    def __call__(self, done: float, total: int) -> None:
        """Say how far it is, if it is time to."""
        now = self._clock()
        if self._from is None:
            # From here on: what came before was loading, which says nothing of the pace.
            self._from, self._began = done, now
        if now - self._last < EVERY:
            return
        self._last = now
        click.echo(
            f"{int(done):,} of {total:,} {self._what} ({100 * done / total:.1f} %){self._left(done, total)}", err=True
        )

    def _left(self, done: float, total: int) -> str:
        fresh = done - (self._from or 0)
        return f", {duration((total - done) * (self._last - self._began) / fresh)} left" if fresh > 0 else ""


def duration(seconds: float) -> str:
    """Seconds in words a person reads: ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
