"""SageMaker on the local server: a control plane that follows botocore's service model, jobs and endpoints that are
child processes, and a model registry; what it remembers is in one sqlite file."""

from __future__ import annotations

from local.server.host import Host
from local.server.sagemaker.feature_store.resource_type import register_feature_groups
from local.server.sagemaker.mlflow.resource_types import register_mlflow
from local.server.sagemaker.pipelines.resource_type import register_pipelines
from local.server.sagemaker.resource_types import register_types
from local.server.sagemaker.service import SageMaker


def register(host: Host) -> None:
    """Add the service ``sagemaker`` (and its runtime, which signs with the same name) and its CloudFormation types."""
    service = SageMaker(host)
    host.add_service(
        "sagemaker",
        service.handle,
        iam_namespace="sagemaker",
        resource=service.resource,
        action=service.action,
        context=service.conditions,
    )
    register_types(host, service.registry, service.store)
    register_feature_groups(host)
    register_pipelines(host)
    register_mlflow(host, service.tracking)
    host.on_ready(service.recover)
    host.on_shutdown(service.close)
