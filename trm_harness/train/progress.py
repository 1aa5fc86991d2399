"""Progress of a training run: a live line with throughput and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from trm_harness.cli.progress import duration

METRICS = ("loss", "exact_accuracy", "accuracy", "steps")
EVERY = 10.0
"""Seconds between plain lines."""

Report = Callable[[dict[str, Any]], None]


@contextmanager
def reporter(total: int) -> Iterator[Report]:
    """A function that takes metrics rows."""
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
            if means.age() >= 1:
                bar.update(shown, completed=row["step"], text=means.text())

        yield report


class Means:
    """Means of the metrics since the last text, throughput, and the time left at that rate."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._rows: list[Mapping[str, Any]] = []
        self._since = clock()

    def add(self, row: Mapping[str, Any]) -> None:
        """One more step."""
        self._rows.append(row)

    def age(self) -> float:
        """Seconds since the last text."""
        return self._clock() - self._since

    def text(self) -> str:
        """What to show; starts a new stretch."""
        means = {name: [row[name] for row in self._rows if row[name] == row[name]] for name in METRICS}
        words = "  ".join(f"{name} {sum(v) / len(v):.4f}" for name, v in means.items() if v)
        rate = len(self._rows) / max(1e-9, self.age())
        left = (self._total - self._rows[-1]["step"]) / rate
        self._rows, self._since = [], self._clock()
        return f"{words}  {rate:.2f} steps/s  {duration(left)} left"


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
        if self._means.age() >= EVERY or row["step"] == self._total:
            click.echo(f"step {row['step']}/{self._total}  {self._means.text()}", err=True)
            sys.stderr.flush()


def validated(row: Mapping[str, Any]) -> str:
    """A validation in one line."""
    found = dict(row["validation"])
    n = found.pop("n")
    words = ", ".join(f"{name} {100 * value:.2f} %" for name, value in found.items())
    return f"step {row['step']}  validation on {n}: {words} ({duration(row['validation_seconds'])})"
