"""The evaluator: task and model in, journal and record out. One loop for every task and every model."""

from trm_harness.evaluate.run import Setting, Watchers, check_folder, evaluate, reread, rescore, resume, verdicts
from trm_harness.inference.plan import InferencePlan, select

__all__ = [
    "InferencePlan",
    "Setting",
    "Watchers",
    "check_folder",
    "evaluate",
    "reread",
    "rescore",
    "resume",
    "select",
    "verdicts",
]
