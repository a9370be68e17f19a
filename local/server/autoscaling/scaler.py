"""What scales: looks at metrics as AWS's own alarms do, on the server's scaled clock, and changes instance counts.

Target tracking scales out after three periods above the target, by as much as would meet it, and in after fifteen
periods below nine tenths of it; step scaling follows the alarms that name the policy; set times change the bounds.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.alarms import metric_series
from local.server.autoscaling.service import ACTION, ACTIVITY, POLICY, TARGET, AutoScaling, place_of
from local.server.host import Host
from local.server.sagemaker.store import Document
from local.server.set_times import next_time

log = logging.getLogger("gapless.autoscaling")

_LOOK_SECONDS = 1.0
_LEAST_LOOK_SECONDS = 0.05
_PERIOD_SECONDS = 60.0
_OUT_PERIODS, _IN_PERIODS = 3, 15
_IN_BELOW = 0.9
_COOLDOWN_SECONDS = 300
_INSTANCES = "DesiredInstanceCount"


class Scaler:
    """Looks at every target about once a second of its clock."""

    def __init__(self, host: Host, service: AutoScaling) -> None:
        self._host = host
        self._service = service
        self._scale = host.settings.alarm_scale
        self._stopped = threading.Event()
        self._last: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._run, name="autoscaling", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(max(_LEAST_LOOK_SECONDS, _LOOK_SECONDS * self._scale)):
            for target in self._service.store.all(TARGET):
                try:
                    self.look(target, clock.now())
                except (ClientError, BotoCoreError) as error:
                    log.info("%s was not scaled: %s", target["ResourceId"], error)

    def look(self, target: Document, now: float) -> None:
        """Act on what is due for a target.

        Raises:
            ClientError: The endpoint is being changed, or is gone.
        """
        self._keep_set_times(target, now)
        policies = self._service.of_target(POLICY, target["ResourceId"])
        if not policies:
            return
        current = self._current(target["ResourceId"])
        if current is None:
            return
        target = self._service.target(target["ResourceId"]) or target
        wanted = [self._wanted(policy, current, now) for policy in policies]
        outs = [each for each in wanted if each is not None and each > current]
        ins = [each for each in wanted if each is not None and each < current]
        # Any policy may scale out; all that have an opinion have to agree on scaling in.
        tracking = [policy for policy in policies if policy["PolicyType"] == "TargetTrackingScaling"]
        count = max(outs) if outs else max(ins) if ins and len(ins) == len(tracking) else current
        self._move(target, current, count, now, "a scaling policy")

    # -- set times

    def _keep_set_times(self, target: Document, now: float) -> None:
        for action in self._service.of_target(ACTION, target["ResourceId"]):
            due = action.get("_Due")
            if due is None or due > now:
                continue
            key = f"{action['ResourceId']}/{action['ScheduledActionName']}"
            following = next_time(action["Schedule"], action.get("Timezone", "UTC"), now, action["_Anchor"])
            self._service.store.change(ACTION, key, _Due=following)
            bounds = action["ScalableTargetAction"]
            changed = self._service.store.change(
                TARGET,
                target["ResourceId"],
                **{name: bounds[name] for name in ("MinCapacity", "MaxCapacity") if name in bounds},
            )
            current = self._current(target["ResourceId"])
            if current is not None:
                self._move(changed, current, current, now, f"scheduled action {action['ScheduledActionName']}")

    # -- policies

    def _wanted(self, policy: Document, current: int, now: float) -> int | None:
        """How many instances a policy wants, or ``None`` when it has no opinion."""
        if policy["PolicyType"] == "StepScaling":
            return self._stepped(policy, current, now)
        return self._tracked(policy, current, now)

    def _tracked(self, policy: Document, current: int, now: float) -> int | None:
        asked = policy["TargetTrackingScalingPolicyConfiguration"]
        target = float(asked["TargetValue"])
        values = self._values(policy, asked, current, now)
        newest = values[:_OUT_PERIODS]
        if all(value is not None and value > target for value in newest) and self._is_over(policy, asked, "Out", now):
            return max(current + 1, math.ceil(current * min(value for value in newest if value is not None) / target))
        low = all(value is not None and value < target * _IN_BELOW for value in values)
        if low and not asked.get("DisableScaleIn", False) and self._is_over(policy, asked, "In", now):
            return math.ceil(current * max(value for value in values if value is not None) / target)
        return None

    def _values(self, policy: Document, asked: Document, current: int, now: float) -> list[float | None]:
        """A value per period, the newest first."""
        endpoint, variant = place_of(policy["ResourceId"])
        seconds = _PERIOD_SECONDS * self._scale
        custom = asked.get("CustomizedMetricSpecification")
        if custom is not None:
            return metric_series(custom, seconds, _IN_PERIODS, now)
        dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
        metric = {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocations",
            "Dimensions": dimensions,
            "Statistic": "Sum",
        }
        sums = metric_series(metric, seconds, _IN_PERIODS, now)
        return [None if each is None else each / max(current, 1) for each in sums]

    def _stepped(self, policy: Document, current: int, now: float) -> int | None:
        asked = policy["StepScalingPolicyConfiguration"]
        if not self._is_ringing(policy["PolicyARN"]):
            return None
        if (
            now - self._last.get((policy["ResourceId"], policy["PolicyARN"]), 0)
            < asked.get("Cooldown", 0) * self._scale
        ):
            return None
        adjustment = int(asked["StepAdjustments"][0]["ScalingAdjustment"])
        self._last[(policy["ResourceId"], policy["PolicyARN"])] = now
        match asked.get("AdjustmentType", "ChangeInCapacity"):
            case "ExactCapacity":
                return adjustment
            case "PercentChangeInCapacity":
                return current + math.ceil(current * adjustment / 100)
            case _:
                return current + adjustment

    def _is_ringing(self, policy_arn: str) -> bool:
        pages = self._host.client("cloudwatch").get_paginator("describe_alarms").paginate(StateValue="ALARM")
        return any(policy_arn in alarm["AlarmActions"] for page in pages for alarm in page.get("MetricAlarms", []))

    def _is_over(self, policy: Document, asked: Document, side: str, now: float) -> bool:
        cooldown = float(asked.get(f"Scale{side}Cooldown", _COOLDOWN_SECONDS)) * self._scale
        return now - self._last.get((policy["ResourceId"], "moved"), 0) >= cooldown

    # -- moving

    def _current(self, resource_id: str) -> int | None:
        """How many instances there are; ``None`` while that is being changed."""
        name, variant = place_of(resource_id)
        found: Any = self._host.client("sagemaker").describe_endpoint(EndpointName=name)
        if found["EndpointStatus"] != "InService":
            return None
        counts = {each["VariantName"]: each[_INSTANCES] for each in found["ProductionVariants"] if _INSTANCES in each}
        return counts.get(variant)

    def _move(self, target: Document, current: int, count: int, now: float, why: str) -> None:
        count = min(max(count, target["MinCapacity"]), target["MaxCapacity"])
        if count == current:
            return
        name, variant = place_of(target["ResourceId"])
        self._host.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[{"VariantName": variant, _INSTANCES: count}],
        )
        self._last[(target["ResourceId"], "moved")] = now
        activity = str(uuid.uuid4())
        self._service.store.add(
            ACTIVITY,
            activity,
            {
                "ActivityId": activity,
                "ServiceNamespace": target["ServiceNamespace"],
                "ResourceId": target["ResourceId"],
                "ScalableDimension": target["ScalableDimension"],
                "Description": f"Setting desired instance count to {count}.",
                "Cause": f"{why} changed it from {current}",
                "StartTime": now,
                "StatusCode": "Successful",
            },
        )
        log.info("%s: %d to %d instances by %s", target["ResourceId"], current, count, why)
