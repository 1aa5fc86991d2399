"""``trm-harness eval``: answer a task's puzzles with a model, and leave a record that anybody can score again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import DEBUG, complete, data_option, device_option, dollars, echo_json, json_option
from trm_harness.cli.streams import reader_may_leave
from trm_harness.errors import BadInput, CheckFailed, HarnessError

if TYPE_CHECKING:
    from trm_harness.evaluate.forecast import Forecast
    from trm_harness.loading import Choices
    from trm_harness.record import RunRecord

KEPT_ON_RESUME = {"resumed", "as_json", "processes"}


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
@click.option("--sample", type=int, help="Only so many groups, drawn by --seed.")
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
    "--halt",
    type=click.Choice(["full", "settled", "adaptive"]),
    default="full",
    show_default=True,
    help="When a puzzle stops: after all steps; at a halting score above --halt-above and an answer that stayed; or at "
    "the score alone.",
)
@click.option(
    "--halt-above",
    type=float,
    help="Halting score that stops a puzzle; choose it on validation.  [default for settled: the card's, else 0.5]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of views, noise and untrained weights.")
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file instead of the zoo's weights.")
@click.option("--untrained", is_flag=True, help="Random weights: shows that everything runs, scores mean nothing.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the model's configuration.")
@device_option
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first: faster, rounded otherwise.")
@click.option("--batch-size", type=int, help="Puzzles at once.  [default: what memory allows]")
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Share the batches; same answers."
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's new folder.  [default: runs/<id>]")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A run, or several, as a TOML file; takes only --out, --json and --dry-run besides.",
)
@click.option("--dry-run", is_flag=True, help="Say what it would take, answer a few puzzles to measure it, and stop.")
@click.option("--resume", "resumed", metavar="RUN", help="Finish an interrupted run; takes no other choices.")
@click.option(
    "--adapt",
    type=click.Choice(["puzzle-embedding", "full"]),
    help="Learn each task from its demonstrations first: its puzzle embedding with the network frozen, or all weights.",
)
@click.option(
    "--adapt-steps",
    type=click.IntRange(min=1),
    help="Steps for each task; a card's warm-up changes in proportion.  [default: the card's, else 100]",
)
@click.option(
    "--adapt-lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Rate at which --adapt full moves the network; a card's last rate changes in proportion.  "
    "[default: the card's, else 0.0001]",
)
@click.option(
    "--adapt-set",
    "adapt_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change how --adapt learns: optimizer, loss, batch_size, lr_end ... as in a training recipe.  "
    "[default: the card's]",
)
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

    if choices["config"]:
        return _many(ctx, choices)
    if choices["dry_run"]:
        return _dry_run([_asked(choices)], choices["as_json"])
    folder, record = _resume(ctx, choices) if choices["resumed"] else _start(choices)
    if record.status == "cancelled":
        raise KeyboardInterrupt(f"{record.message}; `trm-harness eval --resume {folder}` finishes it")
    with reader_may_leave():
        if choices["as_json"]:
            echo_json(record)
        else:
            click.echo(f"{report.text(record)}\nrecord  {folder / 'run.json'}")
    return None


def _many(ctx: click.Context, choices: Mapping[str, Any]) -> None:
    """The runs of a file, one after another, and one table of them all at the end."""
    from trm_harness.cli.config import arguments_of, differing, runs_of
    from trm_harness.record.environment import public_command

    given = {name for name in choices if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    if extra := given - {"config", "out", "as_json", "dry_run"}:
        raise click.UsageError(f"--config takes every choice from the file: leave out {', '.join(sorted(extra))}")
    found = runs_of(choices["config"], command)
    if choices["dry_run"]:
        return _dry_run([options for _, options in found], choices["as_json"])
    folders = [_folder_of(choices["out"], index, options) for index, (_, options) in enumerate(found, start=1)]
    for _, options in found:
        _check(options)
    records = []
    for index, ((values, options), out) in enumerate(zip(found, folders, strict=True), start=1):
        click.echo(f"run {index} of {len(found)}: {values['task']}, {values['model']}", err=True)
        said = public_command(["trm-harness", "eval", *arguments_of(values, command)])
        folder, record = _start({**options, "out": out, "command": said})
        records.append((folder, record))
        if record.status == "cancelled":
            raise KeyboardInterrupt(f"{record.message}; `trm-harness eval --resume {folder}` finishes it")
    with reader_may_leave():
        if choices["as_json"]:
            echo_json([record for _, record in records])
        else:
            click.echo(_overview([values for values, _ in found], records, differing([values for values, _ in found])))
    return None


def _folder_of(out: Path | None, place: int, options: Mapping[str, Any]) -> Path | None:
    """Where a run of a file goes: where its own key says, else into a numbered folder of ``out``."""
    if options["out"] or out is None:
        return options["out"]
    return out / f"{place:03}-{options['task_name']}-{options['model_name']}".replace("/", "-")


def _check(options: Mapping[str, Any]) -> None:
    """``BadInput`` if the run cannot begin, as far as can be told without loading weights."""
    from trm_harness.inference import select
    from trm_harness.loading import task_of
    from trm_harness.loading.choices import launch_of

    choices = _choices(options)
    launch = launch_of(choices)
    task = task_of(choices.task, choices.data, views=launch.views)
    select(task, choices.plan.of(task.spec))


def _overview(values: list[dict[str, Any]], records: list[tuple[Path, RunRecord]], keys: list[str]) -> str:
    """A row a run: what it was, what differs, its headline."""
    from trm_harness.cli import report
    from trm_harness.cli.options import table
    from trm_harness.progress import duration

    rows = []
    for given, (folder, record) in zip(values, records, strict=True):
        run = record.model_dump(mode="json")
        headline = run["headline"]
        told = ("", "", "") if headline is None else (
            f"{headline['name']} {100 * headline['value']:.2f} %", report.fraction(headline), report.interval(headline)
        )  # fmt: skip
        changed = [str(given.get(key, "")) for key in keys]
        took = duration(run["cost"]["seconds"])
        rows.append((run["task"]["id"], report.model_name(run), *changed, *told, took, str(folder)))
    return table(rows, ("TASK", "MODEL", *(key.upper() for key in keys), "SCORE", "OF", "95 % INTERVAL", "TIME", "RUN"))


def _dry_run(runs: list[Mapping[str, Any]], as_json: bool) -> None:
    """What runs would take: every model is loaded and answers a few puzzles, nothing is written."""
    from trm_harness.cli.options import table
    from trm_harness.evaluate.forecast import forecast
    from trm_harness.loading import prepare
    from trm_harness.progress import duration

    found = []
    for options in runs:
        new = prepare(_choices(options), None)
        found.append((new.launch, forecast(new.task, new.model, new.plan, new.selection, new.launch.device)))
    if as_json:
        return echo_json(
            [{"task": launch.task, "model": launch.card or launch.model, **vars(seen)} for launch, seen in found]
        )
    rows = [
        (
            launch.task, launch.card or launch.model, f"{seen.puzzles:,}", f"{seen.answers:,}", str(seen.steps),
            str(seen.batch), *_machine_use(seen),
        )
        for launch, seen in found
    ]  # fmt: skip
    headers = ("TASK", "MODEL", "PUZZLES", "ANSWERS", "STEPS", "BATCH", "FLOPS", "MEMORY", "TIME")
    click.echo(table(rows, headers))
    for launch, seen in found:
        if seen.learning:
            each = f"{seen.groups:,} tasks to learn, about {seen.learning / seen.groups:.1f} s each"
            took = f"{each}, {duration(seen.learning)} of the time; FLOPS are those of answers alone"
            click.echo(f"{launch.card or launch.model}: {took}")
        if seen.usage:
            click.echo(f"{launch.card or launch.model}: {_quote(seen)}")
    if len(found) > 1 and all(seen.seconds is not None for _, seen in found):
        click.echo(f"in all about {duration(sum(seen.seconds for _, seen in found))}")
    return None


def _machine_use(seen: Forecast) -> tuple[str, str, str]:
    """Work, memory and time of a run on this machine; a service's are its own."""
    from trm_harness.progress import duration

    if seen.seconds is None:
        return "service", "service", "asked only when it runs"
    return f"{seen.flops:.3g}", f"{seen.bytes / 2**20:,.0f} MiB", duration(seen.seconds)


