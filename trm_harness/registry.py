"""Names -> specs. Building it imports manifests only; what a spec points at is imported on first use.

Every plugin registers through its own door, so each name knows its owner, and a plugin whose registration fails
half-way leaves nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from trm_harness.errors import PluginError, UnknownName
from trm_harness.plugins import DISABLE, PluginHost, PluginInfo, load, near, traced
from trm_harness.specs import CardsSpec, ClaimsSpec, ModelSpec, TaskSpec, TrainerSpec

KINDS: Mapping[str, type] = MappingProxyType(
    {"task": TaskSpec, "model": ModelSpec, "trainer": TrainerSpec, "cards": CardsSpec, "claims": ClaimsSpec}
)
"""Kinds of things a plugin can register and the spec each one takes."""

_ID = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)?")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Spec(Protocol):
    """What every spec has."""

    id: str
    target: str


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A spec and the plugin that registered it."""

    kind: str
    spec: S
    owner: PluginInfo


class Catalog(Generic[S]):
    """The specs of one kind by name; read-only."""

    def __init__(self, kind: str, entries: list[Entry[S]], out_of_use: tuple[str, ...] = ()) -> None:
        """Raises ``PluginError`` when two plugins claim one name. ``out_of_use`` names plugins that are not loaded."""
        self.kind = kind
        self._out_of_use = out_of_use
        self._resolved: dict[tuple[str, str], Any] = {}
        taken: dict[str, Entry[S]] = {}
        for entry in entries:
            if entry.spec.id in taken:
                raise PluginError(_clash(taken[entry.spec.id], entry))
            taken[entry.spec.id] = entry
        self._entries = MappingProxyType(dict(sorted(taken.items())))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[S]:
        return (entry.spec for entry in self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self._entries)

    def spec(self, name: str) -> S:
        """The spec of ``name``. Raises ``UnknownName`` with the nearest known names."""
        return self._entry(name).spec

    def owner(self, name: str) -> PluginInfo:
        """The plugin that registered ``name``. Raises ``UnknownName``."""
        return self._entry(name).owner

    def resolve(self, name: str, which: str = "target") -> Any:
        """The object that ``name``'s target points at, imported on first use.

        ``which`` names the spec's field: a trainable model has a second target, ``trainable``. Raises ``UnknownName``,
        or ``PluginError`` naming the plugin if the spec has no such target or its import fails.
        """
        if (name, which) not in self._resolved:
            entry = self._entry(name)
            target = getattr(entry.spec, which)
            if not target:
                raise PluginError(f"{self.kind} {name!r} of {entry.owner} declares no {which!r}")
            try:
                self._resolved[name, which] = import_target(target)
            except Exception as error:
                raise PluginError(
                    f"{self.kind} {name!r} of {entry.owner} cannot be imported from {target!r}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return self._resolved[name, which]

    def _entry(self, name: str) -> Entry[S]:
        if name in self._entries:
            return self._entries[name]
        hint = near(name, self._entries) or self._elsewhere(name)
        raise UnknownName(f"unknown {self.kind} {name!r}{hint}")

    def _elsewhere(self, name: str) -> str:
        package, slash, _ = name.partition("/")
        if slash:
            hint = f": is the plugin {package!r} installed? (`trm-harness plugins list`)"
        else:
            hint = f": known are {', '.join([*self.names()[:12], *(['...'] if len(self) > 12 else [])])}"
        return f"{hint} (not in use: {', '.join(self._out_of_use)})" if self._out_of_use else hint


@dataclass(frozen=True, eq=False)
class Registry:
    """Everything the plugins of this process declared."""

    host: PluginHost
    tasks: Catalog[TaskSpec]
    models: Catalog[ModelSpec]
    trainers: Catalog[TrainerSpec]
    cards: Catalog[CardsSpec]
    claims: Catalog[ClaimsSpec]

    @classmethod
    def from_host(cls, host: PluginHost) -> Registry:
        """Ask every healthy plugin what it has. Raises ``PluginError`` when two claim one name."""
        entries = collect(host)
        out_of_use = tuple(f"{info.name} {info.status}" for info in host.plugins if info.status != "ok")
        catalogs = [Catalog(kind, [entry for entry in entries if entry.kind == kind], out_of_use) for kind in KINDS]
        return cls(host, *catalogs)


@cache
def installed() -> PluginHost:
    """The installed plugins, loaded once for the process."""
    return load()


@cache
def default() -> Registry:
    """The registry of the installed plugins, built once for the process. Raises ``PluginError`` for a clash."""
    return Registry.from_host(installed())


def collect(host: PluginHost) -> list[Entry[Any]]:
    """What every healthy plugin registers. A plugin that raises while it registers is quarantined whole."""
    collected: list[Entry[Any]] = []
    for info in host.healthy():
        door = _Door(info)
        with host.isolated(info):
            for kind in KINDS:
                door.kind = kind
                host.call(info, f"register_{kind.removesuffix('s')}s", register=door)
            collected += door.entries
        door.kind = ""
    return collected


@dataclass(eq=False)
class _Door:
    """The ``register`` callable of one plugin."""

    owner: PluginInfo
    kind: str = ""
    entries: list[Entry[Any]] = field(default_factory=list)

    def __call__(self, spec: Any) -> None:
        if not self.kind:
            raise PluginError(f"{self.owner} registers outside its register_* hooks")
        expected = KINDS[self.kind]
        if not isinstance(spec, expected):
            raise PluginError(f"register takes a {expected.__name__} here, not {type(spec).__name__}")
        if not _ID.fullmatch(spec.id):
            raise PluginError(f"{self.kind} id {spec.id!r}: use letters, digits and . _ + -, or package/name")
        for target in filter(None, (spec.target or "(empty)", getattr(spec, "trainable", ""))):
            if not _TARGET.fullmatch(target):
                raise PluginError(f"{self.kind} {spec.id!r}: target {target!r} is not of the form 'module:attribute'")
        if any(entry.kind == self.kind and entry.spec.id == spec.id for entry in self.entries):
            raise PluginError(f"{self.kind} {spec.id!r} is registered twice")
        with traced(f"{self.kind} {spec.id!r} registered by {self.owner}"):
            self.entries.append(Entry(self.kind, spec, self.owner))


def _clash(first: Entry[Any], second: Entry[Any]) -> str:
    third_party = first.owner if second.owner.in_tree else second.owner
    return (
        f"{first.kind} {first.spec.id!r} is claimed by {first.owner} and {second.owner}: "
        f"uninstall one, or set {DISABLE}={third_party.name}"
    )


def import_target(target: str) -> Any:
    """The object behind ``"module:attribute"``; whatever its import raises goes through."""
    from functools import reduce
    from importlib import import_module

    module, _, attribute = target.partition(":")
    return reduce(getattr, attribute.split("."), import_module(module))
