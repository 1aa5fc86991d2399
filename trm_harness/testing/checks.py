"""Checks: a law applied to a subject, with one name; run one by one by pytest or all together by ``plugins check``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_harness.errors import PluginError, UnknownName
from trm_harness.plugins.host import PluginInfo, near
from trm_harness.registry import Registry, default
from trm_harness.testing import models, plugins, tasks, trainers
from trm_harness.testing.laws import LAWS, Law, LawBroken, NotApplicable
from trm_harness.testing.subjects import ModelSubject, PluginSubject, TaskSubject, TrainerSubject

Subject = PluginSubject | TaskSubject | ModelSubject | TrainerSubject
Data = Mapping[str, Path | Callable[[], Path]]
"""Folder of files by task id, or a function that makes one."""

FILES = (plugins, tasks, models, trainers)
"""Where laws are written; importing them fills the list."""


@dataclass(frozen=True, eq=False)
class Check:
    """One law on one subject. Calling it raises ``LawBroken`` (an ``AssertionError``) or is fine."""

    subject: Subject
    law: Law

    @property
    def id(self) -> str:
        """``task-sudoku-4x4-decode_undoes_encode``."""
        return f"{self.subject.kind}-{self.subject.id}-{self.law.name}"

    def __call__(self) -> None:
        """Run it. In pytest a law that does not apply is a skipped test."""
        __tracebackhide__ = True
        try:
            self.run()
        except NotApplicable as reason:
            import pytest

            pytest.skip(str(reason))

    def run(self) -> None:
        """Run it. ``LawBroken``, ``NotApplicable``; whatever a plugin raises by itself breaks the law too."""
        __tracebackhide__ = True
        try:
            self.law.run(self.subject)
        except (LawBroken, NotApplicable):
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise LawBroken(
                f"{self.law.name} on {self.subject.kind} {self.subject.id} ended in {what}. "
                "Change: what raises it, see the traceback (`plugins check --traceback` shows it)"
            ) from error


@dataclass(frozen=True)
class Outcome:
    """What became of a check: ``status`` is ``ok``, ``broken`` or ``skipped``; ``detail`` says why it is not ok."""

    kind: str
    subject: str
    law: str
    status: str
    detail: str = ""
    seconds: float = 0.0
    traceback: str = ""


def checks_of(*names: str, data: Data | None = None, registry: Registry | None = None) -> list[Check]:
    """Every check of the named plugins, distributions, tasks, models or trainers; of everything without a name.

    ``data`` gives tasks a folder of their own files. ``UnknownName`` for a name that nothing has, ``PluginError`` for a
    plugin that is out of use.
    """
    registry = registry or default()
    subjects = list(_subjects(registry, names, data or {}))
    return [Check(subject, law) for subject in subjects for law in LAWS if law.kind == subject.kind]


def parametrize_with_checks(
    *names: str, data: Data | None = None, slow: Callable[[Check], bool] | None = None, registry: Registry | None = None
) -> Any:
    """Decorator: a test with the argument ``check`` becomes one test per (object, law), with a readable id.

    ``names`` and ``data`` as for :func:`checks_of`. Checks for which ``slow(check)`` holds get ``pytest.mark.slow``.
    """
    import pytest

    def marks(check: Check) -> list[Any]:
        return [pytest.mark.slow] if slow and slow(check) else []

    found = checks_of(*names, data=data, registry=registry)
    return pytest.mark.parametrize("check", [pytest.param(check, id=check.id, marks=marks(check)) for check in found])


def check_all(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run checks one after another, each told as it ends."""
    for check in checks:
        began = time.perf_counter()
        status, detail, story = _tried(check)
        spent = time.perf_counter() - began
        yield Outcome(check.subject.kind, check.subject.id, check.law.name, status, detail, round(spent, 3), story)


def _tried(check: Check) -> tuple[str, str, str]:
    from traceback import format_exception

    try:
        check.run()
    except NotApplicable as reason:
        return "skipped", " ".join(str(reason).split()), ""
    except LawBroken as error:
        return "broken", " ".join(str(error).split()), "".join(format_exception(error.__cause__ or error))
    return "ok", "", ""


def _subjects(registry: Registry, names: tuple[str, ...], data: Data) -> Iterator[Subject]:
    owners = [info for name in names for info in _owners(registry, name)]
    chosen = None if not names else {id(info) for info in owners}
    ids = {name for name in names if not registry.host.find(name)}
    for info in registry.host.healthy():
        if chosen is None or (id(info) in chosen and not ids & _ids(registry, info)):
            yield PluginSubject(info)
    for catalog, make in (
        (registry.tasks, lambda spec: TaskSubject(registry, spec, _folder(data, spec.id))),
        (registry.models, lambda spec: ModelSubject(registry, spec)),
        (registry.trainers, lambda spec: TrainerSubject(registry, spec)),
    ):
        for spec in catalog:
            mine = _ids(registry, catalog.owner(spec.id)) & ids
            if chosen is None or (id(catalog.owner(spec.id)) in chosen and (not mine or spec.id in mine)):
                yield make(spec)


def _folder(data: Data, task: str) -> Path | None:
    found = data.get(task)
    return found() if callable(found) else found


def _ids(registry: Registry, info: PluginInfo) -> set[str]:
    catalogs = (registry.tasks, registry.models, registry.trainers)
    return {spec.id for catalog in catalogs for spec in catalog if catalog.owner(spec.id) is info}


def _owners(registry: Registry, name: str) -> list[PluginInfo]:
    """The plugins that ``name`` means: by plugin, distribution, or the id of something that one registers."""
    found = registry.host.find(name)
    for info in found:
        if info.status != "ok":
            raise PluginError(f"{info} cannot be checked, it is {info.status}: {info.reason}")
    if found:
        return found
    catalogs = (registry.tasks, registry.models, registry.trainers)
    found = [catalog.owner(name) for catalog in catalogs if name in catalog]
    if not found:
        known = [info.name for info in registry.host.plugins] + [i for c in catalogs for i in c.names()]
        raise UnknownName(f"nothing installed is called {name!r}{near(name, known)} (`trm-harness plugins list`)")
    return found
