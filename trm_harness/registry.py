"""Names -> specs. Building it imports manifests only; what a spec points at is imported on first use.

Every plugin registers through its own door, so each name knows its owner, and a plugin whose registration fails
half-way leaves nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from trm_harness.errors import BadInput, PluginError, UnknownName
from trm_harness.plugins.host import DISABLE, PluginHost, PluginInfo, load, near, traced
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
    """A spec and the plugin that registered it. ``given`` is the object itself, where a session registered one."""

    kind: str
    spec: S
    owner: PluginInfo
    given: Any = None


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

    def given(self, name: str) -> Any:
        """The very object that a session registered as ``name``; ``None`` for everything that has to be made."""
        return self._entries[name].given if name in self._entries else None

    def resolve(self, name: str, which: str = "target") -> Any:
        """The object that ``name``'s target points at, imported on first use.

        ``which`` names the spec's field: a trainable model has a second target, ``trainable``. Raises ``UnknownName``,
        or ``PluginError`` naming the plugin if the spec has no such target or its import fails.
        """
        if (name, which) not in self._resolved:
            entry = self._entry(name)
            if entry.given is not None:
                return lambda *asked: entry.given
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

    def task(self, name: str, data: Path | None = None, views: str = "") -> Any:
        """The task object of ``name``, reading ``data`` instead of the published puzzles where given.

        ``views`` is the kind of views that the weights want of it: ``reference`` for a released table, which knows the
        augmentations that it was trained under and no others; ``turns`` for weights that met no renamed colours.
        Raises ``UnknownName`` or ``PluginError``.
        """
        spec = self.tasks.spec(name)
        if data and self.tasks.given(name) is not None:
            raise BadInput(f"{name} is a task object with puzzles of its own: leave data out")
        if views:
            spec = replace(spec, options={**spec.options, "views": views})
        return self.tasks.resolve(name)(spec, data)

    @classmethod
    def from_host(cls, host: PluginHost) -> Registry:
        """Ask every healthy plugin what it has. Raises ``PluginError`` when two claim one name."""
        return cls._of(host, collect(host))

    @classmethod
    def with_session(cls, host: PluginHost, session: Mapping[tuple[str, str], Entry[Any]]) -> Registry:
        """As :meth:`from_host`; what the session registered counts before a plugin's of the same kind and id."""
        others = [entry for entry in collect(host) if (entry.kind, entry.spec.id) not in session]
        return cls._of(host, [*others, *session.values()])

    @classmethod
    def _of(cls, host: PluginHost, entries: list[Entry[Any]]) -> Registry:
        out_of_use = tuple(f"{info.name} {info.status}" for info in host.plugins if info.status != "ok")
        catalogs = [Catalog(kind, [entry for entry in entries if entry.kind == kind], out_of_use) for kind in KINDS]
        return cls(host, *catalogs)


@cache
def installed() -> PluginHost:
    """The installed plugins, loaded once for the process."""
    return load()


@cache
def default() -> Registry:
    """The registry of the installed plugins and of what the session registered. ``PluginError`` for a clash."""
    return Registry.with_session(installed(), _session)


def published() -> Registry:
    """The registry of the installed plugins alone."""
    return Registry.from_host(installed())


SESSION = PluginInfo("session", "session", "", "", in_tree=False)
"""Owner of what a Python session registers."""

_session: dict[tuple[str, str], Entry[Any]] = {}


def register(thing: Any) -> str:
    """Make a task or a model known by its id until the process ends; the id.

    ``thing`` is an object that keeps the contract of a task or a model, or a spec whose target can be imported
    (``"__main__:build"`` is a function of a notebook). An id of the session's own may be registered again, the newest
    counts. ``BadInput`` for anything else, and for an id that a plugin has.
    """
    entry = _entry_of(thing)
    key = (entry.kind, entry.spec.id)
    known = _catalog(default(), entry.kind)
    if key not in _session and entry.spec.id in known:
        raise BadInput(f"{entry.kind} {entry.spec.id!r} belongs to {known.owner(entry.spec.id)}: choose another id")
    _session[key] = entry
    default.cache_clear()
    return entry.spec.id


@contextmanager
def lent(*things: Any) -> Iterator[None]:
    """While entered, the ids of these tasks and models mean these very objects, whatever plugins call so.

    The whole process sees it: for one thread at a time.
    """
    entries = [_entry_of(thing) for thing in things]
    before = dict(_session)
    try:
        if entries:
            _session.update({(entry.kind, entry.spec.id): entry for entry in entries})
            default.cache_clear()
        yield
    finally:
        if entries:
            _session.clear()
            _session.update(before)
            default.cache_clear()


def _catalog(registry: Registry, kind: str) -> Catalog[Any]:
    return getattr(registry, f"{kind}s")


def _entry_of(thing: Any) -> Entry[Any]:
    """The entry of a spec or of an object that has one. ``BadInput`` for anything else."""
    spec = thing if isinstance(thing, tuple(KINDS.values())) else getattr(thing, "spec", None)
    kind = next((kind for kind in ("task", "model", "trainer") if isinstance(spec, KINDS[kind])), None)
    if kind is None:
        raise BadInput(f"{type(thing).__name__} is no task and no model: it needs a `spec`, a TaskSpec or a ModelSpec")
    given = None if thing is spec else thing
    try:
        _check_spec(kind, spec, with_target=given is None)
    except PluginError as error:
        raise BadInput(str(error)) from None
    return Entry(kind, spec, SESSION, given)


def _check_spec(kind: str, spec: Any, with_target: bool = True) -> None:
    """``PluginError`` for a name or a target that cannot be."""
    if not _ID.fullmatch(spec.id):
        raise PluginError(f"{kind} id {spec.id!r}: use letters, digits and . _ + -, or package/name")
    targets = (spec.target or "(empty)", getattr(spec, "trainable", "")) if with_target else ()
    for target in filter(None, targets):
        if not _TARGET.fullmatch(target):
            raise PluginError(f"{kind} {spec.id!r}: target {target!r} is not of the form 'module:attribute'")


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
        _check_spec(self.kind, spec)
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
