"""From names to a run: what a user asked for becomes a task, a plan, a loaded model and the setting of its record.

The command line and the Python calls of :mod:`trm_harness.api` begin here; the evaluator never looks a name up.
"""

from trm_harness.loading.choices import (
    Choices,
    Launch,
    new_folder,
    published_task,
    stored_launch,
    task_again,
    task_of,
)
from trm_harness.loading.guard import guard
from trm_harness.loading.load import Start, again, declared, load, prepare, weights_of, workers

__all__ = [
    "Choices",
    "Launch",
    "Start",
    "again",
    "declared",
    "guard",
    "load",
    "new_folder",
    "prepare",
    "published_task",
    "stored_launch",
    "task_again",
    "task_of",
    "weights_of",
    "workers",
]
