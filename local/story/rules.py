"""By what rules Gapless retrains in a story: the workload's own, or those that were chosen once for every story.

The constants were chosen on bike sharing, 2011 and 2012, and on the flights of January to June 2013, and are not
changed by what later months show.
"""

from __future__ import annotations

import json
from typing import Final

from constructs_lib.names.retraining_file import ALARMED
from constructs_lib.names.workload_file import WorkloadFile
from decide_retrain.handler import policy_of as read_policy
from decide_retrain.policy import Policy, Trigger

CHOSEN: Final = Policy(cooldown_days=28.0, max_per_week=2, min_new_labelled_rows=100, backoff=2.0)
"""On bike sharing a cooldown of a week without back-off asked for a training in each of 17 months, and five of the
challengers were refused; with these, no training follows within eight weeks of a refused one."""

ASKS: Final[tuple[Trigger, ...]] = ALARMED
"""Families of the monitor's checks that ask for a training when they are violated, the most pressing first."""

SHARES_OF_START: Final = (1.0, 0.5)
"""Windows that are tried beside the whole history: as many days as were known at the start, and parts of that."""

BACK_TEST_STEPS: Final = 2
"""Over how many of the last steps windows are compared."""

FEWEST_ROWS: Final = 500
"""A window with fewer labelled rows is not tried."""


def policy_of(workload: WorkloadFile) -> Policy:
    """Give the policy of a workload: its section ``retraining``, or what was chosen for stories."""
    return CHOSEN if workload.retraining is None else read_policy(json.dumps(workload.retraining.policy()))[0]
