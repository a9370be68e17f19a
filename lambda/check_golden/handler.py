"""Asks the live endpoint the golden requests, and expects what the same model answered before the endpoint was touched.

Invoked by the deployment machine once the endpoint serves the new configuration. Reads the document that the golden job
wrote (``sagemaker_jobs/golden.py``) and sends each request that was answered there; those that were refused there are
not sent, since they would count among the endpoint's errors. Changes nothing, so it may run any number of times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri, read_json

TOLERANCE = 1e-6
JSON = "application/json"

log = get_logger(__name__)


class GoldenMismatch(Exception):
    """The endpoint answers otherwise than the model did before the deployment."""


class Event(TypedDict):
    """The endpoint, and the S3 URI of the golden job's document."""

    endpoint_name: str
    golden_uri: str


class Result(TypedDict):
    """How many requests were answered as before."""

    passed: bool
    checked: int


class Case(TypedDict):
    """A request and the predictions expected for it."""

    name: str
    request: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]]


def to_ask(document: Mapping[str, Any]) -> list[Case]:
    """Give the cases that the model answered.

    Raises:
        GoldenMismatch: There are none, or the golden job itself did not pass.
    """
    if document["passed"] is not True:
        raise GoldenMismatch("the golden requests did not pass before the deployment either")
    cases: list[Case] = [case for case in document["cases"] if case["predictions"] is not None]
    if not cases:
        raise GoldenMismatch("no golden request was answered before the deployment: there is nothing to compare with")
    return cases


def difference(case: Case, answer: Any) -> str | None:
    """Say in what an endpoint's answer differs from the predictions expected; None when they agree.

    Probabilities agree within :data:`TOLERANCE`, labels exactly.
    """
    predictions = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(predictions, list) or len(predictions) != len(case["predictions"]):
        return f"{case['name']}: answered {answer!r:.200}; expected are {len(case['predictions'])} predictions"
    for position, (given, expected) in enumerate(zip(predictions, case["predictions"], strict=True)):
        if not _agree(given, expected):
            return f"{case['name']}: prediction {position} is {given!r:.200}; expected is {expected}"
    return None


def _agree(given: Any, expected: Mapping[str, Any]) -> bool:
    match given:
        case {"probability": float() | int() as probability, "label": bool() as label}:
            return abs(probability - expected["probability"]) <= TOLERANCE and label is expected["label"]
        case _:
            return False


def ask(runtime: Any, endpoint_name: str, case: Case) -> Any:
    """Send a request to the endpoint; give its answer as JSON, or the text that is none."""
    body = json.dumps(case["request"]).encode("utf-8")
    answer = runtime.invoke_endpoint(EndpointName=endpoint_name, ContentType=JSON, Accept=JSON, Body=body)
    text = answer["Body"].read()
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Compare the endpoint with the golden document; raise when they differ."""
    cases = to_ask(read_json(client("s3"), parse_uri(event["golden_uri"])))
    runtime = client("sagemaker-runtime")
    differences = [difference(case, ask(runtime, event["endpoint_name"], case)) for case in cases]
    found = [text for text in differences if text is not None]
    if found:
        raise GoldenMismatch(f"{len(found)} of {len(cases)} golden requests: {'; '.join(found)}")
    log.info(
        "golden requests answered as before", extra={"endpoint_name": event["endpoint_name"], "checked": len(cases)}
    )
    return {"passed": True, "checked": len(cases)}
