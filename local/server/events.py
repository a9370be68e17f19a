"""EventBridge deliveries: a target takes an event only when its policy lets the rule in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from local.server import hooks
from local.server.host import Caller, Denied, Host

log = logging.getLogger("gapless.events")

_ACTIONS: Mapping[str, str] = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}

Document = dict[str, Any]


def register(host: Host) -> None:
    """Check every delivery before ministack makes it."""
    original = hooks.get("services.eventbridge:_invoke_target")

    def invoke(target: Document, event: Document, rule: Document, view: Any = None) -> None:
        reason = _refusal(host, target, rule)
        if reason is None:
            original(target, event, rule, view)
            return
        log.warning("the rule %s did not reach %s: %s", rule.get("Name"), target.get("Arn"), reason)
        dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
        if dead_letters and host.service_may("events.amazonaws.com", "sqs:SendMessage", dead_letters, rule["Arn"]):
            original({"Id": target["Id"], "Arn": dead_letters}, event, rule, view)

    hooks.replace("services.eventbridge:_invoke_target", invoke)


def _refusal(host: Host, target: Document, rule: Document) -> str | None:
    """Why an event may not be delivered, or ``None`` when it may."""
    arn = target.get("Arn", "")
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if service in _ACTIONS:
        if host.service_may("events.amazonaws.com", _ACTIONS[service], arn, rule["Arn"]):
            return None
        return f"its policy does not allow {_ACTIONS[service]} to events.amazonaws.com"
    if service == "states":
        return _role_refusal(host, target, rule, "states:StartExecution")
    return None


def _role_refusal(host: Host, target: Document, rule: Document, action: str) -> str | None:
    try:
        credentials = host.mint(target.get("RoleArn", ""), "events.amazonaws.com", "events", rule["Arn"])
        host.check(Caller(credentials.access_key, target["RoleArn"]), action, target["Arn"])
    except Denied as error:
        return str(error)
    return None
