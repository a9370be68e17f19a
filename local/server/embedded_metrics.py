"""Metrics that functions write into their log lines, in CloudWatch's embedded metric format.

The format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.server import hooks
from local.server.host import Host

log = logging.getLogger("gapless.metrics")

_LOGS = "services.lambda_svc:_emit_lambda_logs"
_MARK = '"_aws"'


@dataclass(frozen=True)
class Value:
    """One value of a metric."""

    namespace: str
    name: str
    value: float
    unit: str
    dimensions: tuple[tuple[str, str], ...]


def register(host: Host) -> None:
    """Publish what functions write into their log lines, behind their backs."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    original = hooks.get(_LOGS)

    def emit(func: dict[str, Any], request_id: str, log_text: str, *others: Any, **options: Any) -> Any:
        for line in (log_text or "").splitlines():
            if _MARK in line:
                lines.put(line)
        return original(func, request_id, log_text, *others, **options)

    def publish() -> None:
        while True:
            line = lines.get()
            try:
                for each in values_of(line):
                    host.put_metric(each.namespace, each.name, each.value, dict(each.dimensions), each.unit)
            except Exception:
                log.exception("metrics of a log line were not published: %.500s", line)

    hooks.replace(_LOGS, emit)
    host.on_ready(threading.Thread(target=publish, name="embedded metrics", daemon=True).start)


def values_of(line: str) -> Iterator[Value]:
    """The values of a log line; none if it is not in the format."""
    try:
        content = json.loads(line)
        directives = content["_aws"]["CloudWatchMetrics"]
    except (ValueError, TypeError, KeyError):
        return
    for directive in directives:
        for names in directive["Dimensions"]:
            dimensions = tuple((name, str(content[name])) for name in names)
            for metric in directive["Metrics"]:
                found = content.get(metric["Name"])
                for value in found if isinstance(found, list) else [found]:
                    if isinstance(value, int | float):
                        unit = metric.get("Unit", "None")
                        yield Value(directive["Namespace"], metric["Name"], float(value), unit, dimensions)
