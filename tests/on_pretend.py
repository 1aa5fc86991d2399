"""What the product does on the pretend accelerator, told as JSON: ``python -m tests.on_pretend``."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import trm_harness
from tests import pretend
from trm_harness import machine
from trm_harness.api import load_model
from trm_harness.bench import inference
from trm_harness.bench import training as bench_training
from trm_harness.bench.device import gradients_apart
from trm_harness.inference import StepOptions, ask
from trm_harness.publish import check_golden
from trm_harness.train import loop
from trm_harness.train.learner import Learner
from trm_harness.train.log import read_metrics
from trm_harness.train.session import Job, build, find_recipe
from trm_harness.train.trainer import Settings
from trm_harness.zoo import named

CARDS = ("trm-nano.sudoku-4x4", "hrm-nano.sudoku-4x4", "direct-nano.sudoku-4x4", "trm-nano.maze-8x8")
STEPS = 4


def answering(name: str) -> dict[str, Any]:
    """Equal answers and halting logits on both devices, and the waits of a full pass."""
    here, there = (load_model(name, device=device, dtype="float32") for device in ("cpu", pretend.NAME))
    puzzles = here.task.puzzles("validation")[:6]
    told: dict[str, Any] = {"device": str(there.model.device)}
    for halt, above, noise in (("full", 0.5, 0.0), ("settled", 0.5, 0.0), ("adaptive", 0.9, 0.0), ("full", 0.5, 0.3)):
        options = StepOptions(STEPS, halt, above, noise)
        ours = ask(here.task, here.model, puzzles, options)
        with pretend.waits() as waited:
            theirs = ask(there.task, there.model, puzzles, options)
        told[f"{halt} {noise:g}"] = {
            "equal": all(_alike(a, b) for a, b in zip(ours, theirs, strict=True)),
            "steps": max(row.steps for row in theirs),
            "waits": dict(waited),
        }
    return told


def _mixture() -> str:
    """What is said where a tensor of the CPU meets one of the device."""
    try:
        torch.ones(3).to(pretend.NAME) + torch.ones(3)
    except RuntimeError as error:
        return str(error)
    return "nothing"


def _alike(a: Any, b: Any) -> bool:
    answers = zip(a.answers, b.answers, strict=True)
    return np.allclose(a.halts, b.halts, atol=1e-4) and all(np.array_equal(*pair) for pair in answers)


def evaluating(folder: Path) -> dict[str, Any]:
    """Whole evaluations by the public call: views, restarts, a puzzle table, adaptation."""
    runs = {
        "views": ("sudoku-4x4", "trm-nano", {"limit": 3, "augment": 2, "steps": 2}),
        "restarts": ("sudoku-4x4", "trm-nano", {"limit": 3, "restarts": 2, "noise": 0.3, "steps": 2, "select": "halt"}),
        "table": ("arc1", "trm-7m", {"limit": 1, "untrained": True, "steps": 1, "settings": SMALL}),
        "adapted": (
            "arc1",
            "trm-7m",
            {"limit": 1, "untrained": True, "steps": 1, "settings": SMALL, "adapt": "full", "adapt_steps": 1},
        ),
    }
    told = {}
    for name, (task, model, choices) in runs.items():
        record = trm_harness.evaluate(task, model, device="auto", out=folder / name, **choices)
        told[name] = [record.status, record.protocol.device, record.protocol.dtype, record.cost.device_name]
    return told


def steps_alone() -> dict[str, Any]:
    """What the host waits for in a few optimizer steps, bringing their numbers over, and losses on both devices."""
    told: dict[str, Any] = {}
    for name, (model, task, changes) in STEPPED.items():
        found: dict[str, Any] = {}
        for device in ("cpu", pretend.NAME):
            learner = learner_on(device, model, task, **changes)
            taken = [learner.take()]
            with pretend.waits() as waited:
                taken += [learner.take() for _ in range(2)]
            with pretend.waits() as brought:
                found[device] = [row["loss"] for row in learner.rows_of(taken)]
        told[name] = {"losses": found, "waits": dict(waited), "brought": dict(brought)}
    return told


def learner_on(device: str, model: str, task: str, /, **changes: Any) -> Learner:
    """A learner of a few rows in float32, not compiled."""
    recipe = find_recipe(None, model, task)[1]
    changes["model"] = dict(recipe.model) | changes.get("model", {})
    recipe = replace(recipe, batch_size=4, accumulate=1, dtype="float32", compile=False, validate_every=0, **changes)
    parts = build(Job(task, model, recipe, device=device))
    return Learner(parts.model, parts.source, recipe)


def resuming(folder: Path) -> dict[str, Any]:
    """A run that goes on from its checkpoint ends in the bits of one that was not stopped; waits of the whole loop."""
    short = {"stages": (replace(find_recipe(None, *TRAINED[0])[1].stages[0], steps=STEPS),)}
    told: dict[str, Any] = {}
    for between in (0.0, math.inf):
        loop.BETWEEN, out = between, made(folder / f"{between:g}")
        with pretend.waits() as waited:
            learner = learner_on(pretend.NAME, *TRAINED[0], **short)
            loop.fit(learner, out, settings=Settings(every_steps=2, keep=0))
        told[f"waits {between:g}"] = waited["cpu"] + waited["item"]
    whole, part = folder / "inf", folder / "resumed"
    shutil.copytree(whole, part, ignore=shutil.ignore_patterns(f"step-{STEPS:07d}", "weights*"))
    loop.fit(learner_on(pretend.NAME, *TRAINED[0], **short), part, resume=True)
    rows = [[row | {"seconds": 0} for row in read_metrics(one)] for one in (whole, part)]
    weights = [load_file(one / "weights.safetensors") for one in (whole, part)]
    equal = all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    return told | {"rows": len(rows[0]), "equal rows": rows[0] == rows[1], "equal weights": equal}


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def benches() -> dict[str, Any]:
    """The ways that are measured, and their answers a second."""
    loaded = load_model(CARDS[0], device=pretend.NAME, dtype="float32")
    eval_ = inference.bench(loaded, inference.Question("validation", batch=4, repeats=1, steps=2))
    recipe = replace(find_recipe(None, *TRAINED[0])[1], batch_size=4, dtype="float32")
    job = Job(TRAINED[0][1], TRAINED[0][0], recipe, device=pretend.NAME)
    train = bench_training.bench(job, bench_training.Question(repeats=1))
    rows = {f"{found['bench']} {name}": row for found in (eval_, train) for name, row in found["rows"].items()}
    return {name: row["examples_per_s"] for name, row in rows.items()}


def deepspeed() -> str:
    """How far DeepSpeed's engine goes: what it says, or the loss of a step."""
    try:
        from trm_trainer_deepspeed.engine import DeepSpeedEngine
    except ImportError as error:
        return str(error)
    learner = learner_on(pretend.NAME, *TRAINED[0])
    try:
        engine = DeepSpeedEngine(learner.network, learner.recipe, {})
        loss = Learner(learner.model, learner.source, learner.recipe, engine).advance()["loss"]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"loss on {learner.network.device}: {loss}"


