"""Condition keys of requests that ministack does not fill in, so that policies with them allow what they should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.server import hooks
from local.server.host import Host


def register(host: Host) -> None:  # noqa: ARG001 - every plug-in is handed its host
    """Let ``cloudwatch:namespace`` decide about PutMetricData."""
    original = hooks.get("core.iam_actions:request_tag_context")

    def request_tag_context(service: str, iam_action: str, body: bytes, params: Mapping[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = original(service, iam_action, body, params)
        if iam_action == "cloudwatch:PutMetricData":
            context["cloudwatch:namespace"] = _namespace(body, params)
        return context

    hooks.replace("core.iam_actions:request_tag_context", request_tag_context)


def _namespace(body: bytes, params: Mapping[str, Any]) -> str:
    """The namespace of a PutMetricData request, in JSON or form-encoded; empty when there is none."""
    if body.startswith(b"{"):
        return str(json.loads(body).get("Namespace", ""))
    given = params.get("Namespace", "")
    return str(given[-1] if isinstance(given, list) and given else given or "")
