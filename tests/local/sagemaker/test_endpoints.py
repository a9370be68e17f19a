from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.local.sagemaker.conftest import ECHO, Lab, allow, error_of, wait_for


def canary(wait_seconds: int, *alarms: str, percent: int = 50) -> dict[str, Any]:
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": wait_seconds,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
    }
    config: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return config


def test_serves_with_the_functions_of_the_archive(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model(), instances=2))

    answer = lab.invoke(name, {"a": 1}, CustomAttributes="trace-7")

    assert answer["json"] == {"version": "v1", "got": {"a": 1}}
    assert answer["InvokedProductionVariant"] == "primary"
    assert answer["CustomAttributes"] == "trace-7"
    assert answer["ContentType"] == "application/json"
    variant = lab.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"][0]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == ("primary", 2, 1.0)
    wait_for(lambda: lab.metric(name, "InvocationsPerInstance") == 0.5)


def test_a_bad_request_is_the_clients_fault_and_counted(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model()))

    with pytest.raises(lab.client("sagemaker-runtime").exceptions.ModelError) as caught:
        lab.invoke(name, {"bad": 1})

    assert caught.value.response["OriginalStatusCode"] == 400
    assert caught.value.response["OriginalMessage"] == "bad is not allowed, only good is"
    wait_for(lambda: lab.metric(name, "Invocation4XXErrors") == 1)
    assert lab.metric(name, "Invocation5XXErrors") == 0


def test_a_failing_model_is_a_server_error_counted_and_logged(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model()))
    lab.invoke(name, {"a": 1})

    with pytest.raises(lab.client("sagemaker-runtime").exceptions.ModelError) as caught:
        lab.invoke(name, {"explode": 1})

    assert caught.value.response["OriginalStatusCode"] == 500
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    wait_for(lambda: lab.metric(name, "Invocation5XXErrors") == 1)
    assert lab.metric(name, "Invocations") == 2
    assert 0 < lab.metric(name, "ModelLatency", "Maximum") < 5_000_000
    assert lab.metric(name, "OverheadLatency", "Minimum") > 0
    wait_for(lambda: "RuntimeError: boom" in lab.log(f"/aws/sagemaker/Endpoints/{name}", "primary/"))


def test_a_model_that_does_not_answer_ping_fails_the_creation(lab: Lab) -> None:
    name = lab.start_endpoint(lab.config(lab.model("def model_fn(model_dir): raise OSError('model.ubj is broken')")))

    endpoint = lab.settled(name)

    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"] == (
        "The primary container for production variant primary did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    assert "model.ubj is broken" in lab.log(f"/aws/sagemaker/Endpoints/{name}", "primary/")
    code, message = error_of(lambda: lab.invoke(name, {}))
    assert (code, message) == ("ValidationError", f"Endpoint {name} of account 000000000000 not found.")


def test_a_deleted_endpoint_is_gone_with_its_processes(lab: Lab) -> None:
    pid = "import os\n" + ECHO.format(version="v1").replace('"version": model', '"version": os.getpid()')
    name = lab.endpoint(lab.config(lab.model(pid)))
    process = lab.invoke(name, {})["json"]["version"]

    lab.sagemaker.delete_endpoint(EndpointName=name)
    lab.endpoints.remove(name)

    wait_for(lambda: not _is_alive(process))
    wait_for(lambda: lab.sagemaker.list_endpoints(NameContains=name)["Endpoints"] == [])
    code, message = error_of(lambda: lab.sagemaker.describe_endpoint(EndpointName=name))
    assert code == "ValidationException"
    assert message == f'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}".'


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_container_that_dies_comes_back(lab: Lab) -> None:
    script = "import os\n" + ECHO.format(version="v1").replace('"version": model', '"version": os.getpid()')
    name = lab.endpoint(lab.config(lab.model(script)))
    before = lab.invoke(name, {})["json"]["version"]

    os.kill(before, signal.SIGKILL)

    def after() -> int | None:
        try:
            found: int = lab.invoke(name, {})["json"]["version"]
        except lab.client("sagemaker-runtime").exceptions.ClientError:
            return None
        return found if found != before else None

    assert wait_for(after)
    wait_for(lambda: "restart 1" in lab.log(f"/aws/sagemaker/Endpoints/{name}", "primary/"))


