"""CloudFormation types of managed MLflow."""

from __future__ import annotations

from typing import Any

from botocore import xform_name

from local.server.cloudformation import typed
from local.server.host import Host
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.mlflow.kinds import APP, MLFLOW_KINDS, MlflowKind, named_in
from local.server.sagemaker.mlflow.tracking import Tracking
from local.server.sagemaker.service_model import input_shape
from local.server.sagemaker.store import Document


class MlflowType:
    """``AWS::SageMaker::MlflowTrackingServer``, known by its name, or ``AWS::SageMaker::MlflowApp``, by its ARN."""

    def __init__(self, host: Host, kind: MlflowKind) -> None:
        self._host = host
        self._kind = kind

    def create(self, _logical_id: str, props: dict[str, Any], _stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Make one."""
        params: Document = typed(props, input_shape(f"Create{self._kind.name}"))
        return self._made(self._ask("Create", **params), params)

    def update(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], _stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Change size, version, artefacts or maintenance window; role and tags cannot be changed on this server.

        Raises:
            ServiceError: Something else changes (``ValidationException``).
        """
        allowed = set(input_shape(f"Update{self._kind.name}").members) - {self._kind.key}
        old, new = (typed(props, input_shape(f"Create{self._kind.name}")) for props in (old_props, new_props))
        changed = {name: new.get(name) for name in {*old, *new} if old.get(name) != new.get(name)}
        fixed = sorted(name for name, value in changed.items() if name not in allowed or value is None)
        if fixed:
            raise invalid(f"{', '.join(fixed)} of {physical_id} cannot be changed in place")
        return self._made(self._ask("Update", **{self._kind.key: physical_id}, **changed), {**new})

    def delete(self, physical_id: str, _props: dict[str, Any], /) -> None:
        """Delete it; one that is gone is no error."""
        try:
            self._ask("Delete", **{self._kind.key: physical_id})
        except self._host.client("sagemaker").exceptions.ResourceNotFound:
            return

    def _ask(self, verb: str, **params: Any) -> Document:
        operation = getattr(self._host.client("sagemaker"), xform_name(f"{verb}{self._kind.name}"))
        answer: Document = operation(**params)
        return answer

    def _made(self, answer: Document, params: Document) -> tuple[str, dict[str, Any]]:
        attributes = {self._kind.arn_member: answer[self._kind.arn_member]}
        return str({**params, **attributes}[self._kind.key]), attributes


def register_mlflow(host: Host, tracking: Tracking) -> None:
    """Make the types known to CloudFormation, and serve the API of tracking servers, which has a signing name."""
    for kind in MLFLOW_KINDS:
        made = MlflowType(host, kind)
        host.add_resource_type(
            f"AWS::SageMaker::{kind.name}", create=made.create, update=made.update, delete=made.delete
        )
        if kind is not APP:
            host.add_service(
                kind.signed_as,
                tracking.serve,
                iam_namespace=kind.signed_as,
                resource=lambda request: named_in(request.headers) or "*",
                action=tracking.action,
            )
