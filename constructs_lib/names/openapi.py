"""The API of a workload as an OpenAPI document: what a request has, what the answers are, who may ask.

``document`` is what callers read and what the function checks requests by, so that the two cannot differ. ``deployed``
is the same document as API Gateway takes it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from constructs_lib.names.api_file import Api
from constructs_lib.names.file_parts import ColumnType
from constructs_lib.names.problems import BINARY, CLUSTERING, MULTICLASS, PROJECTION, REGRESSION

Schema = dict[str, Any]

PATH: Final = "/predictions"
INFERENCE_ID: Final = "x-inference-id"
INFERENCE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
VALIDATOR: Final = "body-and-parameters"
_COGNITO: Final = "cognito_user_pools"
_OPENID: Final = "/.well-known/openid-configuration"
_BEARER: Final = r"^[Bb][Ee][Aa][Rr][Ee][Rr] +[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
"""What a token looks like, to the gateway: anything else is refused without asking the authorizer."""

_TYPES: Final[Mapping[str, Schema]] = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    "bigint": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    "double": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
}
_EXAMPLES: Final[Mapping[str, Any]] = {
    "string": "text",
    "int": 1,
    "bigint": 1,
    "double": 0.5,
    "boolean": True,
    "date": "2024-01-31",
    "timestamp": "2024-01-31T12:00:00Z",
}
_NUMBER: Final[Schema] = {"type": "number"}
_PREDICTIONS: Final[Mapping[str, Schema]] = {
    BINARY: {"probability": {"type": "number", "minimum": 0, "maximum": 1}, "label": {"type": "boolean"}},
    MULTICLASS: {"probabilities": {"type": "object", "additionalProperties": _NUMBER}, "label": {}},
    REGRESSION: {"value": _NUMBER},
    CLUSTERING: {"cluster": {"type": "integer"}, "distance": _NUMBER},
    PROJECTION: {"projection": {"type": "array", "items": _NUMBER}, "error": _NUMBER},
}
_FAILURES: Final[Mapping[str, str]] = {
    "400": "The request is not one for this model: the field, what was given and what is allowed",
    "403": "Whoever asks is not known, or may not ask",
    "422": "There is no record of a feature group without which there is no prediction",
    "429": "Too many requests; try again after the seconds in Retry-After",
    "502": "The model failed",
    "503": "No model is served yet, or it has no capacity just now; try again later",
    "504": "The model did not answer in time",
}


@dataclass(frozen=True)
class Described:
    """What the document says of a workload.

    Attributes:
        attributes: What an instance has: name → type.
        takes_as_of: Whether a request may say which instant stands for now, by which records are read.
    """

    name: str
    description: str
    problem: str
    attributes: Mapping[str, ColumnType]
    takes_as_of: bool


@dataclass(frozen=True)
class Checked:
    """What checks tokens before the gateway lets a request through.

    Attributes:
        uri: Where the gateway finds the function; may be a token.
        cache_seconds: How long the gateway remembers its answer to a token.
    """

    uri: str
    cache_seconds: int


def document(workload: Described, api: Api) -> Schema:
    """Gives the API as its callers see it; equal workloads have equal documents."""
    schemas = {
        "Request": _request(workload, api),
        "Instance": _instance(workload, api),
        "Answer": _answer(workload),
        "Prediction": _object(_PREDICTIONS[workload.problem], closed=False),
        "Error": _error(),
    }
    return {
        "openapi": "3.0.1",
        "info": {
            "title": workload.name,
            "version": "1",
            "description": workload.description or f"Predictions of {workload.name}",
        },
        "paths": {PATH: {"post": _operation(workload, api)}},
        "components": {"schemas": schemas, "securitySchemes": {"caller": _security(api)}},
    }


def deployed(
    description: Mapping[str, Any],
    *,
    integration_uri: str,
    header: str | None,
    user_pool_arn: str | None = None,
    checked_by: Checked | None = None,
) -> Schema:
    """Gives the document as API Gateway takes it.

    The gateway checks that the body is a request at all, and leaves its attributes to the function: the gateway would
    refuse them without saying which one is wrong, and its import drops the limits of lists. Examples are dropped, which
    it does not know.

    Args:
        integration_uri: Where the gateway finds the function; may be a token.
        header: The header that decides which variant answers, if any; it must be there then.
        user_pool_arn: The user pool whose tokens are taken, if any; may be a token.
        checked_by: What checks tokens of another issuer, if any.
    """
    made: Schema = _without_examples(copy.deepcopy(dict(description)))
    made["components"]["schemas"]["Envelope"] = {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"type": "array", "items": {"type": "object"}}},
    }
    operation = made["paths"][PATH]["post"]
    operation["requestBody"]["content"]["application/json"]["schema"] = _ref("Envelope")
    operation["x-amazon-apigateway-request-validator"] = VALIDATOR
    operation["x-amazon-apigateway-integration"] = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": integration_uri,
        "timeoutInMillis": 29_000,
    }
    if user_pool_arn is not None:
        made["components"]["securitySchemes"]["caller"]["x-amazon-apigateway-authorizer"] = {
            "type": _COGNITO,
            "providerARNs": [user_pool_arn],
        }
    if checked_by is not None:
        made["components"]["securitySchemes"]["caller"] = _token_scheme(checked_by)
        operation["security"] = [{"caller": []}]
    made["x-amazon-apigateway-request-validators"] = {
        VALIDATOR: {"validateRequestBody": True, "validateRequestParameters": True}
    }
    made["x-amazon-apigateway-gateway-responses"] = _gateway_responses(header, checks=checked_by is not None)
    return made


def _operation(workload: Described, api: Api) -> Schema:
    parameters: list[Schema] = [
        {
            "name": INFERENCE_ID,
            "in": "header",
            "required": False,
            "description": "Names the prediction, so that what became true later can be told of it. Default: a new one",
            "schema": {"type": "string", "pattern": INFERENCE_ID_PATTERN},
        }
    ]
    if api.sticky_header is not None:
        what = "Equal values are answered by the same variant of the model"
        parameters.append(
            {
                "name": api.sticky_header,
                "in": "header",
                "required": True,
                "description": what,
                "schema": {"type": "string", "minLength": 1},
            }
        )
    failures = {**_FAILURES, **({} if api.authorizer == "iam" else {"401": "There is no valid token"})}
    if not workload.takes_as_of:
        del failures["422"]
    return {
        "operationId": "predict",
        "summary": f"Predictions of {workload.name}",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Request"), "example": _example(workload, api)}},
        },
        "responses": {
            "200": _response("One prediction per instance, in their order", "Answer"),
            **{status: _response(text, "Error") for status, text in sorted(failures.items())},
        },
        "security": [{"caller": list(api.scopes)}],
    }


def _request(workload: Described, api: Api) -> Schema:
    instances = {"type": "array", "items": _ref("Instance"), "minItems": 1, "maxItems": api.most_instances}
    as_of = {
        "type": "string",
        "format": "date-time",
        "description": "The instant that stands for now when records of feature groups are read. Default: now",
    }
    properties = {"instances": instances, **({"as_of": as_of} if workload.takes_as_of else {})}
    return {**_object(properties), "required": ["instances"]}


def _instance(workload: Described, api: Api) -> Schema:
    return _object({name: _attribute(kind, api.allowed.get(name)) for name, kind in workload.attributes.items()})


def _attribute(kind: ColumnType, allowed: tuple[str | int, ...] | None) -> Schema:
    listed = {} if allowed is None else {"enum": [*allowed, None]}
    return {**_TYPES[kind], "nullable": True, **listed}


def _answer(workload: Described) -> Schema:
    fallback = {"instance": {"type": "integer"}, "group": {"type": "string"}, "reason": {"type": "string"}}
    fallbacks = {"fallbacks": {"type": "array", "items": _object(fallback)}} if workload.takes_as_of else {}
    properties = {
        "predictions": {"type": "array", "items": _ref("Prediction")},
        "inference_id": {"type": "string"},
        "variant": {"type": "string", "description": "The variant of the model that answered"},
        **fallbacks,
    }
    return _object(properties, closed=False)


def _error() -> Schema:
    described = {
        "error": {"type": "string"},
        "field": {"type": "string", "description": "Where in the request, such as instances[0].distance"},
        "given": {"description": "What was given"},
        "allowed": {"description": "What is allowed"},
        "inference_id": {"type": "string"},
    }
    return {**_object(described, closed=False), "required": ["error"]}


def _security(api: Api) -> Schema:
    if api.tokens is not None:
        return {"type": "openIdConnect", "openIdConnectUrl": api.tokens.issuer.removesuffix("/") + _OPENID}
    kind = "awsSigv4" if api.authorizer == "iam" else _COGNITO
    return {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": kind}


def _token_scheme(checked_by: Checked) -> Schema:
    """The gateway knows no OpenID provider; to it the header is a key that a function judges."""
    return {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "custom",
        "x-amazon-apigateway-authorizer": {
            "type": "token",
            "authorizerUri": checked_by.uri,
            "authorizerResultTtlInSeconds": checked_by.cache_seconds,
            "identityValidationExpression": _BEARER,
        },
    }


def _gateway_responses(header: str | None, *, checks: bool) -> Schema:
    general = '{"error": $context.error.messageString}'
    no_request = (
        '{"error": "this is no request", "field": "body", '
        '"allowed": "a JSON object with instances, which is a list of objects"}'
    )
    no_header = f'{{"error": $context.error.messageString, "field": "{header}", "allowed": "a value in this header"}}'
    unchecked = '{"error": "tokens cannot be checked just now", "allowed": "the same request, later"}'
    busy = '{"error": "too many requests", "allowed": "fewer requests per second; try again later"}'
    return {
        "DEFAULT_4XX": _gateway_response(general),
        "DEFAULT_5XX": _gateway_response(general),
        "BAD_REQUEST_BODY": {**_gateway_response(no_request), "statusCode": "400"},
        **({} if header is None else {"BAD_REQUEST_PARAMETERS": {**_gateway_response(no_header), "statusCode": "400"}}),
        **({"AUTHORIZER_FAILURE": _try_again("503", 30, unchecked)} if checks else {}),
        "THROTTLED": _try_again("429", 1, busy),
    }


def _gateway_response(template: str) -> Schema:
    return {"responseTemplates": {"application/json": template}}


def _try_again(status: str, seconds: int, template: str) -> Schema:
    after = {"gatewayresponse.header.Retry-After": f"'{seconds}'"}
    return {**_gateway_response(template), "statusCode": status, "responseParameters": after}


def _example(workload: Described, api: Api) -> Schema:
    values = {name: api.allowed.get(name, (_EXAMPLES[kind],))[0] for name, kind in workload.attributes.items()}
    return {"instances": [values]}


def _object(properties: Mapping[str, Any], *, closed: bool = True) -> Schema:
    return {
        "type": "object",
        "required": list(properties),
        "properties": dict(properties),
        **({"additionalProperties": False} if closed else {}),
    }


def _response(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _without_examples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_examples(item) for key, item in value.items() if key != "example"}
    return [_without_examples(item) for item in value] if isinstance(value, list) else value
