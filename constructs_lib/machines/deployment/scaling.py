"""How the number of machines follows the requests: registered once the endpoint serves, and left alone afterwards.

What the workload file says is registered by the first deployment and whenever it has changed; the record of what serves
keeps its digest. So a deployment sets back neither the number of machines nor the bounds that a set time has moved.
"""

from __future__ import annotations

import hashlib
import json

from constructs_lib.asl import JSON, Catch, State, choice, go_to, jsonata, task
from constructs_lib.machines.common import CALL_SECONDS, Surroundings, record, text
from constructs_lib.machines.deployment.parts import VARIANT, DeploymentParts
from constructs_lib.names.serving_modes import Scaling, SetSize

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TRACKING, WAKING = "follow", "wake"
"""Names of the two policies."""


def digest(scaling: Scaling) -> str:
    """Eight hex digits that change with any of the values."""
    return hashlib.sha256(json.dumps(scaling.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:8]


def waking_alarm(endpoint: str) -> str:
    """Name of the alarm that goes off when requests wait and there is no machine."""
    return f"{endpoint}-{WAKING}"


def register_states(s: Surroundings, p: DeploymentParts, following: str) -> dict[str, State]:
    """Returns the states that register the scaling of an endpoint that serves; none where it is not asked for.

    Args:
        following: The state after them.
    """
    scaling = p.scaling
    if scaling is None:
        return {}
    states: dict[str, State] = {
        "ScalingKept": choice(
            [(f"$live.scaling = {text(digest(scaling))} and $not($created)", following)], default="RegisterScaling"
        ),
        "RegisterScaling": register(p, scaling),
    }
    if scaling.follows is not None:
        states["FollowRequests"] = follow(p, scaling)
    if scaling.min == 0:
        states["WakeByStep"] = wake(p)
        states["WakeByAlarm"] = waking(p)
    for number, (name, size) in enumerate(scaling.set_times.items(), start=1):
        states[f"SetTime{number}"] = set_time(p, name, size)
    states["RecordScaling"] = record(s, text(f"live#{s.workload}"), {"scaling": text(digest(scaling))})
    return states


def forget_states(p: DeploymentParts, following: str) -> dict[str, State]:
    """Returns the states that forget the scaling of an endpoint that is to be deleted; none where it is not asked for.

    Args:
        following: The state after them.
    """
    if p.scaling is None:
        return {}
    forgotten = task(
        "aws-sdk:applicationautoscaling:deregisterScalableTarget",
        _target(p),
        timeout=CALL_SECONDS,
        catch=[Catch(["ApplicationAutoScaling.ObjectNotFoundException"], following)],
    )
    return {"ForgetScaling": go_to(following, forgotten)}


def register(p: DeploymentParts, scaling: Scaling) -> State:
    """Says between which bounds there are machines."""
    return task(
        "aws-sdk:applicationautoscaling:registerScalableTarget",
        {**_target(p), "MinCapacity": scaling.min, "MaxCapacity": scaling.max},
        timeout=CALL_SECONDS,
    )


def follow(p: DeploymentParts, scaling: Scaling) -> State:
    """Says what the number of machines follows."""
    name, value = scaling.follows or ("", 0.0)
    return task(
        "aws-sdk:applicationautoscaling:putScalingPolicy",
        {
            **_target(p),
            "PolicyName": TRACKING,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": value,
                "ScaleOutCooldown": scaling.scale_out_seconds,
                "ScaleInCooldown": scaling.scale_in_seconds,
                **_followed(p, name),
            },
        },
        timeout=CALL_SECONDS,
    )


def _followed(p: DeploymentParts, name: str) -> dict[str, JSON]:
    endpoint = [{"Name": "EndpointName", "Value": p.endpoint_name}]
    if name == "requests_per_minute":
        predefined = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        return {"PredefinedMetricSpecification": predefined}
    if name == "cpu_percent":
        metric = ("CPUUtilization", "/aws/sagemaker/Endpoints", [*endpoint, {"Name": "VariantName", "Value": VARIANT}])
    else:
        metric = ("ApproximateBacklogSizePerInstance", "AWS/SageMaker", endpoint)
    named = dict(zip(("MetricName", "Namespace", "Dimensions"), metric, strict=True))
    return {"CustomizedMetricSpecification": {**named, "Statistic": "Average"}}


def wake(p: DeploymentParts) -> State:
    """Brings the first machine: where there is none, there is nothing by whose figures to follow."""
    return task(
        "aws-sdk:applicationautoscaling:putScalingPolicy",
        {
            **_target(p),
            "PolicyName": WAKING,
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "Cooldown": 300,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
        },
        timeout=CALL_SECONDS,
        assign={"waking_policy": jsonata("$states.result.PolicyARN")},
    )


def waking(p: DeploymentParts) -> State:
    """Makes the alarm whose only action is that policy; nobody is told of it."""
    return task(
        "aws-sdk:cloudwatch:putMetricAlarm",
        {
            "AlarmName": waking_alarm(p.endpoint_name),
            "AlarmDescription": "Requests wait and there is no machine: scaling brings one",
            "AlarmActions": [jsonata("$waking_policy")],
            "Namespace": "AWS/SageMaker",
            "MetricName": "HasBacklogWithoutCapacity",
            "Dimensions": [{"Name": "EndpointName", "Value": p.endpoint_name}],
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 2,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
        },
        timeout=CALL_SECONDS,
    )


def set_time(p: DeploymentParts, name: str, size: SetSize) -> State:
    """Says which bounds hold from a set time on."""
    bounds = {"MinCapacity": size.min, "MaxCapacity": size.max}
    return task(
        "aws-sdk:applicationautoscaling:putScheduledAction",
        {
            **_target(p),
            "ScheduledActionName": name,
            "Schedule": size.at,
            "Timezone": size.time_zone,
            "ScalableTargetAction": {key: value for key, value in bounds.items() if value is not None},
        },
        timeout=CALL_SECONDS,
    )


def _target(p: DeploymentParts) -> dict[str, JSON]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{p.endpoint_name}/variant/{VARIANT}",
        "ScalableDimension": _DIMENSION,
    }
