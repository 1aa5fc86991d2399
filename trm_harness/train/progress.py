"""Progress of a training run: a live line with throughput and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from trm_harness.progress import duration, is_quiet

METRICS = ("loss", "exact_accuracy", "accuracy", "steps")
"""Shown first, in this order."""
NOT_SHOWN = ("step", "bucket", "lm_loss", "q_halt_loss", "halted", "seconds", "flags")
"""What the shared loop reports besides. Any other number, a trainer's own or the auxiliary loss, is shown too."""
EVERY = 10.0
"""Seconds between plain lines."""
FIRST = 3.0
"""Seconds until the first one: early enough to change one's mind."""

Report = Callable[[dict[str, Any]], None]


@contextmanager
def reporter(total: int) -> Iterator[Report]:
    """A function that takes metrics rows."""
    if is_quiet():
        yield lambda row: None
        return
    click.echo("getting ready: first batch, first step (compiling takes up to a minute)", err=True)
    if not sys.stderr.isatty():
        yield Lines(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown, means = bar.add_task("", total=total, text=""), Means(total)

        def report(row: dict[str, Any]) -> None:
            if "validation" in row:
                console.print(validated(row), highlight=False)
                return
            means.add(row)
            if means.counts() and means.age() >= 1:
                bar.update(shown, completed=row["step"], text=means.text())

        yield report


class Means:
    """Means of the metrics since the last text, throughput, and the time left at that rate."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._rows: list[Mapping[str, Any]] = []
        self._since = clock()
        self._began: tuple[float, int] | None = None
        self.texts = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """One more step. The very first, with compiling and the first batch in it, says nothing of the pace."""
        if self._began is None:
            self._since = self._clock()
            self._began = (self._since, row["step"])
        self._rows.append(row)

    def counts(self) -> bool:
        """Whether there is a step to tell of besides the first."""
        return bool(self._rows) and self._rows[-1]["step"] > self._began[1]

    def age(self) -> float:
        """Seconds since the last text."""
        return self._clock() - self._since

    def text(self) -> str:
        """What to show; starts a new stretch."""
        means = {name: [row[name] for row in self._rows if _counts(row.get(name))] for name in self._names()}
        words = "  ".join(f"{name} {sum(v) / len(v):.4f}" for name, v in means.items() if v)
        now, last = self._clock(), self._rows[-1]["step"]
        since, step = (self._since, last - len(self._rows)) if self.texts else self._began
        rate = (last - step) / max(1e-9, now - since)
        self._rows, self._since, self.texts = [], now, self.texts + 1
        return f"{words}  {rate:.2f} steps/s  {duration((self._total - last) / rate)} left" if rate else words

    def _names(self) -> list[str]:
        """The metrics to show: those of every run, then the trainer's own."""
        own = (name for row in self._rows for name in row if name not in NOT_SHOWN)
        return list(dict.fromkeys((*METRICS, *own)))


def _counts(value: Any) -> bool:
    """Whether ``value`` is a number to take a mean of."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


class Lines:
    """Plain progress: a line every :data:`EVERY` seconds, at the end, and for every validation."""

    def __init__(self, total: int) -> None:
        self._total, self._means = total, Means(total)

    def __call__(self, row: dict[str, Any]) -> None:
        """Take a row; say something if it is time to."""
        if "validation" in row:
            click.echo(validated(row), err=True)
            return
        self._means.add(row)
        wait = EVERY if self._means.texts else FIRST
        if self._means.counts() and (self._means.age() >= wait or row["step"] == self._total):
            click.echo(f"step {row['step']}/{self._total}  {self._means.text()}", err=True)
            sys.stderr.flush()


def validated(row: Mapping[str, Any]) -> str:
    """A validation in one line."""
    found = dict(row["validation"])
    n = found.pop("n")
    words = ", ".join(f"{name} {100 * value:.2f} %" for name, value in found.items())
    return f"step {row['step']}  validation on {n}: {words} ({duration(row['validation_seconds'])})"
