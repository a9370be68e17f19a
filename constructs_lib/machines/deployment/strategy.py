"""How a new model takes over, and the ``DeploymentConfig`` that says so to SageMaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from constructs_lib.asl import JSON
from constructs_lib.machines.common import HOUR, MINUTE
from constructs_lib.names import serving_file
from constructs_lib.names.serving_file import ABTest, Canary, Linear, Rolling, Shadow

Strategy = Literal["all_at_once", "canary", "linear", "rolling"]

LONGEST_SECONDS = 8 * HOUR
"""SageMaker's limit of a whole deployment."""

_SHIFT_SECONDS = 1 * HOUR
_LEAST: dict[str, float] = {"canary": 0.01, "linear": 0.1, "rolling": 0.05}


@dataclass(frozen=True)
class Rollout:
    """Says how a new model takes over.

    Args:
        strategy: The whole traffic at once, a share of the fleet first, shares of it one after the other, or
            instances replaced in batches.
        bake_minutes: How long alarms are watched after each step, while there is still a way back.
        share: What a canary takes first, what each step of a linear rollout adds, or the batch that is replaced, of
            the fleet. SageMaker's limits are at most half, at least a tenth of it for a step, a twentieth for a batch.

    Raises:
        ValueError: The share or the time is out of range.
    """

    strategy: Strategy
    bake_minutes: int
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.bake_minutes <= 60:
            raise ValueError(f"bake time must be between 1 and 60 minutes, got: {self.bake_minutes}")
        least = _LEAST.get(self.strategy)
        if least is not None and not least <= self.share <= 0.5:
            raise ValueError(f"share of {self.strategy} must be between {least} and 0.5, got: {self.share}")
        if self.seconds > LONGEST_SECONDS:
            raise ValueError(f"rollout must be over in {LONGEST_SECONDS} seconds, takes up to {self.seconds}")

    @classmethod
    def of(cls, asked: serving_file.Rollout) -> Rollout:
        """Returns what a workload's file asks for; an experiment begins and ends at once."""
        match asked:
            case Canary():
                return cls("canary", asked.bake_minutes, asked.share)
            case Linear():
                return cls("linear", asked.bake_minutes, asked.step)
            case Rolling():
                return cls("rolling", asked.bake_minutes, asked.batch)
            case _:
                return cls("all_at_once", asked.bake_minutes)

    @property
    def bakes(self) -> int:
        """How often alarms are watched for the bake time."""
        if self.strategy in ("linear", "rolling"):
            return ceil(round(1 / self.share, 9))
        return 2 if self.strategy == "canary" else 1

    @property
    def seconds(self) -> int:
        """After how many seconds SageMaker itself gives the rollout up and goes back."""
        return self.bakes * self.bake_minutes * MINUTE + _SHIFT_SECONDS


@dataclass(frozen=True)
class Experiment:
    """Says how champion and challenger are compared before the challenger takes over.

    Args:
        kind: ``ab``: both answer. ``shadow``: the challenger gets copies, and its answers reach nobody.
        share: The challenger's share of the requests, or of the copies, of all requests.
        max_hours: After so many hours without a decision the champion stays.
        judge_arn: The function that decides; may be a token.
    """

    kind: Literal["ab", "shadow"]
    share: float
    max_hours: int
    judge_arn: str

    @classmethod
    def of(cls, asked: ABTest | Shadow, judge_arn: str) -> Experiment:
        """Returns what a workload's file asks for."""
        share = asked.share if isinstance(asked, ABTest) else asked.sample_percent / 100
        return cls(asked.strategy, share, asked.max_hours, judge_arn)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or (self.kind == "ab" and self.share > 0.5):
            raise ValueError(f"share of a challenger must be above 0 and at most 0.5, got: {self.share}")


def deployment_config(rollout: Rollout, alarm_names: Sequence[str]) -> dict[str, JSON]:
    """The request's ``DeploymentConfig``: how traffic moves, and which alarms take it back, if any."""
    alarms = {"Alarms": [{"AlarmName": name} for name in alarm_names]}
    policy = _rolling(rollout) if rollout.strategy == "rolling" else _blue_green(rollout)
    return {**policy, **({"AutoRollbackConfiguration": alarms} if alarm_names else {})}


def _blue_green(rollout: Rollout) -> dict[str, JSON]:
    """A second fleet; the old one is kept for one more bake time after the last of the traffic has moved."""
    bake, size = rollout.bake_minutes * MINUTE, _percent(rollout.share)
    routing: dict[str, JSON] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    if rollout.strategy == "canary":
        routing = {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": bake}
    elif rollout.strategy == "linear":
        routing = {"Type": "LINEAR", "LinearStepSize": size, "WaitIntervalInSeconds": bake}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": bake,
            "MaximumExecutionTimeoutInSeconds": rollout.seconds,
        }
    }


def _rolling(rollout: Rollout) -> dict[str, JSON]:
    """Batch by batch; the way back is one step, whatever the batch."""
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": _percent(rollout.share),
            "WaitIntervalInSeconds": rollout.bake_minutes * MINUTE,
            "MaximumExecutionTimeoutInSeconds": rollout.seconds,
            "RollbackMaximumBatchSize": _percent(1.0),
        }
    }


def _percent(share: float) -> dict[str, JSON]:
    return {"Type": "CAPACITY_PERCENT", "Value": round(share * 100)}
