"""``trm-harness plugins``: what is installed, what it brings, and why a plugin is out of use."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import SuggestingGroup, echo_json, facts, json_option, plain, table

if TYPE_CHECKING:
    from trm_harness.plugins import PluginHost, PluginInfo

Provided = dict[int, dict[str, list[str]]]
"""Per plugin (by ``id`` of its info): kind -> names it registers."""


@click.group(cls=SuggestingGroup)
def command() -> None:
    """Installed plugins and their health: list, show."""


@command.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the plugins, with the traceback of every quarantined one."""
    host, provided = survey()
    if as_json:
        echo_json([_described(info, provided) for info in host.plugins])
        return
    rows = [
        (info.name, info.distribution, info.version, info.status, round(info.import_ms, 1), _summary(info, provided))
        for info in host.plugins
    ]
    click.echo(table(rows, ("PLUGIN", "DISTRIBUTION", "VERSION", "STATUS", "IMPORT MS", "PROVIDES")))
    for info in host.plugins:
        if info.status == "quarantined":
            click.echo(f"\n{info}: {info.reason}\n{info.traceback.rstrip()}")


@command.command("show")
@click.argument("plugin")
@json_option
def show_plugin(plugin: str, as_json: bool) -> None:
    """Show one PLUGIN, by its name or its distribution's."""
    from trm_harness.errors import UnknownName
    from trm_harness.plugins import near

    host, provided = survey()
    found = host.find(plugin)
    if not found:
        raise UnknownName(
            f"unknown plugin {plugin!r}{near(plugin, [info.name for info in host.plugins])}: is it installed here?"
        )
    if as_json:
        echo_json([_described(info, provided) for info in found])
        return
    click.echo("\n\n".join(_told(info, provided) for info in found))


def survey() -> tuple[PluginHost, Provided]:
    """All plugins after asking each what it registers; names claimed twice do not stop it."""
    from trm_harness.registry import collect, installed

    host = installed()
    provided: Provided = defaultdict(lambda: defaultdict(list))
    for entry in collect(host):
        provided[id(entry.owner)][entry.kind].append(entry.spec.id)
    return host, provided


def _described(info: PluginInfo, provided: Provided) -> dict[str, Any]:
    return {**plain(info), "provides": plain(provided[id(info)])}


def _summary(info: PluginInfo, provided: Provided) -> str:
    kinds = provided[id(info)].items()
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds) or info.reason


def _told(info: PluginInfo, provided: Provided) -> str:
    shown = plain(info)
    story = shown.pop("traceback").rstrip()
    text = facts({**shown, **{f"provides {kind}": names for kind, names in provided[id(info)].items()}})
    return f"{text}\n\n{story}" if story else text
