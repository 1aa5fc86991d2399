"""``trm-harness train``: a task, a model and a recipe become weights."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import click

from trm_harness.cli.options import data_option
from trm_harness.errors import BadInput

METRICS = ("loss", "exact_accuracy", "accuracy", "steps")


@click.command()
@click.option("--task", "task_id", required=True, help="Task to train on (`trm-harness tasks list`).")
@click.option("--model", "model_id", required=True, help="Architecture to train (`trm-harness models list`).")
@click.option("--recipe", help="A TOML recipe, or the name of a card that has one.  [default: the shipped one]")
@click.option("--trainer", default="torch", show_default=True, help="Trainer.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for weights, checkpoints and logs.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in --out.")
@click.option("--seconds", type=float, default=math.inf, help="Stop after this long; --resume goes on.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads.")
@data_option
def command(task_id: str, model_id: str, recipe: str | None, trainer: str, out: Path, **options: Any) -> None:
    """Train a model on a task by a recipe. Writes EMA and raw weights, checkpoints, metrics and what it trained on."""
    from trm_harness.registry import default
    from trm_harness.train.recipe import read_recipe

    registry = default()
    task_spec, spec = registry.tasks.spec(task_id), registry.models.spec(model_id)
    if not spec.trainable:
        raise BadInput(f"model {model_id} cannot be trained: choose one that `trm-harness models list` calls recursive")
    plan = read_recipe(recipe_path(recipe, f"{model_id}.{task_id}"))
    task = registry.tasks.resolve(task_id)(task_spec, options["data"])
    if not hasattr(task, "training_source"):
        raise BadInput(f"task {task_id} offers no training examples: choose another task")
    if options["threads"]:
        _use_threads(options["threads"])
    spec = dataclasses.replace(spec, config={**spec.config, **plan.model})
    source = task.training_source(plan.seed, spec.config.get("encoding", {}), plan.source)
    run = registry.trainers.resolve(trainer)
    _prepare(out, options["resume"])
    model = _model(spec, task_spec, plan, source, options["device"])
    declared = _declare(out, task_id, spec, plan, source, model)
    done = run(
        model,
        source,
        plan,
        out,
        resume=options["resume"],
        seconds=options["seconds"],
        report=_Reporter(plan.total_steps),
    )
    _write_json(out / "train.json", declared | {"result": done})
    weights = out / "weights.safetensors"
    click.echo(f"{done['steps']} steps in {done['seconds']:.0f} s; weights in {weights}")
    click.echo(f"score them: trm-harness eval --task {task_id} --model {model_id} --weights {weights}")


def recipe_path(name: str | None, usual: str) -> Path:
    """The file of a recipe: a path, a card that has one, or that of the first card whose name begins ``usual``."""
    from trm_harness.paths import zoo

    if name is None:
        found = sorted(zoo().glob(f"{usual}*/recipe.toml"))
        if found:
            return found[0]
        raise BadInput(f"no recipe for {usual} is shipped: give one with --recipe FILE ({_shipped_recipes(zoo())})")
    for path in (Path(name), zoo() / name / "recipe.toml"):
        if path.is_file():
            return path
    raise BadInput(f"recipe {name!r} is neither a file nor a card with a recipe: {_shipped_recipes(zoo())}")


def _shipped_recipes(folder: Path) -> str:
    names = sorted(path.parent.name for path in folder.glob("*/recipe.toml"))
    return f"shipped are {', '.join(names)}"


def _model(spec: Any, task_spec: Any, plan: Any, source: Any, device: str) -> Any:
    from trm_harness.contracts import ModelRequest
    from trm_harness.environment import resolve_device
    from trm_harness.registry import import_target

    request = ModelRequest(
        spec,
        task_spec,
        device=resolve_device(device),
        dtype=plan.dtype,
        seed=plan.seed,
        identities=source.identities,
    )
    return import_target(spec.trainable)(request)


def _prepare(out: Path, resume: bool) -> None:
    if resume and not any((out / "checkpoints").glob("step-*")):
        raise BadInput(f"{out}: holds no checkpoint to resume from: start the run without --resume")
    if not resume and (out / "metrics.jsonl").exists():
        raise BadInput(f"{out}: holds a training run already: use --resume, or another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: cannot be made ({error.strerror}): choose another --out") from error


def _declare(out: Path, task_id: str, spec: Any, plan: Any, source: Any, model: Any) -> dict[str, Any]:
    from trm_harness.environment import device_name, snapshot

    facts = model.facts()
    declared = {
        "task": task_id,
        "model": spec.id,
        "recipe": plan.as_dict(),
        "training": dict(source.declaration),
        "parameters": dataclasses.asdict(facts.parameters),
        "config": dict(facts.config),
        "device": device_name(str(model.device)),
        "environment": snapshot().model_dump(),
    }
    _write_json(out / "train.json", declared)
    return declared


def _write_json(path: Path, value: dict[str, Any]) -> None:
    import json

    from trm_harness.cli.options import plain
    from trm_harness.record import write_text

    write_text(path, json.dumps(plain(value), indent=1))


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


class _Reporter:
    """Progress: means since the last line, with throughput and time left; a line every ten seconds."""

    def __init__(self, total: int) -> None:
        self.total, self.last, self.rows = total, 0.0, []

    def __call__(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if row["seconds"] - self.last < 10 and row["step"] < self.total:
            return
        means = {name: [r[name] for r in self.rows if r[name] == r[name]] for name in METRICS}
        text = "  ".join(f"{name} {sum(v) / len(v):.4f}" for name, v in means.items() if v)
        rate = len(self.rows) / max(1e-9, row["seconds"] - self.last)
        left = (self.total - row["step"]) / max(rate, 1e-9)
        click.echo(f"step {row['step']}/{self.total}  {text}  {rate:.2f} steps/s  {left / 60:.0f} min left", err=True)
        sys.stderr.flush()
        self.last, self.rows = row["seconds"], []
