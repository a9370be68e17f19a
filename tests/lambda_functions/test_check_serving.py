"""A version of the serving function is asked before callers reach it, and CodeDeploy hears how it went."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from check_serving import handler as hook
from check_serving.handler import Keys, ServingMismatch, as_caller, golden_requests, handler
from gapless_lambda import clients
from gapless_lambda.s3 import Address

ASKED = {"instances": [{"amount": 1.0, "visits": 3}, {"amount": 2.0, "visits": None}]}
CASES = [
    {"name": "two orders", "request": ASKED, "expect": {"probability": [[0, 1], [0, 1]]}},
    {"name": "nonsense", "request": {"instances": []}, "expect": {"refused": "instances"}},
]
EVENT: Any = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x"}
REFUSED = {"statusCode": 400, "body": '{"error": "is missing", "field": "instances"}'}
ANSWERED = {"statusCode": 200, "body": '{"predictions": [{}, {}]}'}


class Functions:
    """Stands for Lambda: answers by the body that it is asked with."""

    def __init__(self, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self.answer, self.events = answer, []  # type: ignore[var-annotated]

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        event = json.loads(Payload)
        self.events.append((FunctionName, event))
        answer = self.answer(json.loads(event["body"]))
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


class SageMaker:
    """Stands for SageMaker: the endpoint has a status, or there is none."""

    def __init__(self, status: str | None) -> None:
        self.status = status

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if self.status is None:
            error: Any = {"Error": {"Code": "ValidationException", "Message": f"Could not find {EndpointName}"}}
            raise ClientError(error, "DescribeEndpoint")
        return {"EndpointStatus": self.status}


class CodeDeploy:
    """Stands for CodeDeploy: keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    def put_lifecycle_event_hook_execution_status(self, **said: str) -> None:
        self.told.append(said)


def bundle() -> bytes:
    content = json.dumps({"cases": CASES}).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        member = tarfile.TarInfo("golden.json")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        clients.client.cache_clear()
        client: Any = boto3.client("s3")
        client.create_bucket(Bucket="artefacts")
        yield client
        clients.client.cache_clear()


@pytest.fixture
def published(s3: Any) -> None:
    pointer = {"bundle": "1", "uri": "s3://artefacts/orders/bundles/1/sourcedir.tar.gz", "commit": "c"}
    s3.put_object(Bucket="artefacts", Key="orders/bundles/1/sourcedir.tar.gz", Body=bundle())
    s3.put_object(Bucket="artefacts", Key="orders/bundles/current.json", Body=json.dumps(pointer).encode())


def asked(
    monkeypatch: pytest.MonkeyPatch,
    s3: Any,
    golden: Mapping[str, Any],
    refusal: Mapping[str, Any] = REFUSED,
    status: str | None = "InService",
) -> tuple[str, Functions]:
    """What CodeDeploy hears when golden requests and nonsense are answered like this."""
    functions = Functions(lambda body: golden if "instances" in body else refusal)
    deploy = CodeDeploy()
    clients_of = {"s3": s3, "lambda": functions, "codedeploy": deploy, "sagemaker": SageMaker(status)}
    monkeypatch.setattr(hook, "client", clients_of.__getitem__)
    monkeypatch.setenv("ENDPOINT_NAME", "e")
    monkeypatch.setenv("FUNCTION_ARN", "arn:version")
    monkeypatch.setenv("BUNDLE_URI", "s3://artefacts/orders/bundles/current.json")
    try:
        handler(EVENT, None)
    except ServingMismatch:
        assert deploy.told[0]["status"] == "Failed"
    (said,) = deploy.told
    assert (said["deploymentId"], said["lifecycleEventHookExecutionId"]) == ("d-1", "x")
    return said["status"], functions


def test_a_version_that_answers_every_golden_request_is_let_through(
    monkeypatch: pytest.MonkeyPatch, s3: Any, published: None
) -> None:
    status, functions = asked(monkeypatch, s3, ANSWERED)
    assert status == "Succeeded"
    assert [name for name, _ in functions.events] == ["arn:version"] * 2
    assert json.loads(functions.events[1][1]["body"]) == ASKED


@pytest.mark.parametrize(
    "golden",
    [
        {"statusCode": 200, "body": '{"predictions": [{}]}'},
        {"statusCode": 400, "body": '{"field": "instances[0].amount"}'},
        {"statusCode": 502, "body": "{}"},
        {"statusCode": 200, "body": "no JSON"},
        {"errorMessage": "boom"},
    ],
)
def test_a_version_that_answers_otherwise_is_not(
    monkeypatch: pytest.MonkeyPatch, s3: Any, published: None, golden: dict[str, Any]
) -> None:
    assert asked(monkeypatch, s3, golden)[0] == "Failed"


def test_a_version_that_takes_nonsense_is_not_let_through(
    monkeypatch: pytest.MonkeyPatch, s3: Any, published: None
) -> None:
    assert asked(monkeypatch, s3, ANSWERED, refusal=ANSWERED)[0] == "Failed"


def test_without_a_model_or_a_bundle_there_is_nothing_but_nonsense_to_ask(
    monkeypatch: pytest.MonkeyPatch, s3: Any
) -> None:
    assert asked(monkeypatch, s3, {"statusCode": 500})[0] == "Succeeded"
    assert golden_requests(s3, Address("artefacts", "orders/bundles/current.json")) == []


@pytest.mark.parametrize(("status", "heard"), [(None, "Succeeded"), ("Creating", "Succeeded"), ("Updating", "Failed")])
def test_a_version_that_finds_no_model_is_let_through_only_while_there_is_none(
    monkeypatch: pytest.MonkeyPatch, s3: Any, published: None, status: str | None, heard: str
) -> None:
    nothing = {"statusCode": 503, "body": '{"error": "no model is served yet"}'}
    assert asked(monkeypatch, s3, nothing, status=status)[0] == heard


def test_callers_give_keys_in_place_of_the_features_that_are_read() -> None:
    keys = Keys(read=frozenset({"visits"}), keys=frozenset({"customer"}))
    assert as_caller(ASKED, keys)["instances"][0] == {"amount": 1.0, "customer": None}


def test_requests_that_several_models_answer_are_put_one_by_one(
    monkeypatch: pytest.MonkeyPatch, s3: Any, published: None
) -> None:
    monkeypatch.setenv("ROUTING", json.dumps({"feature": "visits", "values": [3]}))
    status, functions = asked(monkeypatch, s3, {"statusCode": 200, "body": '{"predictions": [{}]}'})
    assert status == "Succeeded"
    bodies = [json.loads(event["body"]) for _, event in functions.events[1:]]
    assert bodies == [{"instances": [instance]} for instance in ASKED["instances"]]


def test_requests_that_are_assigned_by_a_header_have_it(
    monkeypatch: pytest.MonkeyPatch, s3: Any, published: None
) -> None:
    monkeypatch.setenv("STICKY_HEADER", "x-customer")
    _, functions = asked(monkeypatch, s3, ANSWERED)
    assert all(event["headers"]["x-customer"] for _, event in functions.events)
