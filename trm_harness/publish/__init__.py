"""From a run to the public: cards made of runs, claims checked by running the weights, records filed and proved."""

from trm_harness.publish.claimed_score import check_record, check_score, record_of
from trm_harness.publish.golden import check_golden, make_golden
from trm_harness.publish.rerun import Machine, run_again
from trm_harness.publish.rescore import Data, rescored
from trm_harness.publish.submit import file_run
from trm_harness.publish.verify import prove

__all__ = [
    "Data",
    "Machine",
    "check_golden",
    "check_record",
    "check_score",
    "file_run",
    "make_golden",
    "prove",
    "record_of",
    "rescored",
    "run_again",
]
