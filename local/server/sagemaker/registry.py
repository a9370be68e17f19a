"""The model registry: groups, and packages with versions and an approval status."""

from __future__ import annotations

import json
from typing import Any

from local.server.host import Caller, ServiceError
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.resources import MODEL_PACKAGE, MODEL_PACKAGE_GROUP
from local.server.sagemaker.store import AlreadyThere, Document

_UNSUPPORTED_OF_PACKAGE = (
    "ValidationSpecification",
    "SourceAlgorithmSpecification",
    "AdditionalInferenceSpecifications",
    "ManagedStorageType",
)
_UPDATES = ("ModelApprovalStatus", "ApprovalDescription", "SourceUri", "ModelLifeCycle", "ModelCard")


class Registry:
    """Model package groups and model packages."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._store = platform.store

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateModelPackageGroup": self.create_group,
            "DescribeModelPackageGroup": lambda params, _caller: self.group(params["ModelPackageGroupName"]),
            "DeleteModelPackageGroup": self.delete_group,
            "PutModelPackageGroupPolicy": self._put_policy,
            "GetModelPackageGroupPolicy": self._get_policy,
            "DeleteModelPackageGroupPolicy": self._delete_policy,
            "CreateModelPackage": self._create_package,
            "DescribeModelPackage": lambda params, _caller: self.package(params["ModelPackageName"]),
            "UpdateModelPackage": self._update_package,
            "DeleteModelPackage": self._delete_package,
        }

    # -- groups

    def group(self, name_or_arn: str) -> Document:
        """A group by its name or its ARN.

        Raises:
            ServiceError: There is none (``ValidationException``).
        """
        name = name_or_arn.rpartition("/")[2]
        group = self._store.find(MODEL_PACKAGE_GROUP.name, name)
        if group is None:
            raise invalid(f"ModelPackageGroup {self._platform.arn(MODEL_PACKAGE_GROUP, name)} does not exist.")
        return group

    def create_group(self, params: Document, caller: Caller) -> Document:
        """Create a group."""
        if "ManagedConfiguration" in params:
            raise unsupported("ManagedConfiguration of a model package group")
        name = params["ModelPackageGroupName"]
        arn = self._platform.arn(MODEL_PACKAGE_GROUP, name)
        group = {
            **params,
            "ModelPackageGroupArn": arn,
            "ModelPackageGroupStatus": "Completed",
            "CreatedBy": _identity_of(caller),
            "_LastVersion": 0,
        }
        self._platform.tag_new(caller, arn, group)
        try:
            return self._store.add(MODEL_PACKAGE_GROUP.name, name, group)
        except AlreadyThere as error:
            raise invalid(f"Model Package Group already exists: {arn}") from error

    def delete_group(self, params: Document, _caller: Caller) -> Document:
        """Delete an empty group."""
        group = self.group(params["ModelPackageGroupName"])
        name, arn = group["ModelPackageGroupName"], group["ModelPackageGroupArn"]
        packages = [
            package for package in self._store.all(MODEL_PACKAGE.name) if package.get("ModelPackageGroupName") == name
        ]
        if packages:
            raise ServiceError(
                "ConflictException",
                f"Model Package Group {arn} is not empty: delete its {len(packages)} model package(s) first",
            )
        self._store.remove(MODEL_PACKAGE_GROUP.name, name)
        self._store.remove_tags(arn)
        return {}

    # -- policies of groups

    def set_policy(self, name_or_arn: str, policy: str | None) -> None:
        """Say which other accounts may use a group; ``None``: none."""
        group = self.group(name_or_arn)
        self._store.change(MODEL_PACKAGE_GROUP.name, group["ModelPackageGroupName"], _Policy=policy)

    def _put_policy(self, params: Document, _caller: Caller) -> Document:
        group = self.group(params["ModelPackageGroupName"])
        self.set_policy(group["ModelPackageGroupName"], params["ResourcePolicy"])
        return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}

    def _get_policy(self, params: Document, _caller: Caller) -> Document:
        policy = self.group(params["ModelPackageGroupName"]).get("_Policy")
        if policy is None:
            raise invalid(f"Model Package Group {params['ModelPackageGroupName']} has no resource policy")
        return {"ResourcePolicy": policy}

    def _delete_policy(self, params: Document, _caller: Caller) -> Document:
        self.set_policy(params["ModelPackageGroupName"], None)
        return {}

    # -- packages

    def package(self, name_or_arn: str) -> Document:
        """A package by its ARN, ``group/version``, or the name of one without versions.

        Raises:
            ServiceError: There is none (``ValidationException``).
        """
        name = name_or_arn.partition(":model-package/")[2] or name_or_arn
        package = self._store.find(MODEL_PACKAGE.name, name)
        if package is None:
            raise invalid(f"ModelPackage {self._platform.arn(MODEL_PACKAGE, name)} does not exist.")
        return package

    def _create_package(self, params: Document, caller: Caller) -> Document:
        for member in _UNSUPPORTED_OF_PACKAGE:
            if member in params:
                raise unsupported(f"{member} of a model package")
        if ("ModelPackageName" in params) == ("ModelPackageGroupName" in params):
            raise invalid("exactly one of ModelPackageName and ModelPackageGroupName must be given")
        request = json.dumps(params, sort_keys=True)
        earlier = self._created_with(params.pop("ClientToken", None), request)
        if earlier is not None:
            return earlier
        package = self._add_package(params, request, caller)
        self._announce(package)
        return package

    def _created_with(self, token: str | None, request: str) -> Document | None:
        if token is None:
            return None
        for package in self._store.all(MODEL_PACKAGE.name):
            if package.get("_ClientToken") != token:
                continue
            if package["_Request"] != request:
                raise ServiceError(
                    "ConflictException",
                    f"the client token {token} was used for {package['ModelPackageArn']} with another request",
                )
            return package
        return None

    def _add_package(self, params: Document, request: str, caller: Caller) -> Document:
        identity = self._identity(params)
        arn = self._platform.arn(MODEL_PACKAGE, identity["_Name"])
        package = {
            **params,
            **identity,
            "ModelPackageArn": arn,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": params.get("CertifyForMarketplace", False),
            "CreatedBy": _identity_of(caller),
            "_ClientToken": json.loads(request).get("ClientToken"),
            "_Request": request,
        }
        self._platform.tag_new(caller, arn, package)
        try:
            return self._store.add(MODEL_PACKAGE.name, identity["_Name"], package)
        except AlreadyThere as error:
            raise ServiceError("ConflictException", f"Model Package already exists: {arn}") from error

    def _identity(self, params: Document) -> dict[str, Any]:
        if "ModelPackageName" in params:
            return {"_Name": params["ModelPackageName"]}
        group = self.group(params["ModelPackageGroupName"])
        version = self._next_version(group["ModelPackageGroupName"])
        return {
            "_Name": f"{group['ModelPackageGroupName']}/{version}",
            "ModelPackageGroupName": group["ModelPackageGroupName"],
            "ModelPackageVersion": version,
            "ModelApprovalStatus": params.get("ModelApprovalStatus", "PendingManualApproval"),
        }

    def _next_version(self, group: str) -> int:
        """Count up: a number is never given twice, even after its package was deleted."""

        def count(document: Document) -> None:
            document["_LastVersion"] += 1

        return int(self._store.edit(MODEL_PACKAGE_GROUP.name, group, count)["_LastVersion"])

    def _update_package(self, params: Document, caller: Caller) -> Document:
        package = self.package(params["ModelPackageArn"])
        changes = {name: params[name] for name in _UPDATES if name in params}
        known = {*_UPDATES, "ModelPackageArn", "CustomerMetadataProperties", "CustomerMetadataPropertiesToRemove"}
        for member in params.keys() - known - {"ClientToken"}:
            raise unsupported(f"changing {member} of a model package")
        if "ModelApprovalStatus" in changes and "ModelPackageVersion" not in package:
            raise invalid("the approval status belongs to versioned model packages only")
        properties = {**package.get("CustomerMetadataProperties", {}), **params.get("CustomerMetadataProperties", {})}
        for key in params.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(key, None)
        changes["CustomerMetadataProperties"] = properties or None
        changed = {name for name, value in changes.items() if package.get(name) != value}
        by = {"LastModifiedBy": _identity_of(caller)}
        updated = self._store.change(MODEL_PACKAGE.name, package["_Name"], **changes, **by)
        self._announce(updated, UpdatedModelPackageFields=sorted(changed))
        return updated

    def _delete_package(self, params: Document, _caller: Caller) -> Document:
        package = self.package(params["ModelPackageName"])
        self._store.remove(MODEL_PACKAGE.name, package["_Name"])
        self._store.remove_tags(package["ModelPackageArn"])
        return {}

    def _announce(self, package: Document, **more: Any) -> None:
        named = {**package, "ModelPackageName": package["_Name"]}
        self._platform.emit(MODEL_PACKAGE, "Model Package", named, **more)


def _identity_of(caller: Caller) -> Document:
    return {"IamIdentity": {"Arn": caller.arn, "PrincipalId": caller.access_key}}
