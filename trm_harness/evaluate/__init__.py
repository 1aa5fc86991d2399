"""The evaluator: task and model in, journal and record out. One loop for every task and every model."""

from trm_harness.evaluate.plan import InferencePlan
from trm_harness.evaluate.run import Setting, Watchers, evaluate, rescore, resume

__all__ = ["InferencePlan", "Setting", "Watchers", "evaluate", "rescore", "resume"]
