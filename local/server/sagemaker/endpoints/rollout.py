"""Deployment guardrails: what a DeploymentConfig may say, and the steps that it means."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.store import Document

_HALF = 50
_LEAST_LINEAR = 10
_DEFAULT_LIMIT_SECONDS = 28_800


@dataclass(frozen=True)
class Rollout:
    """How traffic moves from the old fleet to the new one. Times in unscaled seconds.

    Attributes:
        shares: The new fleet's share of the requests after each step; the last one is 1.
        bake_seconds: How long each step is watched.
        termination_seconds: How long the old fleet is kept after the last step.
        limit_seconds: How long the whole deployment may take.
        alarms: Alarms that roll it back.
    """

    shares: tuple[float, ...] = (1.0,)
    bake_seconds: float = 0.0
    termination_seconds: float = 0.0
    limit_seconds: float = _DEFAULT_LIMIT_SECONDS
    alarms: tuple[str, ...] = ()

    @classmethod
    def parse(cls, config: Document | None, instances: int) -> Rollout:
        """Read a DeploymentConfig for a fleet of ``instances``; without one, everything moves at once.

        Raises:
            ServiceError: It is not allowed by the guardrails (``ValidationException``).
        """
        if config is None:
            return cls()
        if "RollingUpdatePolicy" in config:
            raise unsupported("RollingUpdatePolicy (BlueGreenUpdatePolicy is)")
        policy = config.get("BlueGreenUpdatePolicy")
        alarms = _alarms(config.get("AutoRollbackConfiguration", {}))
        if policy is None:
            return cls(alarms=alarms)
        routing = policy["TrafficRoutingConfiguration"]
        rollout = cls(
            shares=_shares(routing, instances),
            bake_seconds=routing["WaitIntervalInSeconds"],
            termination_seconds=policy.get("TerminationWaitInSeconds", 0),
            limit_seconds=policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_LIMIT_SECONDS),
            alarms=alarms,
        )
        rollout._check_time()
        return rollout

    def _check_time(self) -> None:
        waits = self.bake_seconds * len(self.shares) + self.termination_seconds
        if waits > self.limit_seconds:
            raise invalid(
                f"MaximumExecutionTimeoutInSeconds {self.limit_seconds} is shorter than the waits of the deployment: "
                f"{len(self.shares)} x WaitIntervalInSeconds {self.bake_seconds} + TerminationWaitInSeconds "
                f"{self.termination_seconds}"
            )


def _shares(routing: Document, instances: int) -> tuple[float, ...]:
    kind = routing["Type"]
    sizes = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    for other, member in sizes.items():
        if (member in routing) != (kind == other):
            rule = "is required for" if kind == other else "cannot be given for"
            raise invalid(f"{member} {rule} traffic routing of type {kind}")
    if kind == "ALL_AT_ONCE":
        return (1.0,)
    share = _fraction(kind, sizes[kind], routing[sizes[kind]], instances)
    if kind == "CANARY":
        return (share, 1.0)
    steps = ceil(round(1 / share, 9))
    return tuple(min(1.0, share * (step + 1)) for step in range(steps))


def _fraction(kind: str, member: str, size: Document, instances: int) -> float:
    if instances < 2:
        raise invalid(
            f"traffic routing of type {kind} needs at least 2 instances, the endpoint configuration has {instances}"
        )
    by_count = size["Type"] == "INSTANCE_COUNT"
    percent = 100 * size["Value"] / instances if by_count else float(size["Value"])
    least = _LEAST_LINEAR if kind == "LINEAR" else 0
    if not least <= percent <= _HALF:
        allowed = f"between {least} and {_HALF} percent" if least else f"at most {_HALF} percent"
        given = f"{size['Value']} of {instances} instances" if by_count else f"{size['Value']} percent"
        raise invalid(f"{member} must be {allowed} of the fleet, not {given}")
    return percent / 100


def _alarms(config: Document) -> tuple[str, ...]:
    names = [alarm.get("AlarmName") for alarm in config.get("Alarms", [])]
    if None in names:
        raise invalid("AutoRollbackConfiguration.Alarms: AlarmName is required")
    if len(set(names)) != len(names):
        raise invalid(f"AutoRollbackConfiguration.Alarms names an alarm twice: {names}")
    return tuple(str(name) for name in names)