def test_variants_share_requests_by_weight_and_can_be_asked_for(lab: Lab) -> None:
    variants = [
        {
            "VariantName": version,
            "ModelName": lab.model(version=version),
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": weight,
        }
        for version, weight in (("a", 0.0), ("b", 1.0))
    ]
    name = lab.endpoint(lab.config("", ProductionVariants=variants))

    assert {lab.invoke(name, {})["json"]["version"] for _ in range(10)} == {"b"}
    assert lab.invoke(name, {}, TargetVariant="a")["json"]["version"] == "a"
    code, message = error_of(lambda: lab.invoke(name, {}, TargetVariant="c"))
    assert (code, message) == ("ValidationError", "Variant c not found for Request")

    weights = [{"VariantName": "a", "DesiredWeight": 1.0}, {"VariantName": "b", "DesiredWeight": 0.0}]
    lab.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=weights)
    lab.settled(name)
    assert {lab.invoke(name, {})["json"]["version"] for _ in range(10)} == {"a"}


def test_instances_can_be_added_and_removed(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model()))

    for count in (3, 1):
        wanted = [{"VariantName": "primary", "DesiredInstanceCount": count}]
        lab.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
        assert lab.settled(name)["ProductionVariants"][0]["CurrentInstanceCount"] == count
        assert lab.invoke(name, {})["json"]["version"] == "v1"


def test_captures_requests_and_answers_in_model_monitors_format(lab: Lab) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{lab.bucket}/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    name = lab.endpoint(lab.config(lab.model(), DataCaptureConfig=capture))

    lab.invoke(name, {"a": 1}, InferenceId="flight-7")

    keys = wait_for(lambda: lab.keys(f"capture/{name}/primary/"))
    year, month, day, hour, file = keys[0].removeprefix(f"capture/{name}/primary/").split("/")
    assert f"{year}-{month}-{day} {hour}"[:4] == time.strftime("%Y", time.gmtime())
    assert file.endswith(".jsonl")
    record = json.loads(lab.read(f"s3://{lab.bucket}/{keys[0]}").splitlines()[0])
    given = record["captureData"]["endpointInput"]
    assert (given["mode"], given["encoding"], json.loads(given["data"])) == ("INPUT", "JSON", {"a": 1})
    assert json.loads(record["captureData"]["endpointOutput"]["data"])["version"] == "v1"
    assert record["eventMetadata"]["inferenceId"] == "flight-7"
    assert record["eventVersion"] == "0"
    summary = lab.sagemaker.describe_endpoint(EndpointName=name)["DataCaptureConfig"]
    assert (summary["CaptureStatus"], summary["CurrentSamplingPercentage"]) == ("Started", 100)


def test_captured_data_is_encrypted_with_its_key(lab: Lab) -> None:
    key, use = lab.key()
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{lab.bucket}/capture",
        "KmsKeyId": key,
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    model = lab.model(role=lab.role_with(allow("s3:*"), use))
    name = lab.endpoint(lab.config(model, DataCaptureConfig=capture))

    lab.invoke(name, {"a": 1})

    [written] = wait_for(lambda: lab.keys(f"capture/{name}/"))
    assert lab.s3.head_object(Bucket=lab.bucket, Key=written)["SSEKMSKeyId"] == key


def test_changes_of_state_are_events(lab: Lab) -> None:
    config = lab.config(lab.model())
    detail = {"EndpointConfigName": [config], "EndpointStatus": ["IN_SERVICE"]}
    next_event = lab.listen({"detail-type": ["SageMaker Endpoint State Change"], "detail": detail})

    name = lab.endpoint(config)

    event = next_event()
    assert event["detail"]["EndpointName"] == name
    assert event["detail"]["CreationTime"] > 1_000_000_000_000


