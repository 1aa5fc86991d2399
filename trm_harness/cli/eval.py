"""``trm-harness eval``: answer a task's puzzles with a model, and leave a record that anybody can score again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import complete, data_option, echo_json, json_option
from trm_harness.errors import BadInput, CheckFailed, HarnessError

if TYPE_CHECKING:
    from trm_harness.launch import Choices
    from trm_harness.record import RunRecord

KEPT_ON_RESUME = {"resumed", "as_json", "processes"}
DEBUG = "TRM_HARNESS_DEBUG"


@click.command()
@click.option(
    "--task",
    "task_name",
    metavar="TASK",
    shell_complete=complete("task"),
    help="What to solve; `tasks list` shows the names.",
)
@click.option(
    "--model",
    "model_name",
    metavar="MODEL",
    shell_complete=complete("answerer"),
    help="An architecture, or a card (architecture.tag).",
)
@click.option("--split", help="Split of the task.  [default: the task's own]")
@click.option("--limit", type=int, help="Only the first so many groups (ARC tasks).")
@click.option("--puzzles", metavar="ID,...", help="Only these groups or puzzles.")
@click.option(
    "--augment", type=int, default=1, show_default=True, help="Views of each puzzle under the task's symmetries."
)
@click.option(
    "--restarts", type=int, default=1, show_default=True, help="Answers of each view; a network needs --noise."
)
@click.option(
    "--noise", type=float, default=0.0, show_default=True, help="Noise on the latent before each step (std. deviation)."
)
@click.option(
    "--select",
    type=click.Choice(["mode", "halt", "oracle"]),
    default="mode",
    show_default=True,
    help="One answer of all: most votes, or highest halting logit. oracle shows the upper bound beside mode's score.",
)
@click.option("--attempts", type=int, help="Answers that count.  [default: the task's own]")
@click.option("--steps", type=int, help="Supervision steps, also beyond training.  [default: the model's own]")
@click.option(
    "--halt", type=click.Choice(["full", "adaptive"]), default="full", show_default=True, help="When a puzzle stops."
)
@click.option(
    "--halt-above",
    type=float,
    default=0.5,
    show_default=True,
    help="Halting score that stops a puzzle (--halt adaptive); choose it on validation.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of views, noise and untrained weights.")
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file instead of the zoo's weights.")
@click.option("--untrained", is_flag=True, help="Random weights: shows that everything runs, scores mean nothing.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the model's configuration.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first: faster, rounded otherwise.")
@click.option("--batch-size", type=int, help="Puzzles at once.  [default: what memory allows]")
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Share the batches; same answers."
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's new folder.  [default: runs/<id>]")
@click.option("--resume", "resumed", metavar="RUN", help="Finish an interrupted run; takes no other choices.")
@click.option(
    "--adapt",
    type=click.Choice(["puzzle-embedding", "full"]),
    help="Learn each task from its demonstrations first: its puzzle embedding with the network frozen, or all weights.",
)
@click.option("--adapt-steps", type=click.IntRange(min=1), default=100, show_default=True, help="Steps for each task.")
@click.option(
    "--allow-contaminated", is_flag=True, help="Run on puzzles that the weights were trained on: flagged, never ranked."
)
@data_option
@json_option
@click.pass_context
def command(ctx: click.Context, **choices: Any) -> None:
    """Answer a task's puzzles with a model and score the answers.

    Ctrl-C leaves a run that --resume finishes. Example: trm-harness eval --task arc1 --model trm-7m --limit 2
    """
    from trm_harness.cli import report

    folder, record = _resume(ctx, choices) if choices["resumed"] else _start(choices)
    if record.status == "cancelled":
        raise KeyboardInterrupt(f"{record.message}; `trm-harness eval --resume {folder}` finishes it")
    if choices["as_json"]:
        echo_json(record)
    else:
        click.echo(f"{report.text(record)}\nrecord  {folder / 'run.json'}")


def _start(choices: Mapping[str, Any]) -> tuple[Path, RunRecord]:
    """A new run: everything is checked before anything is written."""
    from trm_harness.evaluate import evaluate
    from trm_harness.launch import prepare, workers

    if not choices["task_name"] or not choices["model_name"]:
        raise click.UsageError("an evaluation needs --task and --model (or --resume RUN)")
    new = prepare(_choices(choices), choices["out"])
    shared = workers(new.launch, new.plan, choices["processes"])
    work = partial(evaluate, new.task, new.model, new.plan, new.out, new.setting, workers=shared)
    return new.out, _guarded(new.out, work)


def _choices(given: Mapping[str, Any]) -> Choices:
    """The command's options as the launch takes them."""
    from trm_harness.launch import Choices
    from trm_harness.launch.choices import settings_of

    names = (given["puzzles"] or "").split(",")
    puzzles = tuple(name.strip() for name in names if name.strip())
    if given["puzzles"] is not None and not puzzles:
        raise BadInput("--puzzles names none: give ids separated by commas, or leave it out for all")
    same = {field.name for field in dataclasses.fields(Choices)} & set(given)
    changed = {"puzzles": puzzles, "settings": settings_of(given["settings"]), "adapt": given["adapt"] or ""}
    return Choices(given["task_name"], given["model_name"], **{name: given[name] for name in same} | changed)


def _resume(ctx: click.Context, choices: Mapping[str, Any]) -> tuple[Path, RunRecord]:
    """An interrupted run, from its own ``plan.json``."""
    from trm_harness.cli.runs import find_run
    from trm_harness.evaluate import resume
    from trm_harness.launch import again

    default = click.core.ParameterSource.DEFAULT
    extra = [name for name in choices if ctx.get_parameter_source(name) is not default and name not in KEPT_ON_RESUME]
    if extra:
        raise click.UsageError("--resume takes every choice from the run: leave the other options out")
    folder = find_run(choices["resumed"])
    task, model, shared = again(folder, choices["processes"])
    return folder, _guarded(folder, lambda watchers: resume(folder, task, model, watchers, shared))


def _guarded(folder: Path, work: Any) -> RunRecord:
    """Run ``work(watchers)``; a failure is one line that says where the run lies, or all of it in debug mode."""
    from trm_harness.cli.progress import progress
    from trm_harness.evaluate import Watchers
    from trm_harness.registry import default

    with progress() as show:
        try:
            return work(Watchers(default().host.manager.hook, show, lambda text: click.echo(text, err=True)))
        except HarnessError:
            raise
        except Exception as error:
            if DEBUG in os.environ:
                raise
            small = "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError)
            hint = "a smaller --batch-size may fit" if small else f"`--resume {folder}` tries again from there"
            name = type(error).__name__
            raise CheckFailed(f"the run in {folder} stopped with {name}: {error} ({hint})") from error
