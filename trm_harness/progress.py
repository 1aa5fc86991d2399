"""Progress of long work: a bar with an ETA on a terminal, a plain line every ten seconds elsewhere. On stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

EVERY = 10.0
"""Seconds between plain lines."""


@contextmanager
def progress() -> Iterator[Callable[[float, int], None]]:
    """A function to call with (answers done, answers in all) as often as one likes."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.percentage:5.1f} %  {task.fields[count]}"), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, count="")

        def show(done: float, total: int) -> None:
            bar.update(task, completed=done, total=total, count=f"{int(done):,} of {total:,} answers")

        yield show


class Lines:
    """Plain progress: at most one line per :data:`EVERY` seconds, none for work that is shorter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._last = clock()
        self._from: float | None = None

    def __call__(self, done: float, total: int) -> None:
        """Say how far it is, if it is time to."""
        now = self._clock()
        if self._from is None:
            self._from = done
        if now - self._last < EVERY:
            return
        self._last = now
        click.echo(
            f"{int(done):,} of {total:,} answers ({100 * done / total:.1f} %){self._left(done, total)}", err=True
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
