"""Asks the live endpoint the golden requests, and expects what the same model answered before the endpoint was touched.

Invoked by the deployment machine once the endpoint serves the new configuration. Reads the document that the golden job
wrote (``sagemaker_jobs/golden.py``) and sends each request that was answered there. Those that were refused there are
not sent, since they would count among the endpoint's errors; but those that nothing could be asked there (a batch
transform ends at a refusal) are, and have to be refused. Changes nothing, so it may run any number of times.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from botocore.exceptions import ClientError

from constructs_lib.names.segments import Routing
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri, read_json

TOLERANCE = 1e-6
JSON = "application/json"
PATIENCE, LOOK = 840.0, 0.5
"""Seconds that an asynchronous endpoint may take for all golden requests, and between looks."""


log = get_logger(__name__)


class GoldenMismatch(Exception):
    """The endpoint answers otherwise than the model did before the deployment."""


class Event(TypedDict):
    """The endpoint, the S3 URI of the golden job's document, which of several variants is asked, where requests lie
    that are answered later, and which of several models is asked (``constructs_lib.names.segments``)."""

    endpoint_name: str
    golden_uri: str
    variant: NotRequired[str]
    requests_uri: NotRequired[str]
    routing: NotRequired[Mapping[str, Any]]


class Result(TypedDict):
    """How many requests were answered as before, and how many were refused as they have to be."""

    passed: bool
    checked: int
    refused: int


class Case(TypedDict):
    """A request and the predictions expected for it."""

    name: str
    request: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]]


class Nonsense(TypedDict):
    """A request that has to be refused, and what the message contains then."""

    name: str
    request: Mapping[str, Any]
    refusal: str


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


def to_be_refused(document: Mapping[str, Any]) -> list[Nonsense]:
    """Give the cases that the golden job has left to the endpoint."""
    return [case for case in document["cases"] if case.get("refusal") is not None]


def by_model(cases: Sequence[Case], routing: Routing) -> list[Case]:
    """Cut cases so that one model answers for all instances of each."""
    return [
        {
            "name": case["name"] if len(parts) == 1 else f"{case['name']} ({model})",
            "request": {"instances": [case["request"]["instances"][place] for place in places]},
            "predictions": [case["predictions"][place] for place in places],
        }
        for case in cases
        for parts in [routing.parts(case["request"]["instances"])]
        for model, places in parts.items()
    ]


def difference(case: Case, answer: Any) -> str | None:
    """Say in what an endpoint's answer differs from the predictions expected; None when they agree.

    Numbers with a fraction agree within :data:`TOLERANCE`, absolute or relative; everything else exactly. An answer may
    say more than was expected.
    """
    predictions = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(predictions, list) or len(predictions) != len(case["predictions"]):
        return f"{case['name']}: answered {answer!r:.200}; expected are {len(case['predictions'])} predictions"
    for position, (given, expected) in enumerate(zip(predictions, case["predictions"], strict=True)):
        if not _agree(given, expected):
            return f"{case['name']}: prediction {position} is {given!r:.200}; expected is {expected}"
    return None


def _agree(given: Any, expected: Any) -> bool:
    match expected:
        case dict():
            return isinstance(given, dict) and all(_agree(given.get(name), value) for name, value in expected.items())
        case list():
            same = isinstance(given, list) and len(given) == len(expected)
            return same and all(map(_agree, given, expected))
        case float():
            number = isinstance(given, int | float) and not isinstance(given, bool)
            return number and math.isclose(given, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        case _:
            return type(given) is type(expected) and bool(given == expected)


@dataclass(frozen=True)
class Target:
    """Whom a request is meant for, where an endpoint has several variants or models."""

    variant: str | None = None
    routing: Routing | None = None

    def options(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Give the parameters of InvokeEndpoint that say so; what is no request goes to the fallback model."""
        named = {} if self.variant is None else {"TargetVariant": self.variant}
        if self.routing is None:
            return named
        instances = request.get("instances")
        first = instances[0] if isinstance(instances, list) and instances else None
        return {**named, "TargetModel": self.routing.target(first)}


