"""Checkpoints of a training run: one safetensors file and one JSON file in a folder that appears all at once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trm_harness.errors import BadInput
from trm_harness.nn.supervision import Carry, Rows
from trm_harness.train.learner import Learner

_ROWS = ("tokens", "labels", "positions", "ids")
_FIXED = ("batch_size", "optimizer", "model")
"""What of a recipe the saved carries, moments and weights have the shape of; the rest may change at a resume."""


def save_checkpoint(folder: Path, learner: Learner, log: dict[str, Any]) -> Path:
    """Write ``folder/step-<n>`` (weights, EMA, moments, carries, counters) and drop all but the last two.

    The folder is written under a temporary name and renamed, so a killed run leaves whole checkpoints only.
    """
    final = folder / f"step-{learner.step:07d}"
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(_tensors(learner), temporary / "state.safetensors")
    state = {"step": learner.step, "recipe": learner.recipe.as_dict(), "log": log, "buckets": sorted(learner.carries)}
    (temporary / "state.json").write_text(json.dumps(state, indent=1))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    for old in sorted(folder.glob("step-*"))[:-2]:
        shutil.rmtree(old)
    return final


def load_checkpoint(folder: Path, learner: Learner) -> dict[str, Any]:
    """Bring ``learner`` to the newest checkpoint in ``folder``; returns what was saved as ``log``."""
    found = sorted(folder.glob("step-*"))
    if not found:
        raise BadInput(f"{folder}: holds no checkpoint (step-...): start the run without --resume")
    try:
        tensors = load_file(found[-1] / "state.safetensors")
        state = json.loads((found[-1] / "state.json").read_text())
        began, log = state["recipe"], state["log"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{found[-1]}: cannot be read ({error}): delete it to resume from the one before") from error
    _check_recipe(found[-1], began, json.loads(json.dumps(learner.recipe.as_dict())))
    _restore(learner, tensors, state)
    return log


def _check_recipe(checkpoint: Path, began: dict[str, Any], now: dict[str, Any]) -> None:
    for name in _FIXED:
        if began.get(name) != now[name]:
            raise BadInput(
                f"{checkpoint}: was made with {name} {began.get(name)!r}, the recipe says {now[name]!r}: "
                "resume with what it was made with, or train anew"
            )


def _tensors(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"network.{k}": v for k, v in learner.network.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in learner.ema.shadow.items()}
    for name, p in learner.network.named_parameters():
        for key, value in _optimizer_of(learner, p).state.get(p, {}).items():
            tensors[f"optimizer.{name}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    for bucket, carry in learner.carries.items():
        tensors |= {f"carry.{bucket}.state.{i}": t for i, t in enumerate(carry.state)}
        tensors |= {f"carry.{bucket}.{name}": getattr(carry.rows, name) for name in _ROWS}
        tensors |= {f"carry.{bucket}.steps": carry.steps, f"carry.{bucket}.halted": carry.halted}
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}


def _optimizer_of(learner: Learner, parameter: Tensor) -> torch.optim.Optimizer:
    owns = (o for o in learner.optimizers if any(parameter is p for group in o.param_groups for p in group["params"]))
    return next(owns)


def _restore(learner: Learner, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    device = learner.network.device
    tensors = {k: v.to(device) for k, v in tensors.items()}
    learner.step = state["step"]
    learner.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
    learner.ema.shadow = {k[4:]: v for k, v in tensors.items() if k.startswith("ema.")}
    for name, p in learner.network.named_parameters():
        key = f"optimizer.{name}/"
        moments = {k.removeprefix(key): v for k, v in tensors.items() if k.startswith(key)}
        if moments:
            # AdamATan2 counts in Python numbers, which keeps its bias correction in double precision.
            _optimizer_of(learner, p).state[p] = {k: int(v) if k == "step" else v for k, v in moments.items()}
    for bucket in state["buckets"]:
        key = f"carry.{bucket}."
        rows = Rows(*(tensors[key + name] for name in _ROWS))
        count = sum(1 for k in tensors if k.startswith(key + "state."))
        latents = tuple(tensors[f"{key}state.{i}"] for i in range(count))
        learner.carries[bucket] = Carry(latents, rows, tensors[key + "steps"], tensors[key + "halted"])
