"""``trm-harness train``: a task, a model and a recipe become weights."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import complete, data_option, device_option, echo_json, facts, json_option, table
from trm_harness.cli.streams import reader_may_leave
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.files.names import TRAINING_FILE
from trm_harness.files.paths import absolute

if TYPE_CHECKING:
    from trm_harness.train.recipe import Recipe
    from trm_harness.train.session import Job
    from trm_harness.train.trainer import Settings

KEPT_ON_RESUME = {
    "resumed", "recipe", "seconds", "device", "threads", "workers", "log", "keep", "checkpoint_every",
    "checkpoint_steps", "processes", "launcher", "hostfile", "deepspeed_config", "no_compile", "as_json", "steps",
    "settings",
}  # fmt: skip
"""Choices that a resumed run may make anew; everything else is the run's own."""


@click.command()
@click.option(
    "--task",
    "task_id",
    metavar="TASK",
    shell_complete=complete("task"),
    help="Task to train on (`trm-harness tasks list`).",
)
@click.option(
    "--model",
    "model_id",
    metavar="MODEL",
    shell_complete=complete("model"),
    help="Architecture to train (`trm-harness models list`).",
)
@click.option(
    "--recipe", metavar="NAME", help="A TOML file, a card's name, or a tag: paper.  [default: the shipped one]"
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipe: lr is stage.lr.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps in all: stretches or shortens the schedule.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of weights, data and exploration.  [default: the recipe's]"
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's new folder.  [default: runs/<time>-train-...]")
@click.option("--resume", "resumed", metavar="RUN", help="Go on from the newest checkpoint of a run's folder.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A run, or several, as a TOML file; takes only --json and --dry-run besides.",
)
@click.option("--dry-run", is_flag=True, help="Print steps, FLOPs, memory and time that it would take, and stop.")
@click.option(
    "--trainer",
    default="torch",
    show_default=True,
    shell_complete=complete("trainer"),
    help="torch, deepspeed, or a plugin's.",
)
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes (deepspeed).")
@click.option("--launcher", type=click.Choice(["torchrun", "deepspeed"]), help="Who starts them.  [default: torchrun]")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Machines and slots, as DeepSpeed writes them.")
@click.option("--deepspeed-config", type=click.Path(path_type=Path), metavar="JSON", help="DeepSpeed's own settings.")
@click.option("--weights", type=click.Path(path_type=Path), help="Start from these weights instead of random ones.")
@click.option("--seconds", type=float, default=math.inf, help="Stop after this long; --resume goes on.")
@device_option
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=None,
    help="Processes that draw batches.  [default: one, if training would wait for them]",
)
@click.option("--no-compile", is_flag=True, help="Leave out torch.compile even where the recipe wants it.")
@click.option("--log", multiple=True, metavar="SINK", help="tensorboard or wandb besides metrics.jsonl.")
@click.option("--checkpoint-every", type=float, default=300.0, show_default=True, help="Seconds between checkpoints.")
@click.option("--checkpoint-steps", type=click.IntRange(min=0), default=0, help="Steps between checkpoints as well.")
@click.option("--keep", type=click.IntRange(min=0), default=2, show_default=True, help="Checkpoints to keep (0: all).")
@data_option
@json_option
@click.pass_context
def command(ctx: click.Context, **choices: Any) -> None:
    """Train a model on a task by a recipe.

    Leaves average and raw weights, checkpoints, metrics.jsonl and train.json, which says what was trained on. Ctrl-C or
    a kill leaves a run that --resume continues to the same bits. Example: trm-harness train --task sudoku-4x4 --model
    trm-nano --out runs/nano
    """
    if choices["config"]:
        return _many(ctx, choices)
    return _go(ctx, choices, _command())


def _many(ctx: click.Context, choices: Mapping[str, Any]) -> None:
    """The runs of a file, one after another. All are put together before the first begins."""
    from trm_harness.cli.config import arguments_of, runs_of
    from trm_harness.record.environment import public_command

    given = {name for name in choices if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    if extra := given - {"config", "as_json", "dry_run"}:
        raise click.UsageError(f"--config takes every choice from the file: leave out {', '.join(sorted(extra))}")
    found = runs_of(choices["config"], command)
    for _, options in found:
        _new(options)
    for values, options in found:
        shared = {"as_json": choices["as_json"], "dry_run": choices["dry_run"]}
        said = public_command(["trm-harness", "train", *arguments_of(values, command)])
        _go(ctx, options | shared, said)


def _go(ctx: click.Context, choices: Mapping[str, Any], said: str) -> None:
    """One run; ``said`` is the command that makes it."""
    job, out, resume = _resumed(ctx, choices) if choices["resumed"] else _new(choices)
    settings = _settings(choices, job, out if resume else None)
    if choices["dry_run"]:
        return _dry_run(job, choices)
    if _wants_launch(choices):
        return _launch(job, out, resume, settings, choices, said)
    return _run(job, out, resume, settings, choices["as_json"], said)


def _new(choices: Mapping[str, Any]) -> tuple[Job, Path, bool]:
    """A run from the beginning."""
    from trm_harness.train.session import new_folder, new_job

    task, model = choices["task_id"], choices["model_id"]
    if not task or not model:
        raise click.UsageError("training needs --task and --model (or --resume RUN)")
    job = new_job(
        task,
        model,
        choices["recipe"],
        changes=choices["settings"],
        steps=choices["steps"],
        seed=choices["seed"],
        trainer=choices["trainer"],
        data=absolute(choices["data"]),
        device=choices["device"],
        threads=choices["threads"] or 0,
        weights=absolute(choices["weights"]),
    )
    return job, choices["out"] or new_folder(job), False


def _resumed(ctx: click.Context, choices: Mapping[str, Any]) -> tuple[Job, Path, bool]:
    """A run to go on with: its own job, with what this sitting may choose anew."""
    from trm_harness.cli.runs.commands import training_folder
    from trm_harness.train.session import resumed_job

    default = click.core.ParameterSource.DEFAULT
    given = {name for name in choices if ctx.get_parameter_source(name) is not default}
    if given - KEPT_ON_RESUME - {"dry_run"}:
        extra = ", ".join(sorted(given - KEPT_ON_RESUME))
        raise click.UsageError(f"--resume takes task, model and recipe from the run: leave out {extra}")
    out = training_folder(choices["resumed"])
    changed = {name: choices[name] for name in ("device", "threads") if name in given}
    changes, steps = choices["settings"], choices["steps"]
    return resumed_job(out, recipe=choices["recipe"], changes=changes, steps=steps, **changed), out, True


def _settings(choices: Mapping[str, Any], job: Job, resumed: Path | None) -> Settings:
    from trm_harness.train.sinks import check_sinks
    from trm_harness.train.trainer import Settings

    check_sinks(choices["log"])
    return Settings(
        every=choices["checkpoint_every"],
        every_steps=choices["checkpoint_steps"],
        keep=choices["keep"],
        seconds=choices["seconds"],
        workers=choices["workers"],
        compile=not choices["no_compile"],
        sinks=tuple(choices["log"]),
        engine=_engine(choices["deepspeed_config"], job, resumed),
    )


def _engine(config: Path | None, job: Job, resumed: Path | None) -> dict[str, Any]:
    """The trainer's own settings. A resumed run keeps those of its last session."""
    if config and job.trainer != "deepspeed":
        raise click.UsageError("--deepspeed-config is for --trainer deepspeed")
    if config:
        return {"config": str(config)}
    if resumed is None:
        return {}
    from trm_harness.train.session import last_engine

    return last_engine(resumed)


def _wants_launch(choices: Mapping[str, Any]) -> bool:
    return choices["processes"] > 1 or bool(choices["launcher"]) or bool(choices["hostfile"])


def _launch(job: Job, out: Path, resume: bool, settings: Settings, choices: Mapping[str, Any], said: str) -> None:
    """Several processes, started by the trainer's own launcher; every one of them runs the same job."""
    from trm_harness.registry import default
    from trm_harness.train.session import prepare

    trainers = default().trainers
    if not trainers.spec(job.trainer).launch:
        raise BadInput(f"trainer {job.trainer} runs in one process: use --trainer deepspeed for --processes and hosts")
    if not resume:
        prepare(out)
    options = {name: choices[name] for name in ("processes", "launcher", "hostfile")}
    launch = trainers.resolve(job.trainer, "launch")
    code = launch(job, out, resume=resume, settings=settings, command=said, **options)
    if code:
        raise CheckFailed(f"training stopped with exit code {code}; see the messages above (--resume {out} goes on)")
    from trm_harness.train.session import read_run

    if (out / TRAINING_FILE).is_file():
        return _report(read_run(out), out, choices["as_json"])
    click.echo("done; the first machine of the hostfile has the run's folder")
    return None


def _run(job: Job, out: Path, resume: bool, settings: Settings, as_json: bool, said: str) -> None:
    from trm_harness.train.progress import reporter
    from trm_harness.train.session import run
    from trm_harness.train.trainer import Watch

    with reporter(job.recipe.total_steps) as report:
        watch = Watch(report, lambda message: click.echo(message, err=True))
        told = run(job, out, resume=resume, settings=settings, watch=watch, command=said)
    _report(told, out, as_json)


def _report(told: Mapping[str, Any], out: Path, as_json: bool) -> None:
    with reader_may_leave():
        _tell(told, out, as_json)


def _tell(told: Mapping[str, Any], out: Path, as_json: bool) -> None:
    """What came of it, and how to see the same numbers again."""
    from trm_harness.train.trainer import own_values

    done = told["result"]
    if done["stopped"] == "interrupted":
        raise KeyboardInterrupt(f"stopped at step {done['steps']}; `trm-harness train --resume {out}` goes on")
    if as_json:
        return echo_json(told)
    click.echo(
        f"{done['steps']} steps in {done['seconds']:.0f} s ({done['stopped']}); weights in {out}/weights.safetensors"
    )
    if own := own_values(done):
        click.echo(", ".join(f"{name} {value}" for name, value in own.items()))
    job, held_out = told["job"], told["validation"]
    if done["validation"]:
        n = done["validation"]["n"]
        click.echo(f"validation ({held_out['name']}): exact {100 * done['validation']['exact']:.2f} % of {n}")
    if done["best"]:
        best = done["best"]
        click.echo(f"best at step {best['step']}: exact {100 * best['exact']:.2f} %; in {out}/weights-best.safetensors")
    how = f"--task {job['task']} --model {job['model']} --weights {out}/weights.safetensors"
    same = f" --split {held_out['split']} --dtype {job['recipe']['dtype']}" if held_out.get("split") else ""
    click.echo(f"score them: trm-harness eval {how}{same}")
    return None


def _dry_run(job: Job, choices: Mapping[str, Any]) -> None:
    from trm_harness.progress import duration
    from trm_harness.train.estimate import estimate
    from trm_harness.train.session import build

    parts = build(job)
    found = estimate(parts, job.recipe, choices["processes"])
    if choices["as_json"]:
        return echo_json(found)
    recipe = job.recipe
    split = f"{choices['processes']} processes x {recipe.accumulate} micro-batches"
    memory = (found.bytes_fixed + found.bytes_activations) / 2**20
    shown = {
        "task, model": f"{job.task}, {job.model} ({found.parameters:,} network parameters, table {found.table:,})",
        "steps": f"{found.steps:,} of batch {recipe.batch_size} ({split}), {found.examples:,} examples",
        "work": f"{found.flops:.3g} FLOPs in matrix products",
        "memory": f"about {memory:,.0f} MiB a process: {found.bytes_fixed / 2**20:,.0f} weights, gradients, moments, "
        f"average; the rest activations",
        "time": f"about {duration(found.seconds)} on this machine's {parts.model.network.device} uncompiled "
        f"(by a trial of {found.trial_rows} rows; batches ready in time)",
        "validation": f"{parts.validator.name} every {recipe.validate_every} steps" if parts.validator else "none",
        "dtype": f"{recipe.dtype}, {'compiled' if recipe.compile else 'not compiled'}",
    }
    click.echo(facts(shown))
    click.echo(_stages(recipe, parts.model.network.cycles))
    return None


def _stages(recipe: Recipe, own: tuple[int, int]) -> str:
    """The recipe's stages; ``own`` are the model's cycles, where a stage does not say."""
    headers = ("STAGE", "STEPS", "LR", "LR END", "WARMUP", "CYCLES", "SUPERVISION STEPS")
    rows = []
    for index, stage in enumerate(recipe.stages, start=1):
        cycles = f"{stage.h_cycles or own[0]}x{stage.l_cycles or own[1]}"
        rates = (f"{stage.lr:g}", f"{stage.lr_end:g}", stage.warmup)
        rows.append((index, stage.steps, *rates, cycles, stage.supervision_steps))
    return table(rows, headers)


def _command() -> str:
    from trm_harness.record.environment import public_command

    return public_command(["trm-harness", *sys.argv[1:]])