def test_what_is_captured_is_written_before_the_endpoint_is_gone(lab: Lab) -> None:
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{lab.bucket}/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    name = lab.endpoint(lab.config(lab.model(), DataCaptureConfig=capture))
    lab.invoke(name, {"a": 1})

    lab.sagemaker.delete_endpoint(EndpointName=name)
    lab.endpoints.remove(name)

    wait_for(lambda: lab.sagemaker.list_endpoints(NameContains=name)["Endpoints"] == [])
    [key] = lab.keys(f"capture/{name}/")
    data = json.loads(lab.read(f"s3://{lab.bucket}/{key}"))["captureData"]
    assert list(data) == ["endpointInput"]
    assert (data["endpointInput"]["encoding"], data["endpointInput"]["data"]) == ("BASE64", "eyJhIjogMX0=")


def test_an_update_moves_every_request_without_losing_one(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model(version="v1"), instances=2))
    new = lab.config(lab.model(version="v2"), instances=2)
    stop = threading.Event()

    def ask() -> list[str]:
        versions = []
        while not stop.is_set():
            versions.append(lab.invoke(name, {})["json"]["version"])
        return versions

    with ThreadPoolExecutor(2) as pool:
        askers = [pool.submit(ask) for _ in range(2)]
        try:
            deployment = canary(30)
            lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
            busy = lambda: lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)  # noqa: E731
            assert error_of(busy)[1].startswith("Cannot update in-progress endpoint")
            assert "PendingDeploymentSummary" in lab.sagemaker.describe_endpoint(EndpointName=name)
            endpoint = lab.settled(name)
            wait_for(lambda: lab.invoke(name, {})["json"]["version"] == "v2")
        finally:
            stop.set()
        answers = [asker.result() for asker in askers]

    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", new)
    assert "FailureReason" not in endpoint
    assert endpoint["LastDeploymentConfig"] == deployment
    assert {version for each in answers for version in each} == {"v1", "v2"}
    assert any("v1" in each[each.index("v2") :] for each in answers), "both fleets answered for a while"

    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, RetainDeploymentConfig=True)
    assert lab.settled(name)["LastDeploymentConfig"] == deployment


WAITS_AT_A_GATE = """\
    open(data["gate"] + "-reached", "w").close()
    while not os.path.exists(data["gate"]): time.sleep(0.01)
"""


def test_requests_in_flight_are_answered_before_their_fleet_ends(lab: Lab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    answers = '    return {"version"'
    waits = "import os, time\n" + ECHO.format(version="v1").replace(answers, WAITS_AT_A_GATE + answers)
    name = lab.endpoint(lab.config(lab.model(waits)))
    new = lab.config(lab.model(version="v2"))

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lab.invoke, name, {"gate": str(gate)})
        try:
            wait_for(lambda: Path(f"{gate}-reached").exists())
            lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)
            assert lab.settled(name)["EndpointConfigName"] == new
            assert not answer.done()
        finally:
            gate.touch()
        assert answer.result()["json"]["version"] == "v1"

    assert lab.invoke(name, {})["json"]["version"] == "v2"


def test_an_alarm_during_the_bake_rolls_the_update_back(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model(), instances=2))
    old = lab.sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    alarm = lab.unique("alarm")
    lab.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "primary"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    broken = lab.model(ECHO.format(version="v2").replace('"version": model', '"version": 1 / 0'))
    new = lab.config(broken, instances=2)

    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=canary(3600, alarm))
    runtime = lab.client("sagemaker-runtime")

    def settled() -> Any:
        with contextlib.suppress(runtime.exceptions.ModelError):
            lab.invoke(name, {})
        endpoint = lab.sagemaker.describe_endpoint(EndpointName=name)
        return endpoint if endpoint["EndpointStatus"] == "InService" else None

    endpoint = wait_for(settled)
    assert endpoint["EndpointConfigName"] == old
    assert alarm in endpoint["FailureReason"]
    assert {lab.invoke(name, {})["json"]["version"] for _ in range(6)} == {"v1"}


