"""A sequence whose items are made when first looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

Item = TypeVar("Item")


class Lazy(Sequence[Item]):
    """``count`` items, item ``i`` made by ``make(i)`` on first use and kept from then on. Slices are lazy too."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count, self._make = count, make
        self._kept: dict[int, Item] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Lazy[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Lazy[Item]:
        if isinstance(index, slice):
            places = range(*index.indices(self._count))
            return Lazy(len(places), lambda place: self[places[place]])
        place = range(self._count)[index]
        if place not in self._kept:
            self._kept[place] = self._make(place)
        return self._kept[place]

    def passing(self) -> Iterator[Item]:
        """Every item in order; those made for it are not kept."""
        return (self._kept[place] if place in self._kept else self._make(place) for place in range(self._count))
