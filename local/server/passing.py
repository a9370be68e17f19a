"""Who gives a service a role must be allowed to pass it (``iam:PassRole``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.server.host import Host, Request

Document = Mapping[str, Any]


def register(host: Host) -> None:
    """Check the operations of ministack's own services that take a role."""
    for service, operations in _PASSED.items():
        host.add_guards(service, {name: _guard(host, *given) for name, given in operations.items()})


def _guard(host: Host, principal: str, roles: Callable[[Document], Iterable[str]]) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        for role in roles(request.json()):
            arn = role if role.startswith("arn:") else f"arn:aws:iam::{host.settings.account}:role/{role}"
            host.pass_role(request.caller, arn, principal)

    return check


def _member(name: str) -> Callable[[Document], Iterable[str]]:
    return lambda document: [document[name]] if document.get(name) else []


def _of_targets(document: Document) -> Iterable[str]:
    return [target["RoleArn"] for target in document.get("Targets", []) if target.get("RoleArn")]


def _of_delivery(document: Document) -> Iterable[str]:
    return _member("RoleARN")(document.get("ExtendedS3DestinationConfiguration", {}))


_STATES, _GLUE, _EVENTS, _LAMBDA, _FIREHOSE = (
    f"{name}.amazonaws.com" for name in ("states", "glue", "events", "lambda", "firehose")
)

_PASSED: Mapping[str, Mapping[str, tuple[str, Callable[[Document], Iterable[str]]]]] = {
    "states": {
        "CreateStateMachine": (_STATES, _member("roleArn")),
        "UpdateStateMachine": (_STATES, _member("roleArn")),
    },
    "glue": {
        "CreateJob": (_GLUE, _member("Role")),
        "UpdateJob": (_GLUE, lambda document: _member("Role")(document.get("JobUpdate", {}))),
        "CreateCrawler": (_GLUE, _member("Role")),
        "UpdateCrawler": (_GLUE, _member("Role")),
    },
    "firehose": {"CreateDeliveryStream": (_FIREHOSE, _of_delivery)},
    "events": {"PutTargets": (_EVENTS, _of_targets)},
    "lambda": {
        "CreateFunction": (_LAMBDA, _member("Role")),
        "UpdateFunctionConfiguration": (_LAMBDA, _member("Role")),
    },
}
