"""The CloudWatch metrics of endpoints."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server.host import Host
from local.server.sagemaker.endpoints.instance import Loading
from local.server.sagemaker.platform import log

_NAMESPACE = "AWS/SageMaker"
_FLUSH_SECONDS = 0.5
_LEAST_FLUSH_SECONDS = 0.05
_FLUSH_OF_CLOCK_SECONDS = 20.0
"""How often is published on a scaled clock, so that no period of a minute goes without the values of its requests."""

_MOST_VALUES = 150
_MOST_DATA = 500


@dataclass(frozen=True)
class Invocation:
    """One answered request; latencies in microseconds.

    Attributes:
        instances: How many instances its variant had.
        loading: How it came to its model, where there are several.
    """

    status: int
    model_latency: float
    overhead_latency: float
    instances: int = 1
    loading: Loading | None = None


class Meter:
    """Collects invocations and publishes every value of them, twice a second."""

    def __init__(self, host: Host) -> None:
        self._host = host
        on_clock = _FLUSH_OF_CLOCK_SECONDS * host.settings.alarm_scale
        self._flush_seconds = min(_FLUSH_SECONDS, max(_LEAST_FLUSH_SECONDS, on_clock))
        self._lock = threading.Lock()
        self._seen: defaultdict[tuple[str, str], list[Invocation]] = defaultdict(list)
        self._closed = threading.Event()
        self._publisher = threading.Thread(target=self._publish_often, name="endpoint metrics", daemon=True)
        self._publisher.start()

    def add(self, endpoint: str, variant: str, invocation: Invocation) -> None:
        """Count one request."""
        with self._lock:
            self._seen[(endpoint, variant)].append(invocation)

    def close(self) -> None:
        """Publish what is left."""
        self._closed.set()
        self._publisher.join(3)

    def _publish_often(self) -> None:
        while not self._closed.wait(self._flush_seconds):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            seen, self._seen = self._seen, defaultdict(list)
        data = [
            datum
            for (endpoint, variant), invocations in seen.items()
            for datum in _data(endpoint, variant, invocations)
        ]
        try:
            for start in range(0, len(data), _MOST_DATA):
                self._host.client("cloudwatch").put_metric_data(
                    Namespace=_NAMESPACE, MetricData=data[start : start + _MOST_DATA]
                )
        except (ClientError, BotoCoreError):
            log.exception("metrics of %d endpoint variants were lost", len(seen))


def _data(endpoint: str, variant: str, invocations: Sequence[Invocation]) -> Iterator[dict[str, Any]]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    metrics = (
        ("Invocations", "None", [1.0 for _ in invocations]),
        ("InvocationsPerInstance", "None", [1.0 / max(each.instances, 1) for each in invocations]),
        ("Invocation4XXErrors", "None", [float(400 <= each.status < 500) for each in invocations]),
        ("Invocation5XXErrors", "None", [float(each.status >= 500) for each in invocations]),
        ("InvocationModelErrors", "None", [float(not 200 <= each.status < 300) for each in invocations]),
        ("ModelLatency", "Microseconds", [each.model_latency for each in invocations]),
        ("OverheadLatency", "Microseconds", [each.overhead_latency for each in invocations]),
    )
    loadings = [each.loading for each in invocations if each.loading is not None]
    of_several = (
        ("ModelCacheHit", "None", [float(each.hit) for each in loadings]),
        ("ModelLoadingWaitTime", "Microseconds", [each.waited for each in loadings if not each.hit]),
    )
    for name, unit, values in (*metrics, *of_several):
        counted = list(Counter(values).items())
        for start in range(0, len(counted), _MOST_VALUES):
            part = counted[start : start + _MOST_VALUES]
            yield {
                "MetricName": name,
                "Unit": unit,
                "Dimensions": dimensions,
                "Values": [value for value, _ in part],
                "Counts": [float(count) for _, count in part],
            }
