"""The evaluator: task and model in, journal and record out. One loop for every task and every model."""

from trm_harness.callable import callable_package
from trm_harness.evaluate.plan import InferencePlan, select
from trm_harness.evaluate.run import Setting, Watchers, check_folder, evaluate, rescore, resume, verdicts

__all__ = [
    "InferencePlan",
    "Setting",
    "Watchers",
    "check_folder",
    "evaluate",
    "rescore",
    "resume",
    "select",
    "verdicts",
]

callable_package(__name__, "trm_harness.api:evaluate")
