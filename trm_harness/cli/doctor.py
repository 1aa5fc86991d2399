"""``trm-harness doctor``: does everything this installation needs work here?"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from trm_harness.cli.options import echo_json, json_option

SLOW_IMPORT_MS = 50.0
"""A manifest that takes longer than this to import is worth a warning: it slows every command."""


@dataclass(frozen=True)
class Finding:
    """One checked thing: ``status`` is ``ok``, ``warn`` or ``fail``."""

    check: str
    status: str
    detail: str


@click.command()
@click.option("--device", metavar="NAME", help="Prove a device instead, beside the CPU: answers, gradients, speed.")
@json_option
def command(device: str | None, as_json: bool) -> int:
    """Check this installation, or one device of it; exit 1 if something is wrong."""
    checks = CHECKS if device is None else _proofs(device)
    findings = [finding for check in checks for finding in _guarded(check)]
    broken = sum(finding.status == "fail" for finding in findings)
    if as_json:
        echo_json({"ok": not broken, "findings": findings})
    else:
        for finding in findings:
            colour = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.status]
            click.echo(f"{click.style(finding.status.ljust(4), fg=colour)}  {finding.check}: {finding.detail}")
        click.echo(f"{broken} of {len(findings)} checks failed" if broken else f"all {len(findings)} checks passed")
    return int(broken > 0)


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    name = check.__name__.strip("_")
    try:
        yield from check()
    except Exception as error:
        # A check that cannot even run is a finding like any other; the remaining ones still run.
        yield Finding(name, "fail", " ".join(f"{type(error).__name__}: {error}".split()))


def _versions() -> Iterator[Finding]:
    import trm_harness
    from trm_harness.files.paths import checkout

    kind = "from a source tree" if checkout() else "from a wheel"
    yield Finding("trm-harness", "ok", f"{trm_harness.__version__}, {kind}")
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _dependencies() -> Iterator[Finding]:
    """Every distribution that the installed metadata requires, without extras."""
    import re
    from importlib import metadata

    for requirement in metadata.requires("trm-harness") or ():
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "fail", f"not installed: `pip install {requirement!r}`")


def _machine() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    yield Finding(
        "machine",
        "ok",
        f"{os.cpu_count()} cores, {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free",
    )


def _devices() -> Iterator[Finding]:
    """Each device that torch offers multiplies a small matrix and must agree with exact arithmetic."""
    import torch

    from trm_harness import machine

    kind = machine.accelerator()
    for name in ("cpu", *(f"{kind}:{index}" for index in range(machine.device_count()))):
        matrix = torch.arange(16, dtype=torch.float32, device=name).reshape(4, 4)
        exact = float((matrix @ matrix).sum()) == 3920.0
        label = machine.device_name(name) if machine.is_accelerator(name) else f"torch {torch.__version__}"
        yield Finding(f"device {name}", "ok" if exact else "fail", label if exact else f"{label} multiplies wrongly")


def _plugins() -> Iterator[Finding]:
    from trm_harness.cli.plugins import survey
    from trm_harness.plugins.host import DISABLE

    host, _ = survey()
    for info in host.plugins:
        slow = info.import_ms > SLOW_IMPORT_MS
        status = {"ok": "warn" if slow else "ok", "blocked": "warn", "quarantined": "fail"}[info.status]
        detail = info.reason or f"{info.distribution} {info.version}, imported in {info.import_ms:.0f} ms"
        yield Finding(f"plugin {info.name}", status, detail)
    for name in host.unmatched:
        yield Finding("plugins", "warn", f"{DISABLE} names {name!r}, which no installed plugin has")
    if not any(info.in_tree for info in host.plugins):
        yield Finding("plugins", "fail", "the in-tree plugins are not installed: `pip install -e .`")


def _registry() -> Iterator[Finding]:
    """Names are unique and every target imports."""
    from trm_harness.errors import PluginError
    from trm_harness.registry import default

    registry = default()
    for catalog in (registry.tasks, registry.models, registry.trainers):
        bad = []
        for name in catalog.names():
            try:
                for which in ("target", "trainable"):
                    if getattr(catalog.spec(name), which, ""):
                        catalog.resolve(name, which)
            except PluginError as error:
                bad.append(str(error))
        yield from (Finding(f"{catalog.kind}s", "fail", problem) for problem in bad)
        if not bad:
            yield Finding(f"{catalog.kind}s", "ok", f"{len(catalog)} registered, all import")


def _folders() -> Iterator[Finding]:
    """The card and claim folders of every plugin exist and hold something."""
    from trm_harness.registry import default

    registry = default()
    for catalog, pattern in ((registry.cards, "*/card.toml"), (registry.claims, "*.csv")):
        for name in catalog.names():
            folder = Path(catalog.resolve(name)())
            count = len(list(folder.glob(pattern)))
            # The user's own cards need not exist; a folder that somebody ships must hold what it ships.
            fine = count or name == "own"
            yield Finding(f"{catalog.kind} {name}", "ok" if fine else "fail", f"{count} of {pattern} in {folder}")


def _working_folder() -> Iterator[Finding]:
    here = Path.cwd()
    writable = os.access(here, os.W_OK)
    yield Finding("runs folder", "ok" if writable else "warn", f"{here} is {'' if writable else 'not '}writable")


def _terminal() -> Iterator[Finding]:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    utf8 = encoding == "utf8"
    yield Finding("output encoding", "ok" if utf8 else "warn", encoding or "unknown")


LARGEST_PROVED = 1_000_000
"""Parameters of the cards whose golden outputs prove a device: those of a minute."""

APART = 1e-3
"""How far a gradient may be from the CPU's, as a share of the largest one: both are rounded, in another order."""


def _proofs(name: str) -> tuple[Callable[[], Iterator[Finding]], ...]:
    """What shows that a device computes as the CPU does. ``BadInput`` if this machine has none of that name."""
    from trm_harness import machine

    device = machine.resolve_device(name)

    def _device() -> Iterator[Finding]:
        import torch

        free = machine.free_memory(device) / 2**30
        told = f"{machine.device_name(device)}, {free:.1f} GiB free, {machine.usual_dtype(device)} by default"
        yield Finding(f"device {device}", "ok", f"{told}, torch {torch.__version__}")

    def _golden() -> Iterator[Finding]:
        from trm_harness.publish import check_golden
        from trm_harness.registry import default
        from trm_harness.zoo import cards, is_here

        for card in cards(default()).values():
            if card.golden and card.parameters.network <= LARGEST_PROVED and is_here(card):
                found = check_golden(card, device)
                status = "warn" if found.skipped else "ok" if found.passed else "fail"
                yield Finding(f"golden {card.name}", status, found.detail)

    def _gradients() -> Iterator[Finding]:
        from trm_harness.bench.device import gradients_apart

        apart = gradients_apart(device)
        told = f"differ by {apart:.1g} of the largest from the CPU's"
        yield Finding("gradients", "ok" if apart <= APART else "fail", told)

    def _speed() -> Iterator[Finding]:
        from trm_harness.bench.device import speed

        rate, times = speed(device)
        yield Finding("speed", "ok", f"{rate:,.0f} puzzles a second at full depth, {times:.2g} times the CPU's")

    return _device, _golden, _gradients, _speed


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _versions,
    _dependencies,
    _machine,
    _devices,
    _plugins,
    _registry,
    _folders,
    _working_folder,
    _terminal,
)
"""What ``doctor`` looks at, in order."""
