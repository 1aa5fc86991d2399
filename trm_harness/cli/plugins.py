"""``trm-harness plugins``: what is installed, what it brings, whether it keeps the laws, and how to begin a new one."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import SuggestingGroup, complete, echo_json, facts, json_option, plain, table

if TYPE_CHECKING:
    from trm_harness.plugins.host import PluginHost, PluginInfo

Provided = dict[int, dict[str, list[str]]]
"""Per plugin (by ``id`` of its info): kind -> names it registers."""


@click.group(cls=SuggestingGroup)
def command() -> None:
    """Plugins and their health: list, show, check, new."""


@command.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the plugins: hooks, the kit version that `plugins check` passed, and why one is out of use."""
    from trm_harness.plugins import check_log

    host, provided = survey()
    if as_json:
        echo_json([_described(info, provided) for info in host.plugins])
        return
    rows = [
        (
            info.name,
            info.distribution,
            info.version,
            info.status,
            check_log.passed(info) or "-",
            round(info.import_ms, 1),
            ",".join(hook.removeprefix("register_") for hook in info.hooks),
            _summary(info, provided),
        )
        for info in host.plugins
    ]
    headers = ("PLUGIN", "DISTRIBUTION", "VERSION", "STATUS", "CHECKED", "IMPORT MS", "HOOKS", "PROVIDES")
    click.echo(table(rows, headers))
    for info in host.plugins:
        if info.status == "quarantined":
            click.echo(f"\n{info}: {info.reason}\n{info.traceback.rstrip()}".rstrip())


@command.command("show")
@click.argument("plugin", shell_complete=complete("plugin"))
@json_option
def show_plugin(plugin: str, as_json: bool) -> None:
    """Show one PLUGIN, by its name or its distribution's."""
    from trm_harness.errors import UnknownName
    from trm_harness.plugins.host import near

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


@command.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete("plugin"))
@click.option("--data", multiple=True, metavar="TASK=DIR", help="Folder of files for a task that has none here.")
@click.option("--law", "laws", multiple=True, metavar="NAME", help="Only this law. May be given again.")
@click.option("--traceback", is_flag=True, help="Show where a broken law was broken.")
@json_option
def check_plugins(
    names: tuple[str, ...], data: tuple[str, ...], laws: tuple[str, ...], traceback: bool, as_json: bool
) -> int:
    """Check that plugins keep the laws of tasks, models and trainers; exit 1 if one does not.

    NAME is a plugin, a distribution, a task, a model or a trainer; without one everything installed is checked.
    """
    from trm_harness.cli.plugins_check import run

    return run(names, data, laws, traceback, as_json)


@command.command("new")
@click.argument("kind", type=click.Choice(["task", "model", "trainer"]))
@click.argument("name")
@click.option(
    "--kind",
    "flavour",
    type=click.Choice(["torch", "numpy", "solver"]),
    help="Of a model: a network that trains, one whose weights come from elsewhere, a solver.  [default: torch]",
)
@click.option("--out", type=click.Path(path_type=Path), help="The new folder.  [default: ./trm-<kind>-NAME]")
@click.option("--author", default="", help="Who stands in the package and its licence.  [default: git's user.name]")
@click.option(
    "--license",
    "licence",
    type=click.Choice(["Apache-2.0", "MIT", "none"]),
    default="Apache-2.0",
    show_default=True,
    help="none writes no licence file.",
)
def new_plugin(kind: str, name: str, flavour: str | None, out: Path | None, author: str, licence: str) -> None:
    """Write a complete package for a new task, model or trainer NAME: code, tests, README, CI.

    `pip install -e . && pytest` in it is green; then change it into yours. Example: trm-harness plugins new task queens
    """
    from trm_harness.scaffold import write

    folder = write(kind, name, out, author, licence, flavour or "")
    shown = f"plugins show {name}" if kind == "trainer" else f"{kind}s list"
    click.echo(f"wrote {folder}\nnext: cd {folder} && pip install -e '.[test]' && pytest && trm-harness {shown}")


def survey() -> tuple[PluginHost, Provided]:
    """All plugins after asking each what it registers; names claimed twice do not stop it."""
    from trm_harness.registry import collect, installed

    host = installed()
    provided: Provided = defaultdict(lambda: defaultdict(list))
    for entry in collect(host):
        provided[id(entry.owner)][entry.kind].append(entry.spec.id)
    return host, provided


def _described(info: PluginInfo, provided: Provided) -> dict[str, Any]:
    from trm_harness.plugins import check_log

    return {**plain(info), "kit_passed": check_log.passed(info), "provides": plain(provided[id(info)])}


def _summary(info: PluginInfo, provided: Provided) -> str:
    kinds = provided[id(info)].items()
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds) or info.reason


def _told(info: PluginInfo, provided: Provided) -> str:
    from trm_harness.plugins import check_log

    shown = {**plain(info), "kit_passed": check_log.passed(info)}
    story = shown.pop("traceback").rstrip()
    text = facts({**shown, **{f"provides {kind}": names for kind, names in provided[id(info)].items()}})
    return f"{text}\n\n{story}" if story else text
