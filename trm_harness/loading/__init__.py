"""From names to a run: what a user asked for becomes a task, a plan, a loaded model and the setting of its record.

The command line and the Python calls of :mod:`trm_harness.api` begin here; the evaluator never looks a name up.
"""

from trm_harness.launch.choices import Choices, Launch, new_folder, plan_of, stored_launch, task_of
from trm_harness.launch.guard import guard
from trm_harness.launch.load import Start, again, declared, load, prepare, weights_of, workers

__all__ = [
    "Choices",
    "Launch",
    "Start",
    "again",
    "declared",
    "guard",
    "load",
    "new_folder",
    "plan_of",
    "prepare",
    "stored_launch",
    "task_of",
    "weights_of",
    "workers",
]
