"""Inference: a plan, its puzzles in batches, and a model's answers as rows of the journal."""

from trm_harness.inference.ask import ask
from trm_harness.inference.plan import InferencePlan, Selection, StepOptions, select

__all__ = ["InferencePlan", "Selection", "StepOptions", "ask", "select"]
