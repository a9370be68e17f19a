"""The endpoint has to answer the golden requests as the model did before the deployment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from check_golden.handler import GoldenMismatch, handler
from gapless_lambda import clients

URI = "s3://artefacts/flight_delays/golden/a b+c/golden.json"
EVENT: Any = {"endpoint_name": "dev-flight-delays-live", "golden_uri": URI}
ANSWERED = {
    "name": "a quiet flight",
    "request": {"instances": [{"dest": "Ōsaka"}, {"dest": None}]},
    "predictions": [{"probability": 0.25, "label": False}, {"probability": 0.75, "label": True}],
}
REFUSED: dict[str, Any] = {"name": "nonsense", "request": {"instances": []}, "predictions": None}
DOCUMENT = {"passed": True, "cases": [ANSWERED, REFUSED]}


class Endpoint:
    """An endpoint that answers what it is told to, in front of moto's; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: bytes = json.dumps({"predictions": ANSWERED["predictions"]}).encode()
        clients.client("sagemaker-runtime").meta.events.register("provide-client-params", self._keep)
        clients.client("sagemaker-runtime").meta.events.register("after-call", self._answer)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.requests.append(params)

    def _answer(self, parsed: dict[str, Any], **_: Any) -> None:
        answer = self.answer
        parsed["Body"] = type("Body", (), {"read": lambda _: answer})()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        clients.client.cache_clear()
        boto3.client("s3").create_bucket(Bucket="artefacts")
        store(DOCUMENT)
        yield Endpoint()
        clients.client.cache_clear()


def store(document: Any) -> None:
    boto3.client("s3").put_object(
        Bucket="artefacts", Key="flight_delays/golden/a b+c/golden.json", Body=json.dumps(document).encode()
    )


def test_passes_when_the_endpoint_answers_as_the_model_did(endpoint: Endpoint) -> None:
    assert handler(EVENT, None) == {"passed": True, "checked": 1}


def test_sends_the_answered_requests_and_not_the_refused_ones(endpoint: Endpoint) -> None:
    handler(EVENT, None)
    (request,) = endpoint.requests
    assert request["EndpointName"] == "dev-flight-delays-live"
    assert (request["ContentType"], request["Accept"]) == ("application/json", "application/json")
    assert json.loads(request["Body"]) == ANSWERED["request"]


@pytest.mark.parametrize(
    "predictions",
    [
        [{"probability": 0.2500005, "label": False}, {"probability": 0.7499995, "label": True}],
        [{"probability": 0.25, "label": False, "more": 1}, {"probability": 0.75, "label": True}],
    ],
)
def test_overlooks_rounding_and_additions(endpoint: Endpoint, predictions: list[Any]) -> None:
    endpoint.answer = json.dumps({"predictions": predictions}).encode()
    assert handler(EVENT, None)["passed"] is True


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"predictions": 3}',
        b'{"predictions": []}',
        b'{"predictions": [{"probability": 0.25, "label": false}]}',
        b'{"predictions": [{"probability": 0.25, "label": false}, {"probability": 0.75001, "label": true}]}',
        b'{"predictions": [{"probability": 0.25, "label": false}, {"probability": NaN, "label": true}]}',
        b'{"predictions": [{"probability": 0.25, "label": true}, {"probability": 0.75, "label": true}]}',
        b'{"predictions": [{"probability": 0.75, "label": true}, {"probability": 0.25, "label": false}]}',
        b'{"predictions": [{"probability": "0.25", "label": false}, {"probability": 0.75, "label": true}]}',
    ],
)
def test_refuses_any_other_answer_and_names_the_request(endpoint: Endpoint, answer: bytes) -> None:
    endpoint.answer = answer
    with pytest.raises(GoldenMismatch, match=r"^1 of 1 golden requests: a quiet flight: .*expected"):
        handler(EVENT, None)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**DOCUMENT, "passed": False}, "did not pass before the deployment either"),
        ({**DOCUMENT, "cases": [REFUSED]}, "nothing to compare with"),
    ],
)
def test_refuses_a_document_that_proves_nothing(endpoint: Endpoint, document: Any, message: str) -> None:
    store(document)
    with pytest.raises(GoldenMismatch, match=message):
        handler(EVENT, None)
    assert endpoint.requests == []


def test_may_run_any_number_of_times(endpoint: Endpoint) -> None:
    assert handler(EVENT, None) == handler(EVENT, None)
