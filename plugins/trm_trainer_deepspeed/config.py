"""DeepSpeed's own settings: what the recipe decides, and what a user's JSON file may add."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_harness.errors import BadInput
from trm_harness.train.recipe import Recipe

STAGES = (0, 1, 2)
"""ZeRO stages. The third takes the parameters apart, which the average and the validation read whole."""
_NEVER_PRINT = 2**31 - 1
_TABLES = ("zero_optimization", "bf16", "fp16", "amp", "torch_autocast")


def make_config(recipe: Recipe, world: int, user: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The engine's configuration for ``world`` processes. ``BadInput`` names a value that contradicts the recipe."""
    micro = recipe.batch_size // (world * recipe.accumulate)
    own = {
        "train_batch_size": recipe.batch_size,
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": recipe.accumulate,
    }
    for name, value in own.items():
        if user.get(name, "auto") not in ("auto", value):
            how = f"batch_size {recipe.batch_size}, accumulate {recipe.accumulate}, {world} processes"
            raise BadInput(f"{where}: {name} is {user[name]!r}, the recipe makes it {value} ({how}): leave it out")
    for name in ("optimizer", "scheduler"):
        if name in user:
            raise BadInput(f"{where}: has its own {name}, but that is the recipe's to say: leave {name} out")
    for name in _TABLES:
        if not isinstance(user.get(name, {}), dict):
            raise BadInput(f"{where}: {name} must be a table of settings, not {user[name]!r}")
    for name in _TABLES[1:]:
        if dict(user.get(name) or {}).get("enabled"):
            raise BadInput(
                f"{where}: {name} is enabled, the recipe says dtype = {recipe.dtype!r}: the networks keep float32 "
                f"weights and compute in that type by themselves; leave {name} out"
            )
    stage = dict(user.get("zero_optimization") or {}).get("stage", 0)
    if stage not in STAGES:
        raise BadInput(f"{where}: ZeRO stage {stage!r} cannot be used here: use one of {', '.join(map(str, STAGES))}")
    if stage and recipe.optimizer == "muon":
        raise BadInput(
            f"{where}: ZeRO {stage} cuts matrices to pieces, which Muon needs whole: use stage 0 or adamatan2"
        )
    plain = {
        # DeepSpeed clips at 1 unless told otherwise; no recipe of this family clips.
        "gradient_clipping": 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": _NEVER_PRINT,
        "zero_optimization": {"stage": 0},
    }
    return {**plain, **user, **own}


def read_config(path: str) -> dict[str, Any]:
    """A user's file; empty without one. ``BadInput`` if it cannot be read or is no JSON table."""
    if not path:
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: cannot be read as JSON ({error}): check --deepspeed-config") from None
    if not isinstance(found, dict) or not isinstance(found.get("zero_optimization") or {}, dict):
        raise BadInput(f"{path}: must hold a table of DeepSpeed's settings: check --deepspeed-config")
    return found
