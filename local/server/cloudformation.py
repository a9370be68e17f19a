"""CloudFormation types and properties that ministack lacks."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import Shape

from local.server import bucket_properties, dropped_properties, hooks
from local.server.host import Host, Request
from local.server.without_effect import WITHOUT_EFFECT

log = logging.getLogger("gapless.cloudformation")

_CUSTOM_RESOURCE_SECONDS = 60

_HOLD_SECONDS = 10.0
"""How long an answer about a stack that is being changed is held back at most."""

_LOOK_SECONDS = 0.05

Document = dict[str, Any]


@dataclass(frozen=True)
class ApiType:
    """A type that one service operation makes and another one removes.

    Attributes:
        name_property: The property that names the resource, when the template may leave it out.
        request: From the properties (with a name) to the parameters of ``create``.
        identify: From the request and the answer to the physical id.
        remove: From the physical id to the parameters of ``delete``.
        attributes: From the physical id to what ``Fn::GetAtt`` can read.
        replaced_by: Whether ``create`` also changes an existing resource.
    """

    service: str
    create: str
    delete: str
    request: Callable[[Document], Document]
    identify: Callable[[Document, Document], str]
    remove: Callable[[str], Document]
    name_property: str | None = None
    attributes: Callable[[str], Document] = lambda _physical_id: {}
    creates_over: bool = False


def _composite_alarm_arn(name: str) -> Document:
    return {"Arn": f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"}


API_TYPES: Mapping[str, ApiType] = {
    "AWS::Glue::SecurityConfiguration": ApiType(
        service="glue",
        create="CreateSecurityConfiguration",
        delete="DeleteSecurityConfiguration",
        name_property="Name",
        request=lambda props: {
            "Name": props["Name"],
            "EncryptionConfiguration": _renamed(props["EncryptionConfiguration"], {"S3Encryptions": "S3Encryption"}),
        },
        identify=lambda request, _answer: str(request["Name"]),
        remove=lambda name: {"Name": name},
    ),
    "AWS::Glue::DataQualityRuleset": ApiType(
        service="glue",
        create="CreateDataQualityRuleset",
        delete="DeleteDataQualityRuleset",
        name_property="Name",
        request=lambda props: props,
        identify=lambda request, _answer: str(request["Name"]),
        remove=lambda name: {"Name": name},
    ),
    "AWS::Athena::NamedQuery": ApiType(
        service="athena",
        create="CreateNamedQuery",
        delete="DeleteNamedQuery",
        name_property="Name",
        request=lambda props: props,
        identify=lambda _request, answer: str(answer["NamedQueryId"]),
        remove=lambda query_id: {"NamedQueryId": query_id},
        attributes=lambda query_id: {"NamedQueryId": query_id},
    ),
    "AWS::CloudWatch::CompositeAlarm": ApiType(
        service="cloudwatch",
        create="PutCompositeAlarm",
        delete="DeleteAlarms",
        name_property="AlarmName",
        request=lambda props: props,
        identify=lambda request, _answer: str(request["AlarmName"]),
        remove=lambda name: {"AlarmNames": [name]},
        attributes=_composite_alarm_arn,
        creates_over=True,
    ),
}
"""The types that are made through a service's own operation."""


def register(host: Host) -> None:
    """Add the types, the properties, the limit on custom resources, and the wait of who asks for a stack."""
    for type_name, api_type in API_TYPES.items():
        provisioner = _Provisioner(host, api_type)
        host.add_resource_type(
            type_name, create=provisioner.create, update=provisioner.update, delete=provisioner.delete
        )
    for type_name in WITHOUT_EFFECT:
        host.add_resource_type(
            type_name, create=_accept, update=_keep, delete=lambda _physical_id, _props: None, worker_thread=False
        )
    bucket_properties.register(host)
    dropped_properties.register(host)
    _limit_custom_resources()
    host.add_guards("cloudformation", {"DescribeStacks": _await_change})


