"""Endpoints whose instances are replaced batch by batch, and endpoints with a variant that sees copies only."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from local.server.sagemaker.faults import FILE
from tests.local.sagemaker.conftest import ECHO, Lab, error_of, wait_for


def rolling(percent: int = 50, **more: Any) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 60, **more}}


def variants(lab: Lab, *names: str) -> list[dict[str, Any]]:
    return [
        {
            "VariantName": name,
            "ModelName": lab.model(version=name),
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1.0,
        }
        for name in names
    ]


def test_a_rolling_update_lets_both_answer_and_ends_with_the_new_one(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model(version="v1"), instances=2))
    new = lab.config(lab.model(version="v2"), instances=2)

    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=rolling())

    def answers() -> set[str]:
        return {lab.invoke(name, {})["json"]["version"] for _ in range(8)}

    wait_for(lambda: answers() == {"v1", "v2"})
    endpoint = lab.settled(name)
    assert endpoint["EndpointConfigName"] == new
    assert answers() == {"v2"}


def test_a_rolling_update_that_cannot_start_brings_the_old_fleet_back(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model(version="v1"), instances=2))
    broken = lab.config(lab.model("raise SystemExit(3)"), instances=2)

    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken, DeploymentConfig=rolling())

    endpoint = lab.settled(name)
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert {lab.invoke(name, {})["json"]["version"] for _ in range(6)} == {"v1"}


def test_an_update_goes_on_for_as_long_as_machines_are_waited_for(lab: Lab) -> None:
    rare = "ml.p4de.24xlarge"
    name = lab.endpoint(lab.config(lab.model(version="v1")))
    [variant] = variants(lab, "v2")
    new = lab.config("", ProductionVariants=[{**variant, "InstanceType": rare}])
    faults = lab.server.state_dir / FILE
    faults.write_text(json.dumps({"pending": [rare]}))
    try:
        lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)
        for _ in range(2):
            time.sleep(0.2)
            assert lab.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating"
            assert lab.invoke(name, {})["json"]["version"] == "v1"
    finally:
        faults.unlink()
    assert lab.settled(name)["EndpointConfigName"] == new
    assert lab.invoke(name, {})["json"]["version"] == "v2"


@pytest.mark.parametrize(
    ("deployment", "names", "says"),
    [
        (rolling(4), ("primary",), "MaximumBatchSize must be between 5 and 50 percent"),
        (rolling(), ("primary", "other"), "a rolling deployment needs one production variant"),
        (rolling(), ("other",), "a rolling deployment needs one production variant"),
    ],
    ids=["too-small", "two", "another"],
)
def test_refuses_a_rolling_update_outside_of_its_guardrails(
    lab: Lab, deployment: dict[str, Any], names: tuple[str, ...], says: str
) -> None:
    name = lab.endpoint(lab.config(lab.model(), instances=2))
    asked = [{**each, "InitialInstanceCount": 2} for each in variants(lab, *names)]
    new = lab.config("", ProductionVariants=asked)
    update = {"EndpointName": name, "EndpointConfigName": new, "DeploymentConfig": deployment}
    code, message = error_of(lambda: lab.sagemaker.update_endpoint(**update))
    assert (code, says in message) == ("ValidationException", True), message


def test_a_shadow_sees_copies_answers_nobody_and_is_captured(lab: Lab) -> None:
    champion, challenger = variants(lab, "primary", "challenger")
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{lab.bucket}/capture",
        "CaptureOptions": [{"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    config = lab.config(
        "", ProductionVariants=[champion], ShadowProductionVariants=[challenger], DataCaptureConfig=capture
    )
    name = lab.endpoint(config)

    assert {lab.invoke(name, {})["json"]["version"] for _ in range(5)} == {"primary"}

    [key, *_] = wait_for(lambda: lab.keys(f"capture/{name}/challenger/"))
    line = json.loads(lab.read(f"s3://{lab.bucket}/{key}").splitlines()[0])
    assert json.loads(line["captureData"]["endpointOutput"]["data"])["version"] == "challenger"
    endpoint = lab.sagemaker.describe_endpoint(EndpointName=name)
    assert [each["VariantName"] for each in endpoint["ShadowProductionVariants"]] == ["challenger"]
    assert error_of(lambda: lab.invoke(name, {}, TargetVariant="challenger"))[0] == "ValidationError"


def test_a_shadow_that_fails_harms_nobody(lab: Lab) -> None:
    champion, challenger = variants(lab, "primary", "challenger")
    challenger["ModelName"] = lab.model(ECHO.format(version="x").replace('"version": model', '"version": 1 / 0'))
    name = lab.endpoint(lab.config("", ProductionVariants=[champion], ShadowProductionVariants=[challenger]))
    assert {lab.invoke(name, {})["json"]["version"] for _ in range(5)} == {"primary"}
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "challenger"}]
    watch = lab.client("cloudwatch")
    wait_for(lambda: watch.list_metrics(MetricName="Invocation5XXErrors", Dimensions=dimensions)["Metrics"])


def test_there_is_one_shadow_beside_one_variant(lab: Lab) -> None:
    one, two, three = variants(lab, "one", "two", "three")
    code, message = error_of(lambda: lab.config("", ProductionVariants=[one, two], ShadowProductionVariants=[three]))
    assert (code, "one production variant and one shadow variant" in message) == ("ValidationException", True)
