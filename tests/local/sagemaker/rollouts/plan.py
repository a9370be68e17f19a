"""Which workloads the stand has: one for each strategy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from constructs_lib.machines.deployment.strategy import Strategy
from constructs_lib.names.naming import runtime_prefix

STAGE = "roll"
ASSETS_BUCKET = "rollout-stand-assets"


@dataclass(frozen=True)
class Workload:
    """A workload of the stand: its strategy and its fleet.

    Attributes:
        others: Machines beside the first: name to instance type, number of instances and minutes of a bake.
        serving: What else its file says of serving.
        prediction_shift: How far predictions may move in a rollout; then all that is asked and answered is captured.
        requests_per_second: How many requests its clients make.
    """

    name: str
    strategy: Strategy
    share: float
    instances: int
    bake_minutes: int = 1
    instance_type: str = "ml.m5.large"
    others: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    serving: dict[str, Any] = field(default_factory=dict)
    requests_per_second: float = 10.0
    prediction_shift: float | None = None

    @property
    def endpoint(self) -> str:
        """Name of its endpoint."""
        return f"{runtime_prefix(STAGE, self.name)}live"

    def alarm(self, what: str) -> str:
        """Name of one of its alarms."""
        return f"{self.endpoint}-{what}"


COMMON, LARGER, RARE = "ml.m5.large", "ml.m5.xlarge", "ml.p4d.24xlarge"
OWN, OTHER = "ml.c5.large", "ml.c5.xlarge"
"""Machines that only one workload has, so that a lack of them hits no other."""

PATIENT = "Patient"
"""A machine whose bakes are so long that nothing but an alarm ends the last of them in time.

Where a later bake is looked at, those before it are waited for: ten minutes are 12 s here, which an alarm needs a
third of; that on predictions needs longer.
"""

WHOLE = Workload("whole", "all_at_once", 1.0, 1, others={PATIENT: (RARE, 1, 60)})
CANARY = Workload(
    "canary",
    "canary",
    0.5,
    2,
    others={PATIENT: (COMMON, 2, 30), "Larger": (LARGER, 2, 1), "More": (LARGER, 4, 1)},
    requests_per_second=20.0,  # the alarm on refused requests looks at 20 requests of a period, here of 2.4 s
    prediction_shift=0.4,
)
LINEAR = Workload("linear", "linear", 0.5, 2, others={PATIENT: (COMMON, 2, 15)})
ROLLING = Workload("rolling", "rolling", 0.33, 3, instance_type=OWN, others={PATIENT: (OTHER, 3, 10)})
"""Three batches: after the first two, both old and new instances serve."""
WORKLOADS = (WHOLE, CANARY, LINEAR, ROLLING)
