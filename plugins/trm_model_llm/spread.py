"""Many requests at once, their answers as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """``work`` of every item, at most ``workers`` at once: the item's place and its result, as they come.

    After an exception nothing new is begun; what is under way is waited for and given, so that nothing it cost is lost,
    and then the first exception is raised. Whoever stops listening begins nothing new either. Ctrl-C waits for nothing:
    the threads are daemons, which a pool's would not be, and a process could not end before its slowest request.
    """
    waiting: SimpleQueue[tuple[int, T]] = SimpleQueue()
    done: SimpleQueue[_Done] = SimpleQueue()
    for entry in enumerate(items):
        waiting.put(entry)
    for _ in range(min(workers, len(items))):
        Thread(target=_serve, args=(work, waiting, done), daemon=True).start()
    failures: list[BaseException] = []
    left = len(items)
    try:
        while left:
            one = done.get()
            left -= 1 + one.given_up
            if one.failure is None:
                yield one.place, one.result
            else:
                failures.append(one.failure)
    finally:
        for _ in _taken(waiting):
            pass
    if failures:
        raise failures[0]


class _Done(NamedTuple):
    """What became of the item at ``place``; ``given_up`` counts the items that will not be begun because of it."""

    place: int
    result: Any = None
    failure: BaseException | None = None
    given_up: int = 0


def _serve(work: Callable[[T], R], waiting: SimpleQueue[tuple[int, T]], done: SimpleQueue[_Done]) -> None:
    """One worker: take an item, hand in its result or what went wrong, until none is left."""
    for place, item in _taken(waiting):
        try:
            done.put(_Done(place, work(item)))
        except BaseException as error:
            done.put(_Done(place, None, error, sum(1 for _ in _taken(waiting))))


def _taken(waiting: SimpleQueue[tuple[int, T]]) -> Iterator[tuple[int, T]]:
    """The items that nobody has taken yet, one by one."""
    while True:
        try:
            yield waiting.get_nowait()
        except Empty:
            return
