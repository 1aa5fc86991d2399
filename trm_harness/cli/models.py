"""``trm-harness models``: the architectures, solvers and adapters that plugins register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import SuggestingGroup, complete, echo_json, facts, json_option, plain, provenance, table

if TYPE_CHECKING:
    from trm_harness.registry import Registry
    from trm_harness.specs import ModelSpec


@click.group(cls=SuggestingGroup)
def command() -> None:
    """The architectures and solvers: list, show. Trained weights are under `zoo`."""


@command.command("list")
@click.option("--task", default=None, shell_complete=complete("task"), help="Only models that can answer this task.")
@json_option
def list_models(task: str | None, as_json: bool) -> None:
    """List the models that plugins register."""
    from trm_harness.registry import default

    registry = default()
    specs = [spec for spec in registry.models if task is None or spec.answers(registry.tasks.spec(task))]
    if as_json:
        echo_json([_described(registry, spec) for spec in specs])
        return
    rows = [
        (
            spec.id,
            spec.version,
            spec.family,
            ",".join(spec.tasks),
            spec.needs_weights,
            registry.models.owner(spec.id).name,
            spec.title,
        )
        for spec in specs
    ]
    click.echo(table(rows, ("MODEL", "VERSION", "FAMILY", "TASKS", "WEIGHTS", "PLUGIN", "TITLE")))


@command.command("show")
@click.argument("model", shell_complete=complete("model"))
@json_option
def show_model(model: str, as_json: bool) -> None:
    """Show MODEL's facts and the tasks it can answer."""
    from trm_harness.registry import default

    registry = default()
    spec = registry.models.spec(model)
    answerable = [task.id for task in registry.tasks if spec.answers(task)]
    if as_json:
        echo_json({**_described(registry, spec), "answers": answerable})
        return
    click.echo(facts({**plain(spec), "answers": answerable, "plugin": registry.models.owner(model).label}))


def _described(registry: Registry, spec: ModelSpec) -> dict[str, Any]:
    return {**plain(spec), **provenance(registry.models.owner(spec.id))}
