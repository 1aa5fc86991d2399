"""Whether weights do what their card says: recorded answers given again, claimed scores measured again."""

from trm_harness.trust.golden import check_golden, make_golden
from trm_harness.trust.score import check_record, check_score, record_of

__all__ = ["check_golden", "check_record", "check_score", "make_golden", "record_of"]
