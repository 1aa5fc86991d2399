"""Who answers the batches: this process one after the other, or several processes that share them out.

The order of answers is the plan's either way and a batch keeps its neighbours, so the journal is the same to the byte.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

from trm_harness.contracts import Metered, Model, Task
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.inference.interrupt import leave_stopping_to_parent
from trm_harness.inference.plan import Asked, StepOptions
from trm_harness.inference.steps import predict
from trm_harness.machine import check_processes
from trm_harness.record.journal import Row
from trm_harness.types import plain

Batches = Iterable[tuple[int, list[Asked]]]
Answered = Iterator[tuple[int, list[Asked], list[Row]]]
Tick = Callable[[float], None]
Ticks = Callable[[int, int], Tick]
"""``(items before a batch, items in it)`` to who is told of the share of it that is done."""

_AHEAD = 2
"""Batches waiting for each process: enough to keep it busy, few enough that little is lost by Ctrl-C."""


@runtime_checkable
class Sharing(Protocol):
    """A model that learns while it answers, and can leave what it learnt to other processes."""

    def share(self, folder: Path) -> None:
        """From now on keep in ``folder`` what is learnt, and read there what another process kept."""
        ...


@dataclass(frozen=True)
class Workers:
    """``count`` processes; ``build(place)`` gives each its task and model and must survive pickling.

    ``used`` adds up what the processes' models say they used (see :class:`~trm_harness.contracts.Metered`).
    """

    count: int
    build: Callable[[int], tuple[Task, Model]]
    used: Counter[str] = field(default_factory=Counter)

    def check(self, model: Model) -> None:
        """``BadInput`` for a model that several processes cannot share."""
        check_processes(self.count)
        if isinstance(model, Metered) and not isinstance(model, Sharing):
            raise BadInput(f"model {model.spec.id} keeps one account of what it uses: leave --processes out")

    def answers(self, batches: Batches, options: StepOptions, ticks: Ticks) -> Answered:
        """As :func:`one_by_one`, several batches at once. ``CheckFailed`` if a process dies."""
        context = get_context("spawn")
        places = context.SimpleQueue()
        for index in range(self.count):
            places.put(index)
        waiting: deque[tuple[int, list[Asked], Future[tuple[list[Row], Counter[str]]]]] = deque()
        died = "a process that answers died (out of memory?): try --resume with fewer processes"
        with (
            TemporaryDirectory(prefix="trm-harness-") as folder,
            pool_of(self.count, died, _begin, places, self.build, Path(folder)) as pool,
        ):
            for before, batch in batches:
                waiting.append((before, batch, pool.submit(_answer, batch, options)))
                if len(waiting) >= self.count * _AHEAD:
                    yield self._next(waiting, ticks)
            while waiting:
                yield self._next(waiting, ticks)

    def _next(self, waiting: deque[Any], ticks: Ticks) -> tuple[int, list[Asked], list[Row]]:
        before, batch, future = waiting.popleft()
        rows, used = future.result()
        self.used.update(used)
        ticks(before, len(batch))(1.0)
        return before, batch, rows


@contextmanager
def pool_of(count: int, died: str, begin: Callable[..., None], *given: Any) -> Iterator[ProcessPoolExecutor]:
    """``count`` fresh processes, each begun by ``begin(*given)``; gone when the block ends, whatever ended it.

    ``CheckFailed`` with the words ``died`` if one of them dies.
    """
    pool = ProcessPoolExecutor(count, get_context("spawn"), begin, given)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise CheckFailed(died) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def one_by_one(task: Task, model: Model, batches: Batches, options: StepOptions, ticks: Ticks) -> Answered:
    """Each batch with the items before it and its rows. ``ticks`` make who is told of progress inside a batch."""
    for before, batch in batches:
        yield before, batch, predict(task, model, batch, options, ticks(before, len(batch)))


_own: dict[str, Callable[[], tuple[Task, Model]]] = {}
"""How a process makes its own task and model; afterwards, how it gets at them."""


def _begin(places: Any, build: Callable[[int], tuple[Task, Model]], folder: Path) -> None:
    leave_stopping_to_parent()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    place = places.get()
    # Made with the first batch: what goes wrong here would be "a process died", there it is told as what it is.
    _own["made"] = lambda: _sharing(build(place), folder)


def _sharing(made: tuple[Task, Model], folder: Path) -> tuple[Task, Model]:
    if isinstance(made[1], Sharing):
        made[1].share(folder)
    return made


def _die_with_parent() -> None:
    """A process whose first process was killed would wait for batches for ever, with the model in memory."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer(batch: list[Asked], options: StepOptions) -> tuple[list[Row], Counter[str]]:
    """The rows of a batch, and what the model used for them."""
    task, model = made = _own["made"]()
    _own["made"] = lambda: made
    before = usage_of(model)
    return predict(task, model, batch, options), usage_of(model) - before


def usage_of(model: Model) -> Counter[str]:
    """What the model says it used so far; nothing of one that keeps no account."""
    return Counter(plain(model.usage()) if isinstance(model, Metered) else {})
