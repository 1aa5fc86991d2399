"""The reference of the command line, written from the live command tree. ``docs/build.py`` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from trm_harness.cli.main import VERBS, cli

PAGE = Path(__file__).parent / "reference" / "cli.md"
FOLDER = PAGE.parent / "cli"
"""A page for each verb."""

HEAD = """# Command line

*Written from the live commands by `python docs/build.py`.*

Exit codes: 0 fine, 1 a check or a run failed, 2 wrong usage or bad input (one line: what, where, what to do),
130 interrupted. Every command takes `-h` and `--help`. `python -m trm_harness` is the same program.

| verb | what it does |
|---|---|
"""

VERB_HEAD = "# {title}\n\n*Written from the live commands by `python docs/build.py`; [all verbs](../cli.md).*\n\n"


def pages() -> dict[Path, str]:
    """The pages. Commands that plugins add are left out: they are not the same everywhere."""
    context = click.Context(cli, info_name="trm-harness")
    verbs = "".join(f"| [`{verb}`](cli/{verb}.md) | {line} |\n" for verb, (_, line) in VERBS.items())
    written = {PAGE: f"{HEAD}{verbs}\nBefore or behind every verb:\n\n{_table(cli, context)}"}
    return written | {FOLDER / f"{verb}.md": _page(cli.get_command(context, verb), verb, context) for verb in VERBS}


def leaves(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and everything below it, in the order of its help."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            yield from leaves(child, click.Context(child, parent=context, info_name=name))


def _page(command: click.Command, name: str, parent: click.Context) -> str:
    """A verb and everything below it."""
    found = list(leaves(command, click.Context(command, parent=parent, info_name=name)))
    head = VERB_HEAD.format(title=found[0][1].command_path)
    return head + "\n".join(_entry(*pair, top=place == 0) for place, pair in enumerate(found))


def _entry(command: click.Command, context: click.Context, top: bool) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    told = "\n\n".join(" ".join(part.split()) for part in (command.help or "").replace("\b", "").split("\n\n"))
    title = "" if top else f"## {context.command_path}\n\n"
    return f"{title}{_escaped(told)}\n\n```text\n{usage}\n```\n\n{_table(command, context)}"


def _table(command: click.Command, context: click.Context) -> str:
    rows = [_option(p) for p in command.params if isinstance(p, click.Option) and not p.hidden and p.name != "help"]
    return "" if not rows else "| option | value | meaning |\n|---|---|---|\n" + "".join(rows)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    notes = [_escaped(" ".join((option.help or "").split()))]
    notes += ["Required."] if option.required else []
    notes += ["May be given again."] if option.multiple and "again" not in notes[0] else []
    if option.show_default and not option.is_flag:
        notes.append(f"Default: `{option.default}`.")
    return f"| {names} | {_value(option)} | {' '.join(filter(None, notes))} |\n"


def _value(option: click.Option) -> str:
    """What an option takes, in words or in the name its own help gives it."""
    kind: Any = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    if option.metavar:
        return f"`{option.metavar}`"
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    span = "".join(f", {word} {edge}" for word, edge in (("at least", low), ("at most", high)) if edge is not None)
    names = {"integer": "whole number", "integer range": "whole number", "float": "number", "float range": "number"}
    return names.get(kind.name, kind.name) + span


def _escaped(words: str) -> str:
    """Text that Markdown would take for something else: a bar ends a cell, angle brackets are tags."""
    return words.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*")
