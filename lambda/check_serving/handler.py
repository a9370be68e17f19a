"""Asks one version of the serving function the golden requests, before or after callers reach it, and tells CodeDeploy.

CodeDeploy calls it with ``{"DeploymentId", "LifecycleEventHookExecutionId"}`` and shifts traffic only once it hears
``Succeeded``. Two questions are put: a request that is none must get 400 with the field that is wrong, and each golden
request of the current bundle that a model answers must be answered with a prediction per instance. While no model is
served there is nothing to ask beside the first. Changes nothing.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from constructs_lib.names.segments import Routing
from gapless_lambda.clients import client
from gapless_lambda.landing import ABSENT, is_code
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings

GOLDEN = "golden.json"
SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack")
UNPROCESSABLE = 422

log = get_logger(__name__)


class ServingMismatch(Exception):
    """The version of the function does not answer as it has to."""


class Event(TypedDict):
    """What CodeDeploy sends."""

    DeploymentId: str
    LifecycleEventHookExecutionId: str


@dataclass(frozen=True)
class Settings:
    """The version or alias to ask, the endpoint behind it, and the pointer to the bundle (``s3://…/current.json``)."""

    function_arn: str
    endpoint_name: str
    bundle_uri: str


@dataclass(frozen=True)
class Keys:
    """What a golden request has for the model and a caller does not give, and the other way round.

    Attributes:
        read: Features that the function reads by itself.
        keys: Columns by which it reads them.
    """

    read: frozenset[str]
    keys: frozenset[str]


def golden_requests(s3: Any, current: Address) -> list[Mapping[str, Any]]:
    """Gives the golden requests of the current bundle that a model answers; none while there is no bundle."""
    try:
        archive = read_json(s3, current)["uri"]
    except ClientError as error:
        if not is_code(error, ABSENT):
            raise
        return []
    address = parse_uri(archive)
    body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as bundle:
        member = next((each for each in bundle if each.isfile() and each.name.removeprefix("./") == GOLDEN), None)
        content = bundle.extractfile(member) if member is not None else None
        cases = json.load(content)["cases"] if content is not None else []
    return [case["request"] for case in cases if "refused" not in case["expect"]]


def as_caller(request: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """Gives a golden request as a caller of the API would put it: features that the function reads are left out."""
    instances = [
        {
            **{name: value for name, value in instance.items() if name not in keys.read},
            **{key: instance.get(key) for key in keys.keys},
        }
        for instance in request["instances"]
    ]
    return {"instances": instances}


def by_model(requests: Sequence[Mapping[str, Any]], routing: Routing) -> list[dict[str, Any]]:
    """Cuts requests so that one model of several answers for all instances of each."""
    return [
        {"instances": [request["instances"][place] for place in places]}
        for request in requests
        for places in routing.parts(request["instances"]).values()
    ]


def event_of(request: Any) -> dict[str, Any]:
    """Gives a request as API Gateway hands it over, with a header for those who are assigned by one."""
    headers = {"content-type": "application/json"}
    sticky = os.environ.get("STICKY_HEADER")
    if sticky:
        headers[sticky] = "golden"
    return {"httpMethod": "POST", "headers": headers, "body": json.dumps(request), "requestContext": {}}


def refusal_problem(answer: Mapping[str, Any]) -> str | None:
    """Says what is wrong with the answer to a request that is none; nothing if it is as it has to be."""
    body = _body(answer)
    if answer.get("statusCode") == 400 and body.get("field") == "instances":
        return None
    return f"a request without instances got {answer!r:.300}; expected is 400 with the field instances"


def is_serving(sagemaker: Any, endpoint_name: str) -> bool:
    """Tells whether there is an endpoint that answers."""
    try:
        state = sagemaker.describe_endpoint(EndpointName=endpoint_name)["EndpointStatus"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        return False
    return state in SERVING


def answer_problem(request: Mapping[str, Any], answer: Mapping[str, Any]) -> str | None:
    """Says what is wrong with the answer to a golden request; nothing if it is as it has to be."""
    status, predictions = answer.get("statusCode"), _body(answer).get("predictions")
    if status == UNPROCESSABLE:
        return None
    if status == 200 and isinstance(predictions, list) and len(predictions) == len(request["instances"]):
        return None
    return f"{request!r:.200} got {answer!r:.300}; expected are {len(request['instances'])} predictions"


def _body(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = json.loads(answer.get("body") or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def ask(functions: Any, function_arn: str, request: Any) -> Mapping[str, Any]:
    """Calls the function as API Gateway does.

    Raises:
        ServingMismatch: It failed.
    """
    answer = functions.invoke(FunctionName=function_arn, Payload=json.dumps(event_of(request)).encode("utf-8"))
    content = answer["Payload"].read()
    if "FunctionError" in answer:
        raise ServingMismatch(f"{function_arn} failed: {content.decode('utf-8', 'replace')[:500]}")
    result: Mapping[str, Any] = json.loads(content)
    return result


def check(functions: Any, function_arn: str, requests: Sequence[Mapping[str, Any]]) -> int:
    """Puts the questions; gives how many golden requests were put.

    Raises:
        ServingMismatch: An answer is not as it has to be.
    """
    problems = [refusal_problem(ask(functions, function_arn, {}))]
    problems += [answer_problem(request, ask(functions, function_arn, request)) for request in requests]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise ServingMismatch("; ".join(found))
    return len(requests)


def handler(event: Event, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Put the questions and tell CodeDeploy how it went."""
    settings = read_settings(Settings)
    keys = Keys(frozenset(_names("READ_FEATURES")), frozenset(_names("KEY_COLUMNS")))
    problem, asked = None, 0
    try:
        serving = is_serving(client("sagemaker"), settings.endpoint_name)
        golden: Sequence[Mapping[str, Any]] = (
            golden_requests(client("s3"), parse_uri(settings.bundle_uri)) if serving else []
        )
        if "ROUTING" in os.environ:
            golden = by_model(golden, Routing.of(json.loads(os.environ["ROUTING"])))
        requests = [as_caller(request, keys) for request in golden]
        asked = check(client("lambda"), settings.function_arn, requests)
    except ServingMismatch as error:
        problem = str(error)
    client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="Succeeded" if problem is None else "Failed",
    )
    ids = {"deployment_id": event["DeploymentId"], "function": settings.function_arn, "asked": asked}
    if problem is not None:
        log.error("not shifted", extra={**ids, "problem": problem})
        raise ServingMismatch(problem)
    log.info("answers as it has to", extra=ids)
    return {"asked": asked}


def _names(variable: str) -> list[str]:
    names: list[str] = json.loads(os.environ.get(variable, "[]"))
    return names
