"""The plain torch training loop: advance, log, keep checkpoints, stop on time, write weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trm_harness.contracts import Trainable, TrainingSource
from trm_harness.errors import CheckFailed
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.learner import Learner
from trm_harness.train.recipe import Recipe


def train(
    model: Trainable,
    source: TrainingSource,
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    seconds: float = math.inf,
    every: float = 300.0,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Train to the recipe's end or for ``seconds``; checkpoints every ``every`` seconds and at the end.

    Writes ``metrics.jsonl``, ``checkpoints/``, ``weights.safetensors`` (EMA) and ``weights-raw.safetensors`` under
    ``out``. Returns steps and seconds over all sessions. ``CheckFailed`` if the loss is not finite.
    """
    learner = Learner(model, source, recipe)
    checkpoints = out / "checkpoints"
    spent = load_checkpoint(checkpoints, learner)["seconds"] if resume else 0.0
    _forget_lost_steps(out / "metrics.jsonl", learner.step)
    if recipe.compile:
        for stack in learner.network.stacks:
            stack.compile(dynamic=False)
    started = saved = time.monotonic()
    with (out / "metrics.jsonl").open("a") as log:
        while learner.step < recipe.total_steps and time.monotonic() - started < seconds:
            row = learner.advance()
            if not math.isfinite(row["loss"]):
                raise CheckFailed(
                    f"loss is {row['loss']} at step {learner.step}: lower lr and resume from {checkpoints.name}"
                )
            row["seconds"] = spent + time.monotonic() - started
            log.write(json.dumps(row) + "\n")
            report(row)
            if time.monotonic() - saved > every:
                log.flush()
                save_checkpoint(checkpoints, learner, {"seconds": row["seconds"]})
                saved = time.monotonic()
    total = spent + time.monotonic() - started
    save_checkpoint(checkpoints, learner, {"seconds": total})
    write_weights(learner, out)
    return {"steps": learner.step, "seconds": total, "examples": learner.step * recipe.batch_size}


def _forget_lost_steps(log: Path, step: int) -> None:
    """Cut a log down to the steps up to ``step``: those after the checkpoint are about to be taken again."""
    if not log.exists():
        return
    whole = (line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n"))
    kept = [line for line in whole if json.loads(line)["step"] <= step]
    temporary = log.with_name(f"{log.name}.tmp")
    temporary.write_text("".join(kept))
    temporary.replace(log)


def write_weights(learner: Learner, out: Path) -> None:
    """Write raw and EMA weights; the learner's own weights are left as they were."""
    declared = {
        "checkpoint_choice": f"step {learner.step} of {learner.recipe.total_steps}",
        **learner.source.declaration,
    }
    learner.model.save(out / "weights-raw.safetensors", card="", training=declared)
    raw = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
    _load(learner.network, learner.ema.shadow)
    learner.model.save(out / "weights.safetensors", card="", training=declared)
    _load(learner.network, raw)


@torch.no_grad()
def _load(network: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    for name, p in network.named_parameters():
        p.copy_(values[name])