ANYBODY = Target()


def ask(runtime: Any, endpoint_name: str, case: Case | Nonsense, whom: Target = ANYBODY) -> Any:
    """Send a request to the endpoint; give its answer as JSON, or the text that is none."""
    target = whom.options(case["request"])
    body = json.dumps(case["request"]).encode("utf-8")
    answer = runtime.invoke_endpoint(EndpointName=endpoint_name, ContentType=JSON, Accept=JSON, Body=body, **target)
    text = answer["Body"].read()
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def not_refused(runtime: Any, endpoint_name: str, case: Nonsense, whom: Target = ANYBODY) -> str | None:
    """Say in what an endpoint's answer differs from the refusal (4xx) that is expected; None when it refuses so."""
    expected = f"expected is a refusal that names {case['refusal']!r}"
    try:
        answer = ask(runtime, endpoint_name, case, whom)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ModelError":
            raise
        status, message = error.response["OriginalStatusCode"], error.response["OriginalMessage"]
        if 400 <= status < 500 and case["refusal"] in message:
            return None
        return f"{case['name']}: answered status {status}, {message!r:.200}; {expected}"
    return f"{case['name']}: answered {answer!r:.200}; {expected}"


def ask_later(
    s3: Any, runtime: Any, endpoint_name: str, requests: Address, cases: Sequence[Case], seconds: float = PATIENCE
) -> list[Any]:
    """Have an asynchronous endpoint answer all requests, and wait for the answers.

    Args:
        requests: The folder where requests are put.
        seconds: How long they may take together; where there is no machine, one has to come first.
    """
    places = []
    for number, case in enumerate(cases):
        key = f"{requests.key}{uuid.uuid4().hex}-{number}.json"
        s3.put_object(Bucket=requests.bucket, Key=key, Body=json.dumps(case["request"]).encode())
        accepted = runtime.invoke_endpoint_async(
            EndpointName=endpoint_name, InputLocation=f"s3://{requests.bucket}/{key}", ContentType=JSON, Accept=JSON
        )
        places.append((parse_uri(accepted["OutputLocation"]), parse_uri(accepted["FailureLocation"])))
    end = time.monotonic() + seconds
    return [_wait(s3, answer, failure, end) for answer, failure in places]


def _wait(s3: Any, answer: Address, failure: Address, end: float) -> Any:
    while time.monotonic() < end:
        for place in (answer, failure):
            try:
                text = s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                continue
            try:
                return json.loads(text)
            except ValueError:
                return text.decode("utf-8", "replace")
        time.sleep(LOOK)
    return f"no answer at {answer} in time"


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Compare the endpoint with the golden document; raise when they differ."""
    document = read_json(client("s3"), parse_uri(event["golden_uri"]))
    cases, nonsense = to_ask(document), to_be_refused(document)
    whom = Target(event.get("variant"), Routing.of(event["routing"]) if "routing" in event else None)
    if whom.routing is not None:
        cases = by_model(cases, whom.routing)
    runtime = client("sagemaker-runtime")
    if "requests_uri" in event:
        answers = ask_later(client("s3"), runtime, event["endpoint_name"], parse_uri(event["requests_uri"]), cases)
    else:
        answers = [ask(runtime, event["endpoint_name"], case, whom) for case in cases]
    differences = [difference(case, answer) for case, answer in zip(cases, answers, strict=True)]
    differences += [not_refused(runtime, event["endpoint_name"], case, whom) for case in nonsense]
    found = [text for text in differences if text is not None]
    if found:
        raise GoldenMismatch(f"{len(found)} of {len(differences)} golden requests: {'; '.join(found)}")
    result = Result(passed=True, checked=len(cases), refused=len(nonsense))
    log.info("golden requests answered as before", extra={"endpoint_name": event["endpoint_name"], **result})
    return result
