"""Runs filed among the published records, and what is filed proved: scores from answers, answers from a second run."""

from trm_harness.filing.add import file_run
from trm_harness.filing.again import Machine, run_again
from trm_harness.filing.prove import prove
from trm_harness.filing.scores import Data, rescored

__all__ = ["Data", "Machine", "file_run", "prove", "rescored", "run_again"]
