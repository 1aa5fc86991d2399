"""``eval --config FILE`` and ``train --config FILE``: a run, or many, as a file; and such a file made of a run.

A key is an option of the command without its dashes (``limit``, ``halt_above``, ``compile``); the table ``settings`` is
what ``--set`` changes. A list stands for several runs, one for each value; several lists make every combination. Each
``[[run]]`` is a run of its own over what stands above it. Values are judged by the command's own parser, so that a file
and a command line mean the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import click

from trm_harness.errors import BadInput, HarnessError

NOT_IN_A_FILE = ("config", "resume", "json", "dry-run", "help")
"""Options that a file cannot hold."""
LIST_OPTIONS = ("log",)
"""Options that may be given again: each value of their list is one."""
TABLES = {"settings": "--set", "adapt_settings": "--adapt-set"}
"""Keys that are tables, and the option that each of their lines is."""
OWN_LISTS = ("puzzles", *LIST_OPTIONS)
"""Keys whose list is one value."""
MOST = 1000
"""Runs of one file."""


def runs_of(file: Path, command: click.Command) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every run of ``file``: its keys, and the command's parsed options. ``BadInput`` names run and key."""
    from trm_harness.files.read import read_toml

    given = read_toml(file, "the configuration")
    tables = given.pop("run", [{}])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise BadInput(f"{file}: run must be tables, [[run]]")
    found = []
    for table in tables:
        for values in _combinations(given | table):
            where = f"{file}, run {len(found) + 1}"
            found.append((values, _parsed(values, command, where)))
            if len(found) > MOST:
                raise BadInput(f"{file}: makes more than {MOST:,} runs: shorten its lists")
    folders = [values["out"] for values, _ in found if "out" in values]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise BadInput(f"{file}: several runs have out = {twice!r}: give each [[run]] its own, or none")
    return found


def arguments_of(values: Mapping[str, Any], command: click.Command, where: str = "the run") -> list[str]:
    """A run's keys as they would stand on the command line. ``BadInput`` for an unknown key or a value of no use."""
    return [part for key, value in values.items() for part in _arguments(key, value, command, where)]


def differing(runs: list[dict[str, Any]]) -> list[str]:
    """Keys, besides task and model, that are not the same in all runs."""
    keys = dict.fromkeys(key for values in runs for key in values if key not in ("task", "model", "out"))
    return [key for key in keys if len({json.dumps(values.get(key), sort_keys=True) for values in runs}) > 1]


def config_of(folder: Path) -> str:
    """The run in ``folder`` as the text of such a file. ``BadInput`` for a run that another program began."""
    import dataclasses

    import tomlkit

    from trm_harness.inference import InferencePlan
    from trm_harness.inference.plan_file import StoredPlan
    from trm_harness.loading import stored_launch

    stored = StoredPlan.load(folder)
    launch, usual = stored_launch(stored.launch, folder), InferencePlan()
    values: dict[str, Any] = {"task": launch.task, "model": launch.card or launch.model}
    for field in dataclasses.fields(InferencePlan):
        value = getattr(stored.plan, field.name)
        if value != getattr(usual, field.name):
            values[field.name] = list(value) if isinstance(value, tuple) else value
    values |= {name: value for name in ("weights", "data", "untrained") if (value := getattr(launch, name))}
    values |= {"device": launch.device.partition(":")[0], "dtype": launch.dtype}
    values |= {"compile": True} if launch.compiled else {}
    if launch.adapt:
        values |= {"adapt": launch.adapt, "adapt_steps": launch.adapt_steps, "adapt_lr": launch.adapt_lr}
        values |= {"adapt_settings": dict(launch.adapt_settings)}
    values |= {"settings": dict(launch.settings)} if launch.settings else {}
    return f"# run {folder.name}: trm-harness eval --config FILE runs it again\n{tomlkit.dumps(values)}"


def config_of_training(folder: Path) -> str:
    """The training in ``folder`` as the text of a file for ``train --config``: its recipe is the one kept there."""
    import dataclasses

    import tomlkit

    from trm_harness.train.session import Job, read_run

    job = Job.of(read_run(folder)["job"], str(folder))
    values: dict[str, Any] = {"task": job.task, "model": job.model, "recipe": str(folder)}
    others = [field for field in dataclasses.fields(Job) if field.name not in ("task", "model", "recipe")]
    values |= {field.name: value for field in others if (value := getattr(job, field.name)) != field.default}
    return f"# training {folder.name}: trm-harness train --config FILE runs it again\n{tomlkit.dumps(values)}"


def _combinations(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One mapping for every combination of the lists in ``values``."""
    axes = {key: value for key, value in values.items() if isinstance(value, list) and key not in OWN_LISTS}
    for chosen in product(*axes.values()):
        yield {**values, **dict(zip(axes, chosen, strict=True))}


def _parsed(values: Mapping[str, Any], command: click.Command, where: str) -> dict[str, Any]:
    """The command's options for ``values``."""
    arguments = arguments_of(values, command, where)
    try:
        params = command.make_context("run", arguments).params
    except click.ClickException as error:
        raise BadInput(f"{where}: {error.format_message()}") from None
    except HarnessError as error:
        raise BadInput(f"{where}: {error}") from None
    if not values.get("task") or not values.get("model"):
        raise BadInput(f"{where}: has no task and no model: give both")
    return params


def _arguments(key: str, value: Any, command: click.Command, where: str) -> list[str]:
    """A key and its value as they would stand on the command line."""
    options = {option.removeprefix("--"): parameter for parameter in command.params for option in parameter.opts}
    tables = [name for name, option in TABLES.items() if option.removeprefix("--") in options]
    if key in tables:
        if not isinstance(value, dict):
            raise BadInput(f"{where}: {key} must be a table, [{key}]")
        return [part for name, item in value.items() for part in (TABLES[key], f"{name}={json.dumps(item)}")]
    name = key.replace("_", "-")
    if name not in options or name in NOT_IN_A_FILE or f"--{name}" in TABLES.values():
        known = {option for option in options if f"--{option}" not in TABLES.values()} - set(NOT_IN_A_FILE)
        known = sorted(option.replace("-", "_") for option in known)
        raise BadInput(f"{where}: unknown key {key!r}: known are {', '.join((*tables, *known))}")
    if getattr(options[name], "is_flag", False):
        if not isinstance(value, bool):
            raise BadInput(f"{where}: {key} must be true or false, not {value!r}")
        return [f"--{name}"] if value else []
    if isinstance(value, list) and key in LIST_OPTIONS:
        return [part for item in value for part in (f"--{name}", str(item))]
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, bool | dict):
        raise BadInput(f"{where}: {key} cannot be {value!r}")
    return [f"--{name}", str(value)]
