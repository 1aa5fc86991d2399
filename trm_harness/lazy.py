"""A sequence whose items are made when first looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import TypeVar, overload

Item = TypeVar("Item")


class Lazy(Sequence[Item]):
    """``count`` items, item ``i`` made by ``make(i)`` on first use and kept from then on. Slices are lazy too."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._places, self._make = range(count), make
        self._kept: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Lazy[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Lazy[Item]:
        if isinstance(index, slice):
            # What one of them makes the other need not make again.
            part = copy(self)
            part._places = self._places[index]
            return part
        place = self._places[index]
        if place not in self._kept:
            self._kept[place] = self._make(place)
        return self._kept[place]

    def passing(self) -> Iterator[Item]:
        """Every item in order; those made for it are not kept."""
        return (self._kept[place] if place in self._kept else self._make(place) for place in self._places)
