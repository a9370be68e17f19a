"""A deployed machine puts models behind endpoints of each mode, and leaves their scaling alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import start_server
from tests.local.sagemaker.conftest import wait_for
from tests.local.sagemaker.rollouts.clients import Client
from tests.local.sagemaker.rollouts.plan import STAGE, Workload
from tests.local.sagemaker.rollouts.stand import Deployment, Stand, deploy_stand

SCALES = ("--wait-scale", "0.01", "--alarm-scale", "0.01")
SCALED = Workload(
    "scaled",
    "all_at_once",
    1.0,
    1,
    bake_minutes=1,
    serving={
        "scaling": {
            "max": 3,
            "requests_per_minute": 2,
            "scale_in_seconds": 3600,
            "set_times": {"spring": {"at": "at(2035-03-01T08:00:00)", "time_zone": "Europe/Berlin", "min": 2}},
        }
    },
)
ON_DEMAND = Workload(
    "demand",
    "all_at_once",
    1.0,
    1,
    bake_minutes=1,
    serving={"mode": {"kind": "serverless", "memory_mb": 1024, "max_concurrency": 2}, "probation_hours": 1},
)
LATER = Workload(
    "later",
    "all_at_once",
    1.0,
    1,
    bake_minutes=1,
    serving={"mode": "asynchronous", "scaling": {"min": 0, "max": 2, "waiting_requests": 5, "scale_in_seconds": 0}},
)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stand with a workload per mode."""
    server = start_server(tmp_path_factory.mktemp("modes"), *SCALES)
    try:
        yield deploy_stand(server, tmp_path_factory.mktemp("stand"), (SCALED, ON_DEMAND, LATER))
    finally:
        server.stop()


def deployed(stand: Stand, workload: Workload, version: str) -> Deployment:
    done = stand.deploy(workload, stand.package(workload, version))
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    return done


def scaling_of(stand: Stand, workload: Workload) -> dict[str, Any]:
    """Bounds, policies and set times of an endpoint."""
    client = stand.client("application-autoscaling")
    resource = f"endpoint/{workload.endpoint}/variant/primary"
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)["ScalingPolicies"]
    actions = client.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=resource)["ScheduledActions"]
    return {
        "bounds": [(each["MinCapacity"], each["MaxCapacity"]) for each in found],
        "policies": sorted(each["PolicyName"] for each in policies),
        "set times": [(each["ScheduledActionName"], each["Schedule"], each["Timezone"]) for each in actions],
    }


def count_of(stand: Stand, workload: Workload) -> int:
    found = stand.endpoint(workload)
    assert found is not None
    return int(found["ProductionVariants"][0]["CurrentInstanceCount"])


def test_a_deployment_sets_back_neither_machines_nor_bounds(stand: Stand) -> None:
    first = deployed(stand, SCALED, "v1")
    assert "RegisterScaling" in first.states
    assert scaling_of(stand, SCALED) == {
        "bounds": [(1, 3)],
        "policies": ["follow"],
        "set times": [("spring", "at(2035-03-01T08:00:00)", "Europe/Berlin")],
    }
    with Client(stand.client("sagemaker-runtime"), SCALED.endpoint).asking() as _:
        wait_for(lambda: count_of(stand, SCALED) == 3, 60)
    stand.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{SCALED.endpoint}/variant/primary",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=3,
    )
    stand.await_quiet(SCALED)
    second = deployed(stand, SCALED, "v2")
    assert "RegisterScaling" not in second.states
    assert (stand.answered_by(SCALED), count_of(stand, SCALED)) == ("v2", 3)
    assert scaling_of(stand, SCALED)["bounds"] == [(3, 3)]


def test_a_serverless_endpoint_is_deployed_and_replaced(stand: Stand) -> None:
    for version in ("v1", "v2"):
        deployed(stand, ON_DEMAND, version)
        assert stand.answered_by(ON_DEMAND) == version
    found = stand.endpoint(ON_DEMAND)
    assert found is not None and "DataCaptureConfig" not in found
    assert found["ProductionVariants"][0]["CurrentServerlessConfig"]["MemorySizeInMB"] == 1024
    config = stand.client("sagemaker").describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    model = stand.client("sagemaker").describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    assert "VpcConfig" not in model


def test_a_serverless_model_that_never_starts_leaves_the_old_one(stand: Stand) -> None:
    before = stand.endpoint(ON_DEMAND)
    done = stand.deploy(ON_DEMAND, stand.package(ON_DEMAND, "v3", more="sys.exit(1) if SERVES else None"))
    assert (done.status, done.error) == ("FAILED", "SilentRollback")
    after = stand.endpoint(ON_DEMAND)
    assert before is not None and after is not None
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert stand.answered_by(ON_DEMAND) == "v2"


def test_labels_that_come_late_take_a_model_back_that_is_on_probation(stand: Stand) -> None:
    left = stand.live(ON_DEMAND)
    assert float(left["probation_until"]) > time.time()
    dimensions = [{"Name": "Stage", "Value": STAGE}, {"Name": "Workload", "Value": ON_DEMAND.name}]
    datum = {"MetricName": "LabelQualityLost", "Value": 1.0, "Dimensions": dimensions}
    stand.client("cloudwatch").put_metric_data(Namespace="Gapless", MetricData=[datum])
    live = wait_for(lambda: found if (found := stand.live(ON_DEMAND))["cause"] == "probation" else None, 60)
    assert (live["actor"], stand.answered_by(ON_DEMAND)) == (ON_DEMAND.alarm("labels"), "v1")
    assert live["config"] == left["previous_config"]
    status, reason = wait_for(
        lambda: found if (found := stand.status_of(left["model_package_arn"]))[0] != "Approved" else None
    )
    assert status == "Rejected" and reason.startswith("RolledBack: probation by ")


def ask_later(stand: Stand, content: Any) -> Any:
    bucket, key = stand.outputs["Artefacts"], f"{LATER.name}/requests/one.json"
    stand.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(content).encode())
    return stand.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=LATER.endpoint, InputLocation=f"s3://{bucket}/{key}", ContentType="application/json"
    )


def content_of(stand: Stand, uri: str) -> bytes | None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body: bytes = stand.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError:
        return None
    return body


def test_an_asynchronous_endpoint_goes_to_zero_and_comes_back_when_somebody_asks(stand: Stand) -> None:
    deployed(stand, LATER, "v1")
    assert scaling_of(stand, LATER) == {"bounds": [(0, 2)], "policies": ["follow", "wake"], "set times": []}
    wait_for(lambda: count_of(stand, LATER) == 0, 60)
    accepted = ask_later(stand, {"instances": [1]})
    answer = json.loads(wait_for(lambda: content_of(stand, accepted["OutputLocation"]), 60))
    assert answer["version"] == "v1"
    failed = ask_later(stand, "no instances")
    assert wait_for(lambda: content_of(stand, failed["FailureLocation"]), 60)

    def told() -> bool:
        found = stand.client("sqs").receive_message(QueueUrl=stand.queue, MaxNumberOfMessages=10)
        bodies = [json.loads(json.loads(each["Body"])["Message"]) for each in found.get("Messages", [])]
        return any(each.get("inferenceId") == failed["InferenceId"] for each in bodies)

    assert wait_for(told)
