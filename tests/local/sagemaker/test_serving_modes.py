"""Endpoints that are there on demand, and endpoints whose requests wait in a queue."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import start_server
from tests.local.sagemaker.conftest import Lab, allow, error_of, wait_for

SLOW = """
import json, os, time
def model_fn(model_dir): return os.getpid()
def input_fn(body, content_type): return json.loads(body)
def predict_fn(data, model):
    if data.get("refuse"): raise ValueError("refused on purpose")
    if "gate" in data: open(data["gate"] + f"-{os.getpid()}", "w").close()
    while "gate" in data and not os.path.exists(data["gate"]): time.sleep(0.01)
    return {"pid": model, "got": data}
def output_fn(prediction, accept): return json.dumps(prediction)
"""
SCALE = 0.005


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A laboratory on a server whose minutes are short."""
    state = Path(tmp_path_factory.mktemp("modes")) / "state"
    server = start_server(state, "--wait-scale", "0.005", "--alarm-scale", str(SCALE))
    yield Lab(server)
    server.stop()


def serverless(lab: Lab, **asked: Any) -> str:
    variant = {
        "VariantName": "primary",
        "ModelName": lab.model(SLOW),
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2, **asked},
    }
    return lab.config("", ProductionVariants=[variant])


@pytest.fixture(scope="module")
def on_demand(quick: Lab) -> str:
    """A serverless endpoint that answers two requests at once."""
    return quick.endpoint(serverless(quick))


def test_a_serverless_endpoint_has_a_size_and_no_instances(quick: Lab, on_demand: str) -> None:
    (variant,) = quick.settled(on_demand)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    assert "DesiredInstanceCount" not in variant


def test_requests_above_the_concurrency_are_refused(quick: Lab, on_demand: str, tmp_path: Path) -> None:
    answers: list[Any] = []
    gate = tmp_path / "gate"

    def ask() -> None:
        try:
            answers.append(quick.invoke(on_demand, {"gate": str(gate)})["json"]["pid"])
        except ClientError as error:
            answers.append(error.response["Error"]["Code"])

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for each in asking:
        each.start()
    try:
        wait_for(lambda: answers and len(list(tmp_path.glob("gate-*"))) == 2)
    finally:
        gate.touch()
        for each in asking:
            each.join()
    assert answers.count("ThrottlingException") == 1
    assert len(set(answers)) == 3  # each of the others by an instance of its own


def test_an_idle_instance_goes_and_the_next_request_starts_another(quick: Lab, on_demand: str) -> None:
    before = quick.invoke(on_demand, {})["json"]["pid"]
    wait_for(lambda: not Path(f"/proc/{before}").exists())
    assert quick.invoke(on_demand, {})["json"]["pid"] != before


def test_what_serverless_endpoints_lack_is_refused(quick: Lab) -> None:
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{quick.bucket}/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    variant = {
        "VariantName": "primary",
        "ModelName": quick.model(SLOW),
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2},
    }
    _, text = error_of(lambda: quick.config("", ProductionVariants=[variant], DataCaptureConfig=capture))
    assert text == "data capture is not supported for serverless endpoints"
    _, text = error_of(lambda: serverless(quick, ProvisionedConcurrency=3))
    assert text == "ProvisionedConcurrency must be less than or equal to MaxConcurrency"


@pytest.fixture(scope="module")
def told(quick: Lab) -> Iterator[dict[str, Any]]:
    """Two topics and the queue that hears both."""
    sqs, sns = quick.client("sqs"), quick.client("sns")
    url = sqs.create_queue(QueueName=quick.unique("told"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    topics = {name: sns.create_topic(Name=quick.unique(name))["TopicArn"] for name in ("success", "error")}
    for topic in topics.values():
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    yield {**topics, "queue": url}


@pytest.fixture(scope="module")
def waiting(quick: Lab, told: dict[str, Any]) -> str:
    """An asynchronous endpoint of one instance."""
    role = quick.role_with(allow("s3:*"), allow("sns:Publish"))
    topics = {"SuccessTopic": told["success"], "ErrorTopic": told["error"]}
    config = {
        "OutputConfig": {"S3OutputPath": f"s3://{quick.bucket}/answers", "NotificationConfig": topics},
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
    }
    return quick.endpoint(quick.config(quick.model(SLOW, role=role), AsyncInferenceConfig=config))


def ask_later(lab: Lab, endpoint: str, payload: dict[str, Any]) -> Any:
    source = lab.put(f"{lab.unique('asked')}.json", json.dumps(payload))
    return lab.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=source, ContentType="application/json"
    )


def is_there(lab: Lab, uri: str) -> bytes | None:
    try:
        return lab.read(uri)
    except ClientError:
        return None


def test_an_answer_lies_where_the_endpoint_said_it_would(quick: Lab, waiting: str, told: dict[str, Any]) -> None:
    accepted = ask_later(quick, waiting, {"x": 7})
    assert json.loads(wait_for(lambda: is_there(quick, accepted["OutputLocation"])))["got"] == {"x": 7}
    failed = ask_later(quick, waiting, {"refuse": True})
    assert b"refused on purpose" in wait_for(lambda: is_there(quick, failed["FailureLocation"]))
    notices: dict[str, str] = {}

    def heard() -> bool:
        found = quick.client("sqs").receive_message(QueueUrl=told["queue"], MaxNumberOfMessages=10)
        for message in found.get("Messages", []):
            notice = json.loads(json.loads(message["Body"])["Message"])
            notices[notice["inferenceId"]] = notice["invocationStatus"]
        return len(notices) == 2

    wait_for(heard)
    assert notices == {accepted["InferenceId"]: "Completed", failed["InferenceId"]: "Failed"}


def test_it_answers_nobody_at_once(quick: Lab, waiting: str) -> None:
    code, text = error_of(lambda: quick.invoke(waiting, {}))
    assert (code, "is asynchronous" in text) == ("ValidationError", True)


def test_requests_wait_while_there_is_no_instance_and_bring_one_back(quick: Lab, waiting: str) -> None:
    names = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": f"endpoint/{waiting}/variant/primary",
    }
    scaling, cloudwatch = quick.client("application-autoscaling"), quick.client("cloudwatch")
    scaling.register_scalable_target(**names, MinCapacity=0, MaxCapacity=2)
    dimensions = [{"Name": "EndpointName", "Value": waiting}]
    backlog = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "Statistic": "Average",
    }
    scaling.put_scaling_policy(
        **names,
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 5.0,
            "CustomizedMetricSpecification": backlog,
            "ScaleInCooldown": 0,
        },
    )
    wait_for(lambda: quick.settled(waiting)["ProductionVariants"][0]["CurrentInstanceCount"] == 0)
    accepted = ask_later(quick, waiting, {"x": 8})
    step = scaling.put_scaling_policy(
        **names,
        PolicyName="wake",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": 300,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    cloudwatch.put_metric_alarm(
        AlarmName=quick.unique("waiting"),
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=dimensions,
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        AlarmActions=[step["PolicyARN"]],
    )
    assert json.loads(wait_for(lambda: is_there(quick, accepted["OutputLocation"])))["got"] == {"x": 8}
