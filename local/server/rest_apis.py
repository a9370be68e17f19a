"""What ministack's import of an OpenAPI document leaves out of a REST API, applied by API Gateway's own operations.

Those are models, request validators, required parameters and the gateway's own responses. An extension of the document
that nobody applies is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local.server.host import Host

Document = dict[str, Any]

_VALIDATOR, _VALIDATORS = "x-amazon-apigateway-request-validator", "x-amazon-apigateway-request-validators"
_RESPONSES = "x-amazon-apigateway-gateway-responses"
_OF_DOCUMENT = (_VALIDATORS, _RESPONSES)
_OF_OPERATION = (_VALIDATOR, "x-amazon-apigateway-integration")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_JSON = "application/json"


def register(host: Host) -> None:
    """Apply the rest of a document after ministack has made an API of it."""
    host.extend_resource_type(
        "AWS::ApiGateway::RestApi", lambda api, props: apply(host.client("apigateway"), api, props)
    )


def apply(gateway: Any, api_id: str, props: Document) -> None:
    """Give an API what its document says beside paths, integrations and authorizers.

    Raises:
        ValueError: The document has an extension that nobody applies.
    """
    document = props.get("Body")
    if not isinstance(document, dict):
        return
    _refuse_unknown(document, _OF_DOCUMENT, "the document")
    if _RESPONSES not in document and _VALIDATORS not in document:
        return
    for name, given in document.get(_RESPONSES, {}).items():
        gateway.put_gateway_response(restApiId=api_id, responseType=name, **_gateway_response(given))
    validators = {name: _made_validator(gateway, api_id, name, given) for name, given in document[_VALIDATORS].items()}
    models = {each["name"] for each in gateway.get_models(restApiId=api_id)["items"]}
    resources = {each["path"]: each["id"] for each in gateway.get_resources(restApiId=api_id, limit=500)["items"]}
    for path, method, operation in _operations(document):
        _refuse_unknown(operation, _OF_OPERATION, f"{method} {path}")
        model = _model_of(operation)
        if model is not None and model not in models:
            schema = json.dumps(document["components"]["schemas"][model])
            gateway.create_model(restApiId=api_id, name=model, contentType=_JSON, schema=schema)
            models.add(model)
        _change_method(
            gateway,
            {"restApiId": api_id, "resourceId": resources[path], "httpMethod": method},
            {
                "requestModels": {} if model is None else {_JSON: model},
                "requestParameters": _parameters(operation),
                **({"requestValidatorId": validators[operation[_VALIDATOR]]} if _VALIDATOR in operation else {}),
            },
        )


def _refuse_unknown(content: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = sorted(key for key in content if key.startswith("x-amazon-apigateway-") and key not in known)
    if unknown:
        raise ValueError(f"the local server does not apply {', '.join(unknown)} of {where}")


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document.get("paths", {}).items():
        for method, operation in item.items():
            if method.lower() in _METHODS:
                yield path, method.upper(), operation


def _made_validator(gateway: Any, api_id: str, name: str, given: Mapping[str, Any]) -> str:
    made = gateway.create_request_validator(
        restApiId=api_id,
        name=name,
        validateRequestBody=_flag(given.get("validateRequestBody")),
        validateRequestParameters=_flag(given.get("validateRequestParameters")),
    )
    return str(made["id"])


def _gateway_response(given: Mapping[str, Any]) -> Document:
    keys = ("statusCode", "responseTemplates", "responseParameters")
    return {key: given[key] for key in keys if key in given}


def _model_of(operation: Document) -> str | None:
    """The schema of the components by which the body of an operation is checked."""
    content = operation.get("requestBody", {}).get("content", {})
    reference: str = content.get(_JSON, {}).get("schema", {}).get("$ref", "")
    return reference.rpartition("/")[2] or None


def _parameters(operation: Document) -> dict[str, bool]:
    places = {"query": "querystring"}
    return {
        f"method.request.{places.get(each['in'], each['in'])}.{each['name']}": _flag(each.get("required"))
        for each in operation.get("parameters", ())
    }


def _change_method(gateway: Any, which: Document, changes: Document) -> None:
    """Put a method anew with what it had and more: a patch of ministack's takes false for true."""
    found = gateway.get_method(**which)
    kept = ("authorizationType", "authorizerId", "authorizationScopes", "apiKeyRequired")
    gateway.put_method(**which, **{key: found[key] for key in kept if key in found}, **changes)
    integration = found["methodIntegration"]
    gateway.put_integration(
        **which,
        type=integration["type"],
        integrationHttpMethod=integration.get("httpMethod"),
        uri=integration["uri"],
    )


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"
