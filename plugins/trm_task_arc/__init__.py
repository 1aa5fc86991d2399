"""ARC-AGI-1 and ARC-AGI-2: manifest of the plugin. Declares the tasks; everything else is imported on first use."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import TaskSpec

PLUGIN_API = 1

_SHARED = {
    "version": 1,
    "target": "trm_task_arc.task:ArcTask",
    "vocab_size": 12,
    "seq_len": 900,
    "splits": ("training", "evaluation"),
    "default_split": "evaluation",
    "attempts": 2,
    "headline": "pass@2",
    "rules": ("outputs", "tasks", "submitted"),
    "family": "arc",
    "has_identities": True,
}

TASKS = (
    TaskSpec(
        id="arc1",
        title="ARC-AGI-1",
        description="400 public evaluation tasks, 419 outputs, from a few demonstrations each; two attempts an output",
        options={
            "data": "arcagi",
            "reference": "arcagi",
            "subsets": {"training": ("training",), "evaluation": ("evaluation",)},
        },
        **_SHARED,
    ),
    TaskSpec(
        id="arc2",
        title="ARC-AGI-2",
        description="120 public evaluation tasks, 167 outputs, from a few demonstrations each; two attempts an output",
        options={
            "data": "arcagi2",
            "reference": "kaggle2025",
            "subsets": {"training": ("training2", "training"), "evaluation": ("evaluation2", "evaluation")},
        },
        **_SHARED,
    ),
)


@hookimpl
def register_tasks(register: Callable[[TaskSpec], None]) -> None:
    """Declare ``arc1`` and ``arc2``."""
    for spec in TASKS:
        register(spec)
