"""Application Auto Scaling for endpoints: remembers what is registered, and acts on policies and set times."""

from __future__ import annotations

from local.server.autoscaling.scaler import Scaler
from local.server.autoscaling.service import AutoScaling
from local.server.host import Host


def register(host: Host) -> None:
    """Add the service ``application-autoscaling`` and what scales."""
    service = AutoScaling(host)
    host.add_service(
        "application-autoscaling",
        service.handle,
        iam_namespace="application-autoscaling",
        resource=service.resource,
        context=service.conditions,
    )
    scaler = Scaler(host, service)
    host.on_ready(scaler.start)
    host.on_shutdown(scaler.stop)
