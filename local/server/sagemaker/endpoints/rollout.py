"""Deployment guardrails: what a DeploymentConfig may say, and the steps that it means."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from local.server.sagemaker.errors import invalid
from local.server.sagemaker.store import Document

_HALF = 50
_LEAST = {"LINEAR": 10, "ROLLING": 5}
_DEFAULT_LIMIT_SECONDS = 28_800


@dataclass(frozen=True)
class Rollout:
    """How traffic moves from the old fleet to the new one. Times in unscaled seconds.

    Attributes:
        shares: The new fleet's share of the requests after each step; the last one is 1.
        bake_seconds: How long each step is watched, the last one of a blue/green deployment excepted.
        termination_seconds: How long the old fleet is kept after the last step.
        limit_seconds: How long the whole deployment may take.
        alarms: Alarms that roll it back.
        rolling: Whether instances are replaced batch by batch, so that there is no whole old fleet to go back to.
        back_share: How much of the fleet one step back of a rolling deployment brings.
    """

    shares: tuple[float, ...] = (1.0,)
    bake_seconds: float = 0.0
    termination_seconds: float = 0.0
    limit_seconds: float = _DEFAULT_LIMIT_SECONDS
    alarms: tuple[str, ...] = ()
    rolling: bool = False
    back_share: float = 1.0

    @classmethod
    def parse(cls, config: Document | None, instances: int) -> Rollout:
        """Read a DeploymentConfig for a fleet of ``instances``; without one, everything moves at once.

        Raises:
            ServiceError: It is not allowed by the guardrails (``ValidationException``).
        """
        if config is None:
            return cls()
        if "RollingUpdatePolicy" in config and "BlueGreenUpdatePolicy" in config:
            raise invalid("only one update policy should be used in the deployment configuration")
        alarms = _alarms(config.get("AutoRollbackConfiguration", {}))
        if "RollingUpdatePolicy" in config:
            rollout = _rolling(config["RollingUpdatePolicy"], instances, alarms)
        elif "BlueGreenUpdatePolicy" in config:
            rollout = _blue_green(config["BlueGreenUpdatePolicy"], instances, alarms)
        else:
            return cls(alarms=alarms)
        rollout._check_time()
        return rollout

    def _check_time(self) -> None:
        intervals = len(self.shares) - (0 if self.rolling else 1)
        waits = self.bake_seconds * intervals + self.termination_seconds
        if waits > self.limit_seconds:
            raise invalid(
                f"MaximumExecutionTimeoutInSeconds {self.limit_seconds} is shorter than the waits of the deployment: "
                f"{intervals} x WaitIntervalInSeconds {self.bake_seconds} + TerminationWaitInSeconds "
                f"{self.termination_seconds}"
            )


def _blue_green(policy: Document, instances: int, alarms: tuple[str, ...]) -> Rollout:
    routing = policy["TrafficRoutingConfiguration"]
    return Rollout(
        shares=_shares(routing, instances),
        bake_seconds=routing["WaitIntervalInSeconds"],
        termination_seconds=policy.get("TerminationWaitInSeconds", 0),
        limit_seconds=policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_LIMIT_SECONDS),
        alarms=alarms,
    )


def _rolling(policy: Document, instances: int, alarms: tuple[str, ...]) -> Rollout:
    back = policy.get("RollbackMaximumBatchSize")
    share = _fraction("ROLLING", "MaximumBatchSize", policy["MaximumBatchSize"], instances)
    return Rollout(
        shares=_steps(max(share, 1 / instances)),
        bake_seconds=policy["WaitIntervalInSeconds"],
        limit_seconds=policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_LIMIT_SECONDS),
        alarms=alarms,
        rolling=True,
        back_share=1.0 if back is None else min(1.0, _percent(back, instances) / 100),
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
    return _steps(share)


def _steps(share: float) -> tuple[float, ...]:
    steps = ceil(round(1 / share, 9))
    return tuple(min(1.0, share * (step + 1)) for step in range(steps))


def _percent(size: Document, instances: int) -> float:
    by_count = size["Type"] == "INSTANCE_COUNT"
    return 100 * size["Value"] / instances if by_count else float(size["Value"])


def _fraction(kind: str, member: str, size: Document, instances: int) -> float:
    if instances < 2:
        raise invalid(
            f"traffic routing of type {kind} needs at least 2 instances, the endpoint configuration has {instances}"
        )
    by_count = size["Type"] == "INSTANCE_COUNT"
    percent = _percent(size, instances)
    least = _LEAST.get(kind, 0)
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