def training(folder: Path) -> dict[str, Any]:
    """A few steps on both devices: losses, and the waits of one step in float32."""
    told: dict[str, Any] = {}
    for model, task in TRAINED:
        losses: dict[str, list[float]] = {}
        for device in ("cpu", pretend.NAME):
            seen: list[float] = []
            changes = {"batch_size": 8, "dtype": "float32", "validate_every": 0, "compile": False}
            with pretend.waits() as waited:
                trm_harness.train(
                    task,
                    model,
                    out=folder / f"{model}-{device}",
                    steps=STEPS,
                    settings=changes,
                    device=device,
                    on_step=lambda row, seen=seen: seen.append(row["loss"]),
                )
            losses[device] = seen
        told[model] = {"losses": losses, "waits": dict(waited)}
    return told


TRAINED = (("trm-nano", "sudoku-4x4"), ("hrm-nano", "sudoku-4x4"))
TINY = {"hidden_size": 32, "heads": 2, "h_cycles": 1, "l_cycles": 1}
STEPPED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "trm": ("trm-nano", "sudoku-4x4", {}),
    "hrm": ("hrm-nano", "sudoku-4x4", {}),
    "muon": ("trm-nano", "sudoku-4x4", {"optimizer": "muon"}),
    "table": ("trm-7m", "arc1", {"model": TINY | {"puzzle_dim": 32}}),
}
SMALL = {"hidden_size": 32, "heads": 2, "h_cycles": 1, "l_cycles": 1, "puzzle_dim": 32}


def main(folder: Path) -> None:
    """Everything, in one process."""
    torch.set_num_threads(1)
    told: dict[str, Any] = {"auto": machine.resolve_device("auto"), "count": machine.device_count()}
    told["refused"] = _mixture()
    told["answering"] = {name: answering(name) for name in CARDS}
    told["gradients"] = gradients_apart(pretend.NAME)
    told["golden"] = check_golden(named(CARDS[0]), pretend.NAME).detail
    told["evaluating"] = evaluating(folder)
    told["training"] = training(folder)
    told["stepped"] = steps_alone()
    told["resumed"] = resuming(folder / "resumed")
    told["benches"] = benches()
    told["deepspeed"] = deepspeed()
    told["files"] = sorted(path.name for path in (folder / f"trm-nano-{pretend.NAME}").iterdir())
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
