"""Manifest: what this package brings to trm-harness. It imports nothing heavy; the code waits behind the target."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness import TaskSpec, hookimpl

PLUGIN_API = 1

SIZE = 4
"""Side of the board in cells."""


@hookimpl
def register_tasks(register: Callable[[TaskSpec], None]) -> None:
    """Declare the task."""
    register(
        TaskSpec(
            id="futoshiki-4x4",
            version=1,
            target="trm_task_futoshiki.task:build",
            title="Futoshiki 4x4",
            description=(
                "Fill a 4x4 Latin square so that every inequality sign between neighbours holds. One solution each; "
                "train, validation and test share no puzzle under turning, mirroring and swapping small for large."
            ),
            # Padding, then every (digit or blank, sign to the right, sign below) a cell can have.
            vocab_size=1 + (SIZE + 1) * 9,
            seq_len=SIZE * SIZE,
            splits=("train", "validation", "test"),
            family="futoshiki",
            # What touches what, for networks that mix cells over relations.
            relations=("rows", "columns", "right", "left", "below", "above"),
        )
    )
