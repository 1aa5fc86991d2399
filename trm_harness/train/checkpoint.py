"""Checkpoints of a training run: one safetensors file and one JSON file in a folder that appears all at once.

A checkpoint holds everything that the next step depends on: weights, average, moments, carries, counters; batches and
all that is random follow from (seed, step). So a run that was killed goes on to the same bits.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trm_harness.errors import BadInput, CheckFailed
from trm_harness.files import write
from trm_harness.files.utf8 import utf8_path
from trm_harness.fingerprint import file_sha256
from trm_harness.nn.checkpoint import save_tensors
from trm_harness.nn.supervision import ROWS, Carry, Rows, canvas_of
from trm_harness.train.learner import Learner

_FIXED = ("batch_size", "optimizer", "model")
"""What of a recipe the saved carries, moments and weights have the shape of; the rest may change at a resume."""
_STATE, _TENSORS = "state.json", "state.safetensors"


def save_checkpoint(folder: Path, learner: Learner, log: dict[str, Any], keep: int = 2) -> Path:
    """Write ``folder/step-<n>`` and drop all but the last ``keep`` (0 keeps all). Every process calls it, one writes.

    The folder appears all at once, so a killed run leaves whole checkpoints only. ``CheckFailed`` if it cannot be
    written, or if a weight is not finite: the ones before stay.
    """
    final = folder / f"step-{learner.step:07d}"
    tensors = _tensors(learner)
    if learner.engine.rank:
        return final
    broken = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise CheckFailed(f"{broken[0]} is not finite at step {learner.step}: lower lr, {_way_back(folder)}")
    for unfinished in folder.glob(write.UNFINISHED):
        # As large as a checkpoint, and only a process that was killed leaves one.
        shutil.rmtree(unfinished, ignore_errors=True)
    with _room(folder), write.folder(final, replace=True) as made:
        with write.replacing(made / _TENSORS) as temporary:
            save_tensors(tensors, temporary)
        _write_state(made, learner, log)
    for old in sorted(folder.glob("step-*"))[:-keep] if keep else ():
        shutil.rmtree(old)
    return final


def load_checkpoint(folder: Path, learner: Learner) -> dict[str, Any]:
    """Bring ``learner`` to the newest checkpoint in ``folder``; returns what was saved as ``log``.

    ``processes`` in it is the number that made the checkpoint. ``BadInput`` for none, a damaged or incomplete one
    (naming the one before, which loads once the damaged folder is gone), or one of a recipe that does not fit.
    """
    found = sorted(folder.glob("step-*"))
    if not found:
        raise BadInput(f"{folder}: holds no checkpoint (step-...): start the run without --resume")
    where = found[-1]
    try:
        state = json.loads((where / _STATE).read_text("utf-8"))
        began, log, buckets = state["recipe"], dict(state["log"]), state["buckets"]
        with utf8_path(where / _TENSORS) as file:
            tensors = load_file(file)
        if state.get("sha256", "") not in ("", file_sha256(where / _TENSORS)):
            raise ValueError(f"{_TENSORS} has not the sha256 that {_STATE} states")
        _check_recipe(where, began, json.loads(json.dumps(learner.recipe.as_dict())))
        _restore(learner, tensors, int(state["step"]), buckets)
    except (
        OSError,
        SafetensorError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
        AttributeError,
    ) as error:
        before = f"delete it to resume from the one before, {found[-2].name}" if found[1:] else "there is no other"
        raise BadInput(f"{where}: cannot be read ({' '.join(str(error).split())}): {before}") from error
    return {"processes": state.get("processes", 1)} | log


def _write_state(folder: Path, learner: Learner, log: dict[str, Any]) -> None:
    state = {
        "step": learner.step,
        "recipe": learner.recipe.as_dict(),
        "log": log,
        "buckets": sorted(learner.carries),
        "processes": learner.engine.world,
        "sha256": file_sha256(folder / _TENSORS),
    }
    write.write_text(folder / _STATE, json.dumps(state, indent=1))


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[None]:
    """``CheckFailed``, which says how to go on, instead of the system's word for a full disk and the like."""
    try:
        yield
    except (BadInput, SafetensorError) as error:
        reason = getattr(error.__cause__, "strerror", None) or " ".join(str(error).split())
        raise CheckFailed(
            f"{folder}: the checkpoint cannot be written ({reason}): make room, {_way_back(folder)}"
        ) from error


def _way_back(folder: Path) -> str:
    """How to go on from what there is."""
    whole = sorted(folder.glob("step-*"))
    if not whole:
        return "then start again (no checkpoint was written yet)"
    return f"then --resume {folder.parent} goes on from step {int(whole[-1].name[5:])}"


def _check_recipe(checkpoint: Path, began: dict[str, Any], now: dict[str, Any]) -> None:
    for name in _FIXED:
        if began.get(name) != now[name]:
            raise BadInput(
                f"{checkpoint}: was made with {name} {began.get(name)!r}, the recipe says {now[name]!r}: "
                "resume with what it was made with, or train anew"
            )


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """Everything, whole: rows of a carry are gathered from the processes."""
    gather = learner.engine.gather
    tensors = {f"network.{k}": v for k, v in learner.network.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in learner.ema.shadow.items()}
    tensors |= {f"optimizer.{k}": v for k, v in learner.engine.state().items()}
    for bucket, carry in sorted(learner.carries.items()):
        tensors |= {f"carry.{bucket}.state.{i}": gather(t.contiguous()) for i, t in enumerate(carry.state)}
        tensors |= {f"carry.{bucket}.{name}": gather(getattr(carry.rows, name).contiguous()) for name in ROWS}
        tensors |= {f"carry.{bucket}.steps": gather(carry.steps)}
        # Not every backend gathers truth values.
        for name in ("halted", "right"):
            tensors[f"carry.{bucket}.{name}"] = gather(getattr(carry, name).to(torch.uint8)).bool()
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}


def _restore(learner: Learner, tensors: dict[str, Tensor], step: int, buckets: list[str]) -> None:
    device = learner.network.device
    canvases = {bucket: canvas_of(tensors[f"carry.{bucket}.positions"].numpy()) for bucket in buckets}
    tensors = {k: v.to(device) for k, v in tensors.items()}
    learner.network.load_state_dict(_under("network.", tensors))
    learner.ema.shadow = _under("ema.", tensors)
    learner.engine.load(_under("optimizer.", tensors))
    for bucket in buckets:
        own = _under(f"carry.{bucket}.", tensors)
        latents = tuple(own[f"state.{i}"] for i in range(sum(1 for k in own if k.startswith("state."))))
        rows = Rows(*(own[name] for name in ROWS), canvases[bucket])
        # Checkpoints of older versions do not say who was right.
        carry = Carry(latents, rows, own["steps"], own["halted"], own.get("right"))
        learner.carries[bucket] = carry.rows_at(learner.own_rows)
    learner.step = step


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