def test_a_new_fleet_that_does_not_answer_ping_is_rolled_back(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model()))
    broken = lab.config(lab.model("raise SystemExit(3)"))

    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)

    endpoint = lab.settled(name)
    assert endpoint["EndpointStatus"] == "InService"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert endpoint["EndpointConfigName"] != broken
    assert lab.invoke(name, {})["json"]["version"] == "v1"


def test_an_update_keeps_what_it_is_told_to_keep(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model()))
    wanted = [{"VariantName": "primary", "DesiredInstanceCount": 2, "DesiredWeight": 3.0}]
    lab.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
    lab.settled(name)
    capture = {
        "InitialSamplingPercentage": 5,
        "DestinationS3Uri": f"s3://{lab.bucket}/capture",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    }
    new = lab.config(lab.model(version="v2"), DataCaptureConfig=capture)

    lab.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=new,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[
            {"VariantPropertyType": "DesiredWeight"},
            {"VariantPropertyType": "DataCaptureConfig"},
        ],
    )

    endpoint = lab.settled(name)
    variant = endpoint["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (2, 1.0)
    assert endpoint["DataCaptureConfig"]["CurrentSamplingPercentage"] == 5


def test_invoking_needs_permission_on_the_endpoint(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model()))
    arn = lab.sagemaker.describe_endpoint(EndpointName=name)["EndpointArn"]
    allowed = lab.server.client_as("sagemaker-runtime", *lab.server.user(allow("sagemaker:InvokeEndpoint", on=arn)))
    denied = lab.server.client_as("sagemaker-runtime", *lab.server.user(allow("sagemaker:DescribeEndpoint")))

    allowed.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=b"{}")

    code, message = error_of(lambda: denied.invoke_endpoint(EndpointName=name, Body=b"{}"))
    assert (code, "sagemaker:InvokeEndpoint" in message) == ("AccessDeniedException", True)


def test_creating_needs_permission_on_the_configuration_too(lab: Lab) -> None:
    config = lab.config(lab.model())
    on_endpoint = allow("sagemaker:CreateEndpoint", on="arn:aws:sagemaker:*:*:endpoint/*")
    client = lab.server.client_as("sagemaker", *lab.server.user(on_endpoint))

    code, message = error_of(lambda: client.create_endpoint(EndpointName="mine", EndpointConfigName=config))

    assert code == "AccessDeniedException"
    assert f"endpoint-config/{config}" in message


@pytest.mark.parametrize(
    ("deployment", "problem"),
    [
        (canary(0, percent=51), "CanarySize must be at most 50 percent of the fleet, not 51 percent"),
        (canary(0, "missing"), "Could not find CloudWatch alarms of AutoRollbackConfiguration: ['missing']"),
        (
            {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 51}}},
            "MaximumBatchSize must be",
        ),
    ],
    ids=["canary", "alarm", "rolling"],
)
def test_a_deployment_outside_its_guardrails_is_refused(lab: Lab, deployment: dict[str, Any], problem: str) -> None:
    if "RollingUpdatePolicy" in deployment:
        deployment["RollingUpdatePolicy"]["WaitIntervalInSeconds"] = 0
    config = lab.config(lab.model(), instances=2)
    name = lab.endpoint(config)
    update = {"EndpointName": name, "EndpointConfigName": config, "DeploymentConfig": deployment}

    code, message = error_of(lambda: lab.sagemaker.update_endpoint(**update))

    assert (code, problem in message) == ("ValidationException", True), message
    assert lab.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def test_a_configuration_of_a_missing_model_is_refused(lab: Lab) -> None:
    code, message = error_of(lambda: lab.config("missing"))

    assert code == "ValidationException"
    assert message == 'Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/missing".'
