"""CloudFormation types of SageMaker that the local server makes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from local.server.host import Caller, Host, ServiceError
from local.server.sagemaker.errors import unsupported
from local.server.sagemaker.registry import Registry
from local.server.sagemaker.service_model import input_shape
from local.server.sagemaker.store import Document, Store
from local.server.validation import validate

_LONGEST_NAME = 63
_KNOWN = {"ModelPackageGroupName", "ModelPackageGroupDescription", "Tags"}
_POLICY = "ModelPackageGroupPolicy"


class ModelPackageGroupType:
    """``AWS::SageMaker::ModelPackageGroup``; its physical id is the ARN."""

    def __init__(self, registry: Registry, store: Store, caller: Caller) -> None:
        self._registry = registry
        self._store = store
        self._caller = caller

    def create(self, logical_id: str, props: dict[str, Any], stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Create a group; without a name it gets one from stack and logical id."""
        params = _params(props)
        params.setdefault("ModelPackageGroupName", _name(stack_name, logical_id))
        validate(input_shape("CreateModelPackageGroup"), params)
        group = self._registry.create_group(params, self._caller)
        self._registry.set_policy(group["ModelPackageGroupArn"], _policy(props))
        return group["ModelPackageGroupArn"], _attributes(group)

    def update(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Change tags and policy; a new name or description makes a new group."""
        params = _params(new_props)
        old = _params(old_props)
        if {**params, "Tags": None} != {**old, "Tags": None}:
            return self.create(physical_id.rpartition("/")[2], new_props, stack_name)
        self._store.remove_tags(physical_id)
        self._store.add_tags(physical_id, {tag["Key"]: tag["Value"] for tag in params.get("Tags", [])})
        self._registry.set_policy(physical_id, _policy(new_props))
        return physical_id, _attributes(self._registry.group(physical_id))

    def delete(self, physical_id: str, _props: dict[str, Any], /) -> None:
        """Delete a group; with packages in it that fails, as on AWS."""
        try:
            self._registry.delete_group({"ModelPackageGroupName": physical_id}, self._caller)
        except ServiceError as error:
            if error.code != "ValidationException":
                raise


def register_types(host: Host, registry: Registry, store: Store) -> None:
    """Make the types known to CloudFormation."""
    root = Caller("", f"arn:aws:iam::{host.settings.account}:root")
    groups = ModelPackageGroupType(registry, store, root)
    host.add_resource_type(
        "AWS::SageMaker::ModelPackageGroup", create=groups.create, update=groups.update, delete=groups.delete
    )


def _params(props: dict[str, Any]) -> Document:
    unknown = sorted(props.keys() - _KNOWN - {_POLICY})
    if unknown:
        raise unsupported(f"{', '.join(unknown)} of AWS::SageMaker::ModelPackageGroup")
    return {name: value for name, value in props.items() if name != _POLICY}


def _policy(props: dict[str, Any]) -> str | None:
    policy = props.get(_POLICY)
    return policy if policy is None or isinstance(policy, str) else json.dumps(policy)


def _attributes(group: Document) -> dict[str, Any]:
    return {name: group[name] for name in ("ModelPackageGroupArn", "ModelPackageGroupStatus", "CreationTime")}


def _name(stack_name: str, logical_id: str) -> str:
    digest = hashlib.sha256(f"{stack_name}/{logical_id}".encode()).hexdigest()[:12]
    return f"{stack_name}-{logical_id}"[: _LONGEST_NAME - 13].rstrip("-") + f"-{digest}"