def _quote(seen: Forecast) -> str:
    """Calls, tokens and price of a service, and which of them are estimates."""
    use = seen.usage
    read = "every prompt" if seen.quoted == seen.answers else f"{seen.quoted:,} prompts"
    least, most = use["output_tokens_least"], use.get("output_tokens_most")
    upper = "no limit is set (max_tokens)" if most is None else f"at most {most:,.0f} (max_tokens)"
    words = [
        f"{seen.answers:,} calls",
        f"about {use['input_tokens']:,.0f} tokens in (estimated from {read}, without the model's own tokenizer)",
        f"at least {least:,.0f} tokens out (the grids alone; thoughts come on top), {upper}",
    ]
    if "dollars_least" not in use:
        return "; ".join([*words, "price unknown: --set input_price=... --set output_price=... (dollars a million)"])
    upper = f", at most {dollars(use['dollars_most'])}" if "dollars_most" in use else ""
    return "; ".join([*words, f"at least {dollars(use['dollars_least'])}{upper} by the prices given"])


def _asked(choices: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a run; a usage error without a task or a model."""
    if not choices["task_name"] or not choices["model_name"]:
        raise click.UsageError("an evaluation needs --task and --model (or --resume RUN, or --config FILE)")
    return choices


def _start(choices: Mapping[str, Any]) -> tuple[Path, RunRecord]:
    """A new run: everything is checked before anything is written."""
    from trm_harness.evaluate import evaluate
    from trm_harness.loading import prepare, workers

    new = prepare(_choices(_asked(choices)), choices["out"], choices.get("command"))
    shared = workers(new.launch, new.plan, choices["processes"])
    _tell_of_learning(new.model)
    given = {"workers": shared, "selection": new.selection}
    work = partial(evaluate, new.task, new.model, new.plan, new.out, new.setting, **given)
    return new.out, _guarded(new.out, work)


def _choices(given: Mapping[str, Any]) -> Choices:
    """The command's options as the launch takes them."""
    from trm_harness.loading import Choices
    from trm_harness.loading.choices import settings_of

    names = (given["puzzles"] or "").split(",")
    puzzles = tuple(name.strip() for name in names if name.strip())
    if given["puzzles"] is not None and not puzzles:
        raise BadInput("--puzzles names none: give ids separated by commas, or leave it out for all")
    same = {name: given[name] for name in Choices.names() if name in given}
    changed = {name: given[name] or "" for name in ("split", "adapt")}
    changed |= {"puzzles": puzzles, "settings": settings_of(given["settings"])}
    changed |= {"adapt_settings": settings_of(given["adapt_settings"], "--adapt-set")}
    return Choices.of(given["task_name"], given["model_name"], **same | changed)


def _resume(ctx: click.Context, choices: Mapping[str, Any]) -> tuple[Path, RunRecord]:
    """An interrupted run, from its own ``plan.json``."""
    from trm_harness.cli.runs.commands import find_run
    from trm_harness.evaluate import resume
    from trm_harness.loading import again

    default = click.core.ParameterSource.DEFAULT
    extra = [name for name in choices if ctx.get_parameter_source(name) is not default and name not in KEPT_ON_RESUME]
    if extra:
        raise click.UsageError("--resume takes every choice from the run: leave the other options out")
    folder = find_run(choices["resumed"])
    task, model, shared = again(folder, choices["processes"])
    _tell_of_learning(model)
    return folder, _guarded(folder, lambda watchers: resume(folder, task, model, watchers, shared))


def _tell_of_learning(model: Any) -> None:
    from trm_harness.contracts import LearnsTasks
    from trm_harness.progress import say

    if isinstance(model, LearnsTasks):
        say("each task is learnt when it is first asked; until all have been, the time left shown is too high")


def _guarded(folder: Path, work: Any) -> RunRecord:
    """Run ``work(watchers)``; a failure is one line that says where the run lies, or all of it in debug mode."""
    from trm_harness.evaluate import Watchers
    from trm_harness.progress import progress
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
