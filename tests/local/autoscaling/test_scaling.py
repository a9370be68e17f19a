"""Endpoints are scaled by policies and at set times, on a clock on which a minute lasts 0.3 seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import start_server
from tests.local.sagemaker.conftest import Lab, allow, error_of, wait_for

SCALE = 0.005
DIMENSION = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
Names = dict[str, str]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A laboratory on a server whose minutes are short."""
    server = start_server(
        Path(tmp_path_factory.mktemp("quick")) / "state", "--wait-scale", "0.02", "--alarm-scale", str(SCALE)
    )
    yield Lab(server)
    server.stop()


@pytest.fixture(scope="module")
def scaled(quick: Lab) -> Names:
    """The names of an endpoint of one instance that is registered for one to three."""
    name = quick.endpoint(quick.config(quick.model()))
    names = {**DIMENSION, "ResourceId": f"endpoint/{name}/variant/primary"}
    quick.client("application-autoscaling").register_scalable_target(**names, MinCapacity=1, MaxCapacity=3)
    return names


def count(lab: Lab, names: Names) -> int:
    """How many instances the variant is meant to have."""
    found = lab.settled(names["ResourceId"].split("/")[1])
    return int(found["ProductionVariants"][0]["DesiredInstanceCount"])


def track(lab: Lab, names: Names, name: str, metric: dict[str, Any], target: float) -> None:
    configuration = {"TargetValue": target, "ScaleOutCooldown": 0, "ScaleInCooldown": 0, **metric}
    lab.client("application-autoscaling").put_scaling_policy(
        **names,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=configuration,
    )


def forget(lab: Lab, names: Names, name: str) -> None:
    lab.client("application-autoscaling").delete_scaling_policy(**names, PolicyName=name)


def test_requests_scale_out_and_their_absence_scales_in_no_further_than_the_bounds(quick: Lab, scaled: Names) -> None:
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
    endpoint = scaled["ResourceId"].split("/")[1]
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            quick.invoke(endpoint, {"x": 1})
            time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    track(quick, scaled, "by-requests", metric, 1.0)
    try:
        wait_for(lambda: count(quick, scaled) == 3)
    finally:
        stop.set()
        asking.join()
    forget(quick, scaled, "by-requests")


def test_a_metric_of_ones_own_is_tracked(quick: Lab, scaled: Names) -> None:
    own = {
        "MetricName": "Busy",
        "Namespace": "Own",
        "Dimensions": [{"Name": "A", "Value": "b"}],
        "Statistic": "Average",
    }
    track(quick, scaled, "by-own", {"CustomizedMetricSpecification": own}, 70.0)

    def is_in() -> bool:
        quick.client("cloudwatch").put_metric_data(
            Namespace="Own",
            MetricData=[{"MetricName": "Busy", "Value": 20.0, "Dimensions": own["Dimensions"]}],
        )
        return count(quick, scaled) == 1

    wait_for(is_in)
    forget(quick, scaled, "by-own")


def test_an_update_keeps_the_number_of_instances(quick: Lab, scaled: Names) -> None:
    endpoint = scaled["ResourceId"].split("/")[1]
    scaling = quick.client("application-autoscaling")
    scaling.put_scheduled_action(
        **scaled,
        ScheduledActionName="up",
        Schedule="at(2024-01-01T00:00:00)",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 3},
    )
    assert count(quick, scaled) == 1  # its time is over
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 2))
    scaling.put_scheduled_action(
        **scaled,
        ScheduledActionName="up",
        Schedule=f"at({at})",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 3},
    )
    wait_for(lambda: count(quick, scaled) == 2)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)
    quick.sagemaker.update_endpoint(
        EndpointName=endpoint,
        EndpointConfigName=quick.config(quick.model(version="v2"), instances=1),
        RetainAllVariantProperties=True,
    )
    wait_for(lambda: quick.settled(endpoint) and quick.invoke(endpoint, {})["json"]["version"] == "v2")
    assert count(quick, scaled) == 2
    causes = [each["Cause"] for each in scaling.describe_scaling_activities(**DIMENSION)["ScalingActivities"]]
    assert "scheduled action up changed it from 1" in causes


def test_an_alarm_that_names_a_policy_takes_its_step(quick: Lab, scaled: Names) -> None:
    policy = quick.client("application-autoscaling").put_scaling_policy(
        **scaled,
        PolicyName="by-alarm",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": 600,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    quick.client("cloudwatch").put_metric_alarm(
        AlarmName="waiting",
        Namespace="Own",
        MetricName="Waiting",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        AlarmActions=[policy["PolicyARN"]],
    )
    quick.client("cloudwatch").put_metric_data(Namespace="Own", MetricData=[{"MetricName": "Waiting", "Value": 1.0}])
    wait_for(lambda: count(quick, scaled) == 3)


def test_requests_are_checked(quick: Lab, scaled: Names) -> None:
    scaling = quick.client("application-autoscaling")
    code, text = error_of(lambda: scaling.register_scalable_target(**scaled, MinCapacity=4))
    assert (code, text) == ("ValidationException", "Minimum capacity 4 must be from 0 to the maximum capacity 3")
    elsewhere = {**scaled, "ResourceId": "endpoint/none/variant/primary"}
    _, text = error_of(lambda: scaling.register_scalable_target(**elsewhere, MinCapacity=1, MaxCapacity=2))
    assert text == "No endpoint found for resource ID endpoint/none/variant/primary"
    code, _ = error_of(
        lambda: scaling.put_scheduled_action(**elsewhere, ScheduledActionName="x", Schedule="rate(1 day)")
    )
    assert code == "ObjectNotFoundException"
    wrong = {"ScheduledActionName": "x", "Schedule": "cron(0 5 * * ? *)", "Timezone": "Mars/Olympus"}
    _, text = error_of(lambda: scaling.put_scheduled_action(**scaled, **wrong, ScalableTargetAction={"MinCapacity": 1}))
    assert text == "'Mars/Olympus' is no time zone"


def test_the_caller_needs_leave_for_the_endpoint_as_well(quick: Lab, scaled: Names) -> None:
    own = allow("application-autoscaling:*")
    some = quick.server.client_as("application-autoscaling", *quick.server.user(own))
    _, text = error_of(lambda: some.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=2))
    assert "is not authorized to perform: sagemaker:DescribeEndpoint" in text
    none = quick.server.client_as("application-autoscaling", *quick.server.user(allow("sagemaker:*")))
    _, text = error_of(lambda: none.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=2))
    assert "is not authorized to perform: application-autoscaling:RegisterScalableTarget" in text


def test_what_is_deregistered_is_left_alone(quick: Lab, scaled: Names) -> None:
    scaling = quick.client("application-autoscaling")
    scaling.deregister_scalable_target(**scaled)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    assert scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"] == []
    code, _ = error_of(lambda: scaling.deregister_scalable_target(**scaled))
    assert code == "ObjectNotFoundException"
