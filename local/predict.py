"""Ask the served model, the way an application would: InvokeEndpoint of the SageMaker runtime."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.aws import Aws
from local.errors import Failure, UserError
from local.outputs import Outputs
from local.server_file import Server
from local.settings import REGION, Settings

API_STAGE = "v1"


@dataclass(frozen=True)
class Prediction:
    """What the endpoint answered.

    Args:
        request: The body that was sent.
        response: The body that came back.
        milliseconds: From the call to the answer.
        variant: The variant that answered.
    """

    request: Mapping[str, Any]
    response: Mapping[str, Any]
    milliseconds: float
    variant: str


def golden_request(settings: Settings) -> dict[str, Any]:
    """The first golden request of the workload that expects a prediction.

    Raises:
        UserError: The workload has none.
    """
    path = settings.workload_dir / "golden.json"
    try:
        cases = json.loads(path.read_text())["cases"]
        answered: dict[str, Any] = next(case["request"] for case in cases if "refused" not in case["expect"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UserError(f"{path} has no golden request ({type(error).__name__}: {error}); name a file") from error
    return answered


def read_request(path: Path) -> dict[str, Any]:
    """A request from a JSON file: one instance, a list of them, or the whole body.

    Raises:
        UserError: The file cannot be read, or is none of these.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error})") from error
    if isinstance(found, dict) and isinstance(found.get("instances"), list):
        return found
    instances = found if isinstance(found, list) else [found]
    if not instances or not all(isinstance(instance, dict) for instance in instances):
        raise UserError(
            f"{path} holds no request (allowed: an object of features, a list of them, or an object with 'instances')"
        )
    return {"instances": instances}


def with_values(request: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Change features of every instance: ``distance=500`` or ``carrier=UA``; ``null`` is a missing value.

    Raises:
        UserError: Not an assignment, or not a feature of the request.
    """
    instances = [dict(instance) for instance in request["instances"]]
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UserError(f"--set {assignment!r} (allowed: feature=value)")
        if name not in instances[0]:
            raise UserError(f"--set {name!r} is not a feature (allowed: {', '.join(instances[0])})")
        for instance in instances:
            instance[name] = _value(text)
    return {"instances": instances}


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, int | float | str | None) else text


def model_of(settings: Settings, request: Mapping[str, Any]) -> str | None:
    """Which of several models answers a request; nothing where the workload has one.

    Raises:
        UserError: Several would have to.
    """
    from constructs_lib.names.serving_modes import MultiModel  # what reads workload files takes a while to load
    from constructs_lib.names.workload_file import WorkloadFile

    mode = WorkloadFile.load(settings.workload_dir / "workload.yaml").serving.mode
    if not isinstance(mode, MultiModel):
        return None
    models = mode.routing.parts(request["instances"])
    if len(models) > 1:
        raise UserError(
            f"{mode.segment} has values of several models: {', '.join(models)} (allowed: instances of one model)"
        )
    return next(iter(models))


def predict(aws: Aws, outputs: Outputs, request: Mapping[str, Any], model: str | None = None) -> Prediction:
    """Send one request.

    Args:
        model: Which of several models is asked. Default: there is one.

    Raises:
        UserError: There is no endpoint yet, or the model refused the request.
        Failure: The endpoint failed.
    """
    runtime = aws.client("sagemaker-runtime")
    target = {} if model is None else {"TargetModel": model}
    body = json.dumps(request).encode()
    begun = time.perf_counter()
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=outputs.endpoint_name,
            ContentType="application/json",
            Accept="application/json",
            Body=body,
            **target,
        )
        content = answer["Body"].read()
    except ClientError as error:
        raise _explained(error, outputs.endpoint_name) from error
    milliseconds = (time.perf_counter() - begun) * 1000
    return Prediction(request, json.loads(content), milliseconds, str(answer.get("InvokedProductionVariant", "")))


def _explained(error: ClientError, endpoint: str) -> UserError | Failure | ClientError:
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code == "ModelError":
        status = int(error.response.get("OriginalStatusCode", 500))
        text = error.response.get("OriginalMessage") or message
        told = f"the model answered {status}: {text}"
        return UserError(told) if 400 <= status < 500 else Failure(told)
    if code in {"ValidationError", "ValidationException"}:
        return UserError(f"endpoint {endpoint} does not answer ({message}); land a batch and run the pipelines first")
    return error


def invocations_url(server: Server, outputs: Outputs) -> str:
    """Where requests to the endpoint are posted; they must be signed."""
    return f"{server.endpoint}/endpoints/{outputs.endpoint_name}/invocations"


def curl_command(server: Server, outputs: Outputs, request: Mapping[str, Any], model: str | None = None) -> str:
    """A request for a shell, signed by curl itself with the root keys of the local account.

    Args:
        model: Which of several models is asked. Default: there is one.
    """
    headers = [] if model is None else [f"x-amzn-sagemaker-target-model: {model}"]
    return curl_request(server, "sagemaker", invocations_url(server, outputs), request, headers)


def api_url(server: Server, outputs: Outputs) -> str:
    """Where requests to the workload's API are posted; they must be signed, or bring a token.

    Raises:
        UserError: The workload has no API.
    """
    if outputs.api_id is None:
        raise UserError("the workload has no API; say so under serving.api of its workload.yaml and deploy it")
    return f"{server.endpoint}/restapis/{outputs.api_id}/{API_STAGE}/_user_request_/predictions"


def api_curl_command(aws: Aws, outputs: Outputs, request: Mapping[str, Any]) -> str:
    """A request to the workload's API for a shell, signed as the other one is, or with a place for a token.

    Raises:
        UserError: The workload has no API.
    """
    url = api_url(aws.server, outputs)
    scheme = json.loads(api_document(aws, outputs))["components"]["securitySchemes"]["caller"]
    service = "execute-api" if scheme.get("x-amazon-apigateway-authtype") == "awsSigv4" else None
    return curl_request(aws.server, service, url, request)


def api_document(aws: Aws, outputs: Outputs) -> str:
    """The OpenAPI document of the workload's API, as it is deployed.

    Raises:
        UserError: The workload has no API.
    """
    if outputs.open_api_uri is None:
        raise UserError("the workload has no API; say so under serving.api of its workload.yaml and deploy it")
    bucket, _, key = outputs.open_api_uri.removeprefix("s3://").partition("/")
    text: str = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return text


def curl_request(
    server: Server, service: str | None, url: str, request: Mapping[str, Any], headers: Sequence[str] = ()
) -> str:
    """A request for a shell, signed by curl for a service, or without one with a place for a token."""
    words = ["curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(server.ca_file)]
    if service is None:
        words += ["-H", "authorization: Bearer <token>"]
    else:
        words += ["--aws-sigv4", f"aws:amz:{REGION}:{service}", "--user", f"{server.access_key}:{server.secret_key}"]
    words += [word for header in headers for word in ("-H", header)]
    words += ["-H", "content-type: application/json", "-d", json.dumps(request), url]
    return shlex.join(words)
