"""What is read or written in one log stream is allowed by the stream's own ARN, which ministack does not ask for."""

from __future__ import annotations

import json
from typing import Any

from local.server import hooks
from local.server.host import Host

_OPERATIONS = ("GetLogEvents", "PutLogEvents")


def register(host: Host) -> None:  # noqa: ARG001
    """Check the operations on the stream that they are about."""
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: Any, region: str, account_id: str
    ) -> Any:
        found = original(service, method, path, headers, body, query_params, region, account_id)
        if service != "logs" or headers.get("x-amz-target", "").rpartition(".")[2] not in _OPERATIONS:
            return found
        return f"{found}:log-stream:{json.loads(body).get('logStreamName', '')}"

    hooks.replace("core.iam_actions:extract_resource_arn", extract)
