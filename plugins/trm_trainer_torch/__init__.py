"""Manifest of the plain torch trainer."""

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
            id="torch",
            version=1,
            target="trm_trainer_torch.trainer:train",
            title="Plain torch",
            description="One process on a CPU or a GPU; every supervision step is an optimizer step.",
        )
    )
