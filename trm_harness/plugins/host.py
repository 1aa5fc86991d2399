"""Plugins: found by entry point, isolated from one another, checked, blockable, and attributed to a distribution.

pluggy's own entry-point loader lets an exception from any installed plugin end the program and registers misspelt
hooks silently. Here a plugin that misbehaves is *quarantined*: one warning line names it, its traceback is kept for
``trm-harness plugins list``, and everything else works on.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Protocol

import pluggy

from trm_harness import hookspecs
from trm_harness.errors import HarnessError, Incompatible, PluginError
from trm_harness.plugins import local_files

HOME = "trm-harness"
"""The distribution whose plugins count as in-tree."""
LOOSE = "file"
"""What stands for the version of a plugin that is a single file."""

DISABLE = "TRM_HARNESS_DISABLE"
"""Environment variable: comma-separated plugin or distribution names to leave out; ``*`` is all third-party ones."""

TRACE = "TRM_HARNESS_TRACE"
"""Environment variable: ``1`` prints every hook call to stderr, with what it registers and how long it takes."""

LONGEST_REASON = 300
"""Characters of a quarantine's reason; the traceback has the rest."""


@dataclass(eq=False)
class PluginInfo:
    """One plugin and what became of it.

    ``module`` is the entry point's value, ``import_ms`` the wall time of importing it, ``status`` one of ``ok``,
    ``quarantined``, ``blocked``; ``reason`` is one line and ``traceback`` the whole story of a quarantine.
    """

    name: str
    distribution: str
    version: str
    module: str
    in_tree: bool
    hooks: tuple[str, ...] = ()
    import_ms: float = 0.0
    status: str = "ok"
    reason: str = ""
    traceback: str = ""
    api: int | None = None

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.distribution} {self.version})"

    @property
    def label(self) -> str:
        """``name (distribution version)``."""
        return f"{self.name} ({self.distribution} {self.version})"


class Loadable(Protocol):
    """Where a plugin comes from: an entry point, or a loose file."""

    def load(self) -> object:
        """Import it."""
        ...


@dataclass(eq=False)
class PluginHost:
    """The plugins of this process. ``manager`` holds the healthy ones, ``plugins`` tells about all of them."""

    manager: pluggy.PluginManager
    plugins: list[PluginInfo] = field(default_factory=list)
    unmatched: tuple[str, ...] = ()
    """Names asked to be blocked that no installed plugin has."""

    def healthy(self) -> list[PluginInfo]:
        """The plugins in use."""
        return [info for info in self.plugins if info.status == "ok"]

    def find(self, name: str) -> list[PluginInfo]:
        """All plugins of that name or distribution: two where a name is claimed twice, none where it is unknown."""
        return [info for info in self.plugins if name in (info.name, info.distribution)]

    def call(self, info: PluginInfo, hook: str, **arguments: Any) -> None:
        """Call one plugin's implementation of ``hook``, if it has one; what it raises is the caller's affair."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == info.name:
                with traced(f"{hook} of {info}"):
                    implementation.function(*(arguments[name] for name in implementation.argnames))

    @contextmanager
    def isolated(self, info: PluginInfo) -> Iterator[None]:
        """Run a plugin's code: whatever it raises quarantines it, and what it prints cannot spoil ``--json``."""
        try:
            with redirect_stdout(sys.stderr):
                yield
        except (Exception, SystemExit) as error:
            self.quarantine(info, error)

    def quarantine(self, info: PluginInfo, error: BaseException) -> None:
        """Put a plugin out of use, say so in one line on stderr, and keep the traceback."""
        import logging
        from traceback import format_exception

        info.status = "quarantined"
        info.reason = _one_line(error)
        # Being too old or too new is no fault of the code: the reason says it all.
        info.traceback = "" if isinstance(error, Incompatible) else "".join(format_exception(error))
        # Only one whose hooks were read can be registered: the name may belong to an earlier plugin.
        if info.hooks and self.manager.has_plugin(info.name):
            self.manager.unregister(name=info.name)
        # logging's last-resort handler puts this on stderr; a program that uses the library can route it elsewhere.
        logging.getLogger(__name__).warning(
            "warning: %s is quarantined: %s (see `trm-harness plugins show %s`)", info, info.reason, info.name
        )

    def admit(self, info: PluginInfo, entry: Loadable) -> None:
        """Import a plugin, check its hooks and put it to use; on any failure quarantine it."""
        started = time.perf_counter()
        with self.isolated(info):
            if self.manager.has_plugin(info.name):
                first = self.find(info.name)[0]
                raise PluginError(f"the name {info.name!r} is taken by {first}: uninstall one, or set {DISABLE}")
            try:
                with traced(f"import of {info}"):
                    plugin = entry.load()
            finally:
                info.import_ms = (time.perf_counter() - started) * 1000
            info.api = _checked_api(plugin)
            info.hooks = _checked_hooks(self.manager, plugin)
            self.manager.register(plugin, name=info.name)


