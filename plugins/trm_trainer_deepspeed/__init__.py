"""Manifest of the DeepSpeed trainer."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import TrainerSpec

PLUGIN_API = 1


@hookimpl
def register_trainers(register: Callable[[TrainerSpec], None]) -> None:
    """Declare the trainer."""
    register(
        TrainerSpec(
            id="deepspeed",
            version=1,
            target="trm_trainer_deepspeed.trainer:train",
            launch="trm_trainer_deepspeed.launch:launch",
            title="DeepSpeed",
            description="Several processes and machines: ZeRO 0, 1 or 2 for the network, the puzzle table beside it.",
        )
    )
