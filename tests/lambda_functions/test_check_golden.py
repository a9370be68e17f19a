"""The endpoint has to answer the golden requests as the model did before the deployment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from check_golden.handler import GoldenMismatch, difference, handler
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
LEFT: dict[str, Any] = {**REFUSED, "passed": None, "refusal": "instances"}


class Endpoint:
    """An endpoint that answers what it is told to, in front of moto's; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: bytes = json.dumps({"predictions": ANSWERED["predictions"]}).encode()
        self.refusal: tuple[int, str] | None = None
        clients.client("sagemaker-runtime").meta.events.register("provide-client-params", self._keep)
        clients.client("sagemaker-runtime").meta.events.register("before-call", self._refuse)
        clients.client("sagemaker-runtime").meta.events.register("after-call", self._answer)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.requests.append(params)

    def _refuse(self, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        if self.refusal is None or json.loads(self.requests[-1]["Body"]) != REFUSED["request"]:
            return None
        status, text = self.refusal
        error = {"Error": {"Code": "ModelError" if status else text, "Message": "Received client error"}}
        told = {"OriginalStatusCode": status, "OriginalMessage": text, "ResponseMetadata": {}}
        return type("Reply", (), {"status_code": 424}), {**error, **told}

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
    assert handler(EVENT, None) == {"passed": True, "checked": 1, "refused": 0}


def test_sends_the_answered_requests_and_not_the_refused_ones(endpoint: Endpoint) -> None:
    handler(EVENT, None)
    (request,) = endpoint.requests
    assert request["EndpointName"] == "dev-flight-delays-live"
    assert (request["ContentType"], request["Accept"]) == ("application/json", "application/json")
    assert json.loads(request["Body"]) == ANSWERED["request"]


def test_sends_the_variant_what_the_golden_job_could_not_ask_and_expects_a_refusal(endpoint: Endpoint) -> None:
    store({"passed": True, "cases": [ANSWERED, LEFT]})
    endpoint.refusal = (400, "instances: given []; allowed are 1 to 250")
    event: Any = EVENT | {"variant": "challenger"}
    assert handler(event, None) == {"passed": True, "checked": 1, "refused": 1}
    assert [json.loads(each["Body"]) for each in endpoint.requests] == [ANSWERED["request"], LEFT["request"]]
    assert {each["TargetVariant"] for each in endpoint.requests} == {"challenger"}


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (None, "nonsense: answered {'predictions'"),
        ((500, "instances"), "nonsense: answered status 500, 'instances'"),
        ((400, "no such feature"), "nonsense: answered status 400, 'no such feature'"),
    ],
)
def test_an_answer_or_another_refusal_is_a_mismatch(
    endpoint: Endpoint, refusal: tuple[int, str] | None, said: str
) -> None:
    store({"passed": True, "cases": [ANSWERED, LEFT]})
    endpoint.refusal = refusal
    with pytest.raises(GoldenMismatch, match=rf"^1 of 2 golden requests: {said}.*a refusal that names 'instances'"):
        handler(EVENT, None)


def test_an_endpoint_that_cannot_be_asked_has_refused_nothing(endpoint: Endpoint) -> None:
    store({"passed": True, "cases": [ANSWERED, LEFT]})
    endpoint.refusal = (0, "ThrottlingException")
    with pytest.raises(ClientError, match="ThrottlingException"):
        handler(EVENT, None)


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


OTHERS: list[dict[str, Any]] = [
    {"probabilities": {"DE": 0.25, "FR": 0.75}, "label": "FR"},
    {"value": 120_000.25},
    {"cluster": 3, "distance": 0.5},
    {"projection": [0.5, -1.5], "error": 0.25},
]


@pytest.mark.parametrize("expected", OTHERS, ids=str)
def test_compares_predictions_of_every_problem(expected: dict[str, Any]) -> None:
    case: Any = {"name": "a", "request": {}, "predictions": [expected]}
    assert difference(case, {"predictions": [expected]}) is None
    rounded = json.loads(json.dumps(expected), parse_float=lambda text: float(text) * (1 + 5e-7))
    assert difference(case, {"predictions": [rounded]}) is None


@pytest.mark.parametrize(
    "given",
    [
        {"probabilities": {"DE": 0.25, "FR": 0.74}, "label": "FR"},
        {"probabilities": {"DE": 0.25}, "label": "FR"},
        {"probabilities": {"DE": 0.25, "FR": 0.75}, "label": "DE"},
        {"value": 120_001.0},
        {"value": "120000.25"},
        {"cluster": 3.0, "distance": 0.5},
        {"cluster": True, "distance": 0.5},
        {"projection": [0.5], "error": 0.25},
        {"projection": [0.5, -1.6], "error": 0.25},
    ],
    ids=str,
)
def test_refuses_other_predictions_of_every_problem(given: dict[str, Any]) -> None:
    expected = next(each for each in OTHERS if each.keys() == given.keys())
    case: Any = {"name": "a", "request": {}, "predictions": [expected]}
    assert "a: prediction 0 is" in str(difference(case, {"predictions": [given]}))


def routed(value: str) -> Any:
    """The event of an endpoint that has a model for one destination."""
    return {**EVENT, "routing": {"feature": "dest", "values": [value]}}


def test_each_model_of_several_is_asked_the_instances_that_it_answers_for(endpoint: Endpoint) -> None:
    with pytest.raises(GoldenMismatch, match=r"a quiet flight \(Ōsaka.tar.gz\).*a quiet flight \(_fallback.tar.gz\)"):
        handler(routed("Ōsaka"), None)
    asked = {each["TargetModel"]: json.loads(each["Body"])["instances"] for each in endpoint.requests}
    assert asked == {"Ōsaka.tar.gz": [{"dest": "Ōsaka"}], "_fallback.tar.gz": [{"dest": None}]}


def test_what_is_no_request_goes_to_the_fallback_model(endpoint: Endpoint) -> None:
    endpoint.refusal = (400, "instances: is missing")
    whole = {**ANSWERED, "request": {"instances": [{"dest": None}, {"dest": None}]}}
    store({"passed": True, "cases": [whole, LEFT]})
    found = handler(routed("x"), None)
    assert found == {"passed": True, "checked": 1, "refused": 1}
    assert [each["TargetModel"] for each in endpoint.requests] == ["_fallback.tar.gz"] * 2
