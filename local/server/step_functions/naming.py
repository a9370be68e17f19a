"""How Step Functions spells services, parameters and errors: after the Java SDK, with capital first letters."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import OperationModel, Shape

from local.server.step_functions.errors import StateError

_BOTO_NAMES = {
    "sfn": "stepfunctions",
    "states": "stepfunctions",
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "elasticloadbalancingv2": "elbv2",
    "cognitoidentityprovider": "cognito-idp",
    "servicecatalog": "servicecatalog",
}
# optimised integrations still name unmodelled errors as version 1 of the SDK did
_OPTIMISED_PREFIX = {
    "dynamodb": "DynamoDB",
    "sns": "SNS",
    "sqs": "SQS",
    "states": "StepFunctions",
    "events": "EventBridge",
}
_OPTIMISED_BASE = {
    "lambda": "AWSLambdaException",
    "glue": "AWSGlueException",
    "sagemaker": "AmazonSageMakerException",
    "dynamodb": "AmazonDynamoDBException",
    "sns": "AmazonSNSException",
    "sqs": "AmazonSQSException",
    "athena": "AmazonAthenaException",
    "codebuild": "AWSCodeBuildException",
    "states": "AWSStepFunctionsException",
    "events": "AmazonCloudWatchEventsException",
}
# error codes that the SDK maps to a modelled error of another name
_MODELLED_AS = {("s3", "HeadObject", "404"): "NoSuchKey"}
_ATTRIBUTE_VALUE = {"Bool": "BOOL", "Nul": "NULL", "Ss": "SS", "Ns": "NS", "Bs": "BS"}


@functools.cache
def boto_name(service: str, known: tuple[str, ...]) -> str:
    """The boto3 name of a service as a state machine spells it (``sagemakerruntime``, ``sfn``).

    Raises:
        StateError: There is no such service.
    """
    if service in _BOTO_NAMES:
        return _BOTO_NAMES[service]
    for name in known:
        if name.replace("-", "") == service:
            return name
    raise StateError("States.Runtime", f"there is no AWS service {service!r}")


def to_request(value: Any, shape: Shape) -> Any:
    """Arguments of a state as the parameters of a boto3 call.

    Objects become JSON text where the API wants text, and everything becomes JSON where it wants bytes (a string
    too, in its quotes), as AWS does it.
    """
    if shape.type_name == "structure" and isinstance(value, Mapping):
        return _structure_to_request(value, shape)
    if shape.type_name == "list" and isinstance(value, list):
        return [to_request(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, Mapping):
        return {key: to_request(item, shape.value) for key, item in value.items()}
    if shape.type_name == "string" and not isinstance(value, str):
        return _compact(value)
    if shape.type_name == "blob":
        return _compact(value).encode()
    if shape.type_name in ("integer", "long") and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _structure_to_request(value: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    members = {_first_upper(name): name for name in shape.members}
    if shape.name == "AttributeValue":
        members |= _ATTRIBUTE_VALUE
    members |= {_java_name(name): name for name in shape.members}
    request = {}
    for key, item in value.items():
        if key not in members:
            raise StateError(
                "States.Runtime",
                f"the field {key!r} is not supported by {shape.name}; supported are {', '.join(sorted(members))}",
            )
        request[members[key]] = to_request(item, shape.members[members[key]])
    return request


def from_response(value: Any, shape: Shape | None) -> Any:
    """The answer of a boto3 call as the result of a task; keys of maps are data and stay as they are."""
    if isinstance(value, Mapping):
        if shape is not None and shape.type_name == "map":
            return {key: from_response(item, shape.value) for key, item in value.items()}
        members = shape.members if shape is not None and shape.type_name == "structure" else {}
        return {
            _first_upper(key): from_response(item, members.get(key))
            for key, item in value.items()
            if key != "ResponseMetadata"
        }
    if isinstance(value, (list, tuple)):
        member = shape.member if shape is not None and shape.type_name == "list" else None
        return [from_response(item, member) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if hasattr(value, "read"):
        return value.read().decode(errors="replace")
    return value


def sdk_error(error: ClientError, operation: OperationModel) -> StateError:
    """What an ``aws-sdk`` integration fails with: a modelled name, or the service's own exception."""
    service_id = str(operation.service_model.service_id)
    prefix = "".join(_capitalised(word) for word in service_id.split())
    return StateError(f"{prefix}.{_modelled(error, operation) or prefix + 'Exception'}", _cause(error, prefix))


def optimised_error(error: ClientError, operation: OperationModel, service: str) -> StateError:
    """What an optimised integration fails with."""
    prefix = _OPTIMISED_PREFIX.get(service) or "".join(
        _capitalised(word) for word in str(operation.service_model.service_id).split()
    )
    base = _OPTIMISED_BASE.get(service, f"{prefix}Exception")
    return StateError(f"{prefix}.{_modelled(error, operation) or base}", _cause(error, prefix))


def _modelled(error: ClientError, operation: OperationModel) -> str | None:
    code = str(error.response["Error"].get("Code", ""))
    service = operation.service_model
    code = _MODELLED_AS.get((service.service_name, operation.name, code), code)
    for shape in service.error_shapes:
        if code in (shape.name, shape.metadata.get("error", {}).get("code")):
            name = str(shape.name)
            return name if name.endswith(("Exception", "Fault", "Error")) else name + "Exception"
    return None


def _cause(error: ClientError, prefix: str) -> str:
    details = error.response
    metadata = details.get("ResponseMetadata", {})
    message = details["Error"].get("Message") or details["Error"].get("Code")
    status, request_id = metadata.get("HTTPStatusCode", 400), metadata.get("RequestId", "")
    return f"{message} (Service: {prefix}, Status Code: {status}, Request ID: {request_id})"


def _capitalised(word: str) -> str:
    """``SQS`` as ``Sqs``, ``DynamoDB`` as ``DynamoDb``, ``SageMaker`` as it is."""
    return re.sub(r"[A-Z]{2,}(?![a-z])", lambda run: run[0].capitalize(), word)


@functools.cache
def _java_name(member: str) -> str:
    """``SSEKMSKeyId`` as ``SsekmsKeyId``, ``VPCSecurityGroups`` as ``VpcSecurityGroups``."""
    words = re.sub(r"([A-Z]{2,})(?=[A-Z][a-z]|$)", lambda run: run[0].capitalize(), member)
    return _first_upper(words)


def _first_upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