def load(group: str = hookspecs.PROJECT, disable: str | None = None) -> PluginHost:
    """Load every installed plugin of the entry-point ``group``, then loose files; never raises for what a plugin does.

    ``disable`` is a comma-separated list as in ``TRM_HARNESS_DISABLE``, which is read when it is ``None``. Loose files
    are those of ``--plugin`` and of the project's pyproject.toml (:mod:`trm_harness.plugins.local_files`);
    ``BadInput`` if one of them is not there.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    blocked = _names(os.environ.get(DISABLE, "") if disable is None else disable)
    found: list[tuple[PluginInfo, Loadable]] = sorted(
        ((_describe(entry), entry) for entry in metadata.entry_points(group=group)),
        key=lambda pair: (not pair[0].in_tree, pair[0].distribution, pair[0].name),
    )
    # With everything of others switched off, a project's file is not even read.
    files = local_files.files() if group == hookspecs.PROJECT and "*" not in blocked else []
    found += [(PluginInfo(file.name, file.origin, LOOSE, file.name, in_tree=False), file) for file in files]
    known = {name for info, _ in found for name in (info.name, info.distribution)}
    host = PluginHost(manager, unmatched=tuple(sorted(blocked - known - {"*"})))
    for info, entry in found:
        host.plugins.append(info)
        if blocked & {info.name, info.distribution} or ("*" in blocked and not info.in_tree):
            info.status, info.reason = "blocked", f"named in {DISABLE}"
        else:
            _announce(entry)
            host.admit(info, entry)
    return host


@contextmanager
def traced(what: str) -> Iterator[None]:
    """With ``TRM_HARNESS_TRACE=1``, tell on stderr what was called, how long it took and what it raised."""
    if os.environ.get(TRACE, "0") in ("", "0"):
        yield
        return
    started, outcome = time.perf_counter(), "ok"
    try:
        yield
    except BaseException as error:
        outcome = f"raised {type(error).__name__}"
        raise
    finally:
        print(f"trace: {what}: {outcome}, {(time.perf_counter() - started) * 1000:.2f} ms", file=sys.stderr)


def _announce(entry: Loadable) -> None:
    """Say so when a file of the project in the current folder is about to be run: nobody typed its name."""
    if isinstance(entry, local_files.LooseFile) and entry.named_in:
        print(f"note: running {entry.path}, a plugin named in {entry.named_in} ({DISABLE}=* stops it)", file=sys.stderr)


def near(name: str, known: Iterable[str]) -> str:
    """``: did you mean 'a' or 'b'?`` for the known names nearest to ``name``, or ``""`` if none is near."""
    from difflib import get_close_matches

    folded = {candidate.lower(): candidate for candidate in known}
    longer = sorted(candidate for candidate in folded if name and candidate.startswith(name.lower()))
    close = get_close_matches(name.lower(), folded, n=3, cutoff=0.6)
    matches = list(dict.fromkeys([*longer, *close]))[:3]
    return f": did you mean {' or '.join(repr(folded[match]) for match in matches)}?" if matches else ""


def _names(listed: str) -> set[str]:
    return {name.strip() for name in listed.split(",") if name.strip()}


def _describe(entry: metadata.EntryPoint) -> PluginInfo:
    distribution, version = _identity(entry.dist) if entry.dist else ("unknown", "unknown")
    return PluginInfo(entry.name, distribution, version, entry.value, in_tree=distribution == HOME)


@functools.cache
def _identity(distribution: metadata.Distribution) -> tuple[str, str]:
    """The name and version of a distribution. Each look at them parses its whole metadata, for each plugin again."""
    stated = distribution.metadata
    return stated["Name"] or "unknown", stated["Version"] or "unknown"


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    line = message if isinstance(error, HarnessError) else f"{type(error).__name__}: {message}".removesuffix(": ")
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def _checked_api(plugin: object) -> int | None:
    """The version of the plugin API a manifest states. Raises ``Incompatible`` for one that does not work here."""
    stated = getattr(plugin, "PLUGIN_API", None)
    ours, oldest = hookspecs.API_VERSION, hookspecs.OLDEST_API
    if stated is None:
        return None
    if not isinstance(stated, int) or isinstance(stated, bool):
        raise Incompatible(f"PLUGIN_API is {stated!r}: it must be the number of a plugin API, {ours} here")
    if stated > ours:
        raise Incompatible(
            f"it is written for plugin API {stated}, this trm-harness has {ours}: upgrade trm-harness "
            "(pip install -U trm-harness), or install an older version of the plugin"
        )
    if stated < oldest:
        raise Incompatible(
            f"it is written for plugin API {stated}, this trm-harness takes {oldest} to {ours}: upgrade the plugin"
        )
    return stated


def _checked_hooks(manager: pluggy.PluginManager, plugin: object) -> tuple[str, ...]:
    """Names of the hooks a plugin implements. Raises ``PluginError`` for one that would silently do nothing."""
    known = {name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), f"{hookspecs.PROJECT}_spec")}
    hooks = []
    for attribute in dir(plugin):
        marks = manager.parse_hookimpl_opts(plugin, attribute)
        if marks is None:
            if attribute in known:
                raise PluginError(f"{attribute} has no effect: decorate it with @trm_harness.hookimpl")
            continue
        hook = marks.get("specname") or attribute
        if hook in known and (marks.get("wrapper") or marks.get("hookwrapper")):
            raise PluginError(f"{hook} may not be a wrapper: plugins are called one by one")
        if hook not in known and not marks.get("optionalhook"):
            raise PluginError(f"unknown hook {hook!r}{near(hook, known)}")
        hooks.append(hook)
    if not hooks:
        raise PluginError("it implements no hook: decorate register_tasks or another with @trm_harness.hookimpl")
    return tuple(hooks)