def _await_change(request: Request) -> None:
    """Hold back what is said of a stack that is being changed until it has been, or for a while.

    The CDK CLI and the SDK's waiters ask again after five seconds or more, and most changes here take less.
    """
    resolve = hooks.get("services.cloudformation.handlers:_resolve_stack")
    deadline = time.monotonic() + _HOLD_SECONDS
    for name in parse_qs(request.body.decode()).get("StackName", []):
        while time.monotonic() < deadline and _changes(resolve(name)):
            time.sleep(_LOOK_SECONDS)


def _changes(stack: Mapping[str, Any] | None) -> bool:
    status = "" if stack is None else str(stack["StackStatus"])
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


class _Provisioner:
    def __init__(self, host: Host, api_type: ApiType) -> None:
        self._host = host
        self._type = api_type

    def create(self, logical_id: str, props: Document, stack_name: str, /) -> tuple[str, Document]:
        api = self._type
        if api.name_property is not None:
            props = {api.name_property: physical_name(stack_name, logical_id), **props}
        request = self._shaped(api.create, api.request(props))
        answer = self._call(api.create, request)
        physical_id = api.identify(request, answer)
        return physical_id, api.attributes(physical_id)

    def update(self, physical_id: str, _old: Document, props: Document, stack_name: str, /) -> tuple[str, Document]:
        api = self._type
        named = {} if api.name_property is None else {api.name_property: physical_id, **props}
        if not api.creates_over:
            self.delete(physical_id, props)
        return self.create(physical_id, {**props, **named}, stack_name)

    def delete(self, physical_id: str, _props: Document, /) -> None:
        try:
            self._call(self._type.delete, self._type.remove(physical_id))
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise

    def _call(self, operation: str, request: Document) -> Document:
        answer: Document = getattr(self._host.client(self._type.service), xform_name(operation))(**request)
        return answer

    def _shaped(self, operation: str, request: Document) -> Document:
        model = self._host.client(self._type.service).meta.service_model.operation_model(operation)
        shaped: Document = typed(request, model.input_shape)
        return shaped


def typed(value: Any, shape: Shape) -> Any:
    """A template's values in the types of an API: templates write numbers and booleans as strings at will.

    Raises:
        ValueError: The API has no such member.
    """
    if shape.type_name == "structure":
        unknown = sorted(set(value) - set(shape.members))
        if unknown:
            raise ValueError(f"the local server does not apply {', '.join(unknown)} of {shape.name}")
        return {key: typed(item, shape.members[key]) for key, item in value.items()}
    if shape.type_name == "list":
        return [typed(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {key: typed(item, shape.value) for key, item in value.items()}
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name in ("float", "double"):
        return float(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    return str(value) if isinstance(value, (int, float)) else value


def physical_name(stack_name: str, logical_id: str, longest: int = 60) -> str:
    """A name for a resource that the template does not name; the same for the same stack and logical id."""
    digest = hashlib.sha256(f"{stack_name}/{logical_id}".encode()).hexdigest()[:10]
    return f"{stack_name}-{logical_id}"[: longest - 11] + f"-{digest}"


def _renamed(value: Document, names: Mapping[str, str]) -> Document:
    return {names.get(key, key): item for key, item in value.items()}


def _accept(logical_id: str, _props: Document, stack_name: str, /) -> tuple[str, Document]:
    name = physical_name(stack_name, logical_id)
    return name, {"Id": name, "AllocationId": name, "NatGatewayId": name, "PublicIp": "127.0.0.1"}


def _keep(physical_id: str, _old: Document, _props: Document, _stack_name: str, /) -> tuple[str, Document]:
    return physical_id, {"Id": physical_id, "AllocationId": physical_id, "NatGatewayId": physical_id}


# -- custom resources


def _limit_custom_resources() -> None:
    """A custom resource that never answers fails after a minute instead of hanging the deployment for an hour."""
    original = hooks.get("services.cloudformation.custom_resource:invoke_custom_resource")

    def invoke(request_type: str, logical_id: str, props: Document, *arguments: Any, **options: Any) -> Any:
        limited = {"ServiceTimeout": str(_CUSTOM_RESOURCE_SECONDS), **props}
        return original(request_type, logical_id, limited, *arguments, **options)

    hooks.replace("services.cloudformation.custom_resource:invoke_custom_resource", invoke)
