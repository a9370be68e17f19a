"""CloudFormation types of Lake Formation, made through the service's own operations."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from local.server.cloudformation import typed
from local.server.host import Host, ServiceError
from local.server.lake_formation.records import Document
from local.server.lake_formation.service import LakeFormation

_SETTINGS = "lake-settings"
_DEFAULTS = ("CreateDatabaseDefaultPermissions", "CreateTableDefaultPermissions")


def register_types(host: Host, service: LakeFormation) -> None:
    """Make the types known to CloudFormation."""
    types = {
        "AWS::LakeFormation::DataLakeSettings": _Settings(host, service),
        "AWS::LakeFormation::Resource": _Location(host, service),
        "AWS::LakeFormation::Tag": _Tag(host, service),
        "AWS::LakeFormation::TagAssociation": _Association(host, service),
        "AWS::LakeFormation::PrincipalPermissions": _Grant(host, service),
    }
    for name, each in types.items():
        host.add_resource_type(name, create=each.create, update=each.update, delete=each.delete)


class _Type:
    def __init__(self, host: Host, service: LakeFormation) -> None:
        self._host = host
        self._service = service

    def create(self, logical_id: str, props: Document, stack_name: str, /) -> tuple[str, Document]:
        raise NotImplementedError

    def delete(self, physical_id: str, props: Document, /) -> None:
        raise NotImplementedError

    def update(self, physical_id: str, old: Document, props: Document, stack_name: str, /) -> tuple[str, Document]:
        """Make it anew; it is closed for the moment in between."""
        self.delete(physical_id, old)
        return self.create("", props, stack_name)

    def _do(self, operation: str, request: Document) -> None:
        model = self._host.client("lakeformation").meta.service_model.operation_model(operation)
        self._service.perform(operation, typed(request, model.input_shape))

    def _undo(self, operation: str, request: Document) -> None:
        """Remove something; what is gone already is no error."""
        try:
            self._do(operation, request)
        except ServiceError as error:
            if error.code not in ("EntityNotFoundException", "InvalidInputException"):
                raise


class _Settings(_Type):
    """``DataLakeSettings``: administrators are added to those that are there, or take their place."""

    def create(self, _logical_id: str, props: Document, _stack_name: str, /) -> tuple[str, Document]:
        old = self._service.records.document["settings"]
        added = [
            {"DataLakePrincipalIdentifier": each["DataLakePrincipalIdentifier"]} for each in props.get("Admins", [])
        ]
        appending = props.get("MutationType", "REPLACE") == "APPEND"
        kept = [each for each in old["DataLakeAdmins"] if appending and each not in added]
        defaults = {name: props.get(name, old[name] if appending else []) for name in _DEFAULTS}
        self._do("PutDataLakeSettings", {"DataLakeSettings": {**old, "DataLakeAdmins": [*kept, *added], **defaults}})
        return _SETTINGS, {}

    def update(self, _id: str, _old: Document, props: Document, stack_name: str, /) -> tuple[str, Document]:
        return self.create("", props, stack_name)

    def delete(self, _physical_id: str, props: Document, /) -> None:
        gone = [each["DataLakePrincipalIdentifier"] for each in props.get("Admins", [])]
        old = self._service.records.document["settings"]
        kept = [each for each in old["DataLakeAdmins"] if each["DataLakePrincipalIdentifier"] not in gone]
        self._do("PutDataLakeSettings", {"DataLakeSettings": {**old, "DataLakeAdmins": kept}})


class _Location(_Type):
    def create(self, _logical_id: str, props: Document, _stack_name: str, /) -> tuple[str, Document]:
        self._do("RegisterResource", props)
        return str(props["ResourceArn"]), {}

    def delete(self, physical_id: str, _props: Document, /) -> None:
        self._undo("DeregisterResource", {"ResourceArn": physical_id})


class _Tag(_Type):
    def create(self, _logical_id: str, props: Document, _stack_name: str, /) -> tuple[str, Document]:
        self._do("CreateLFTag", props)
        return str(props["TagKey"]), {}

    def update(self, physical_id: str, old: Document, props: Document, stack_name: str, /) -> tuple[str, Document]:
        """Add and remove values; resources keep those that stay."""
        if props["TagKey"] != physical_id:
            return super().update(physical_id, old, props, stack_name)
        before, now = self._service.records.document["tags"].get(physical_id, []), props["TagValues"]
        values = {
            "TagValuesToAdd": [value for value in now if value not in before],
            "TagValuesToDelete": [value for value in before if value not in now],
        }
        changes: dict[str, Any] = {member: given for member, given in values.items() if given}
        if changes:
            self._do("UpdateLFTag", {"TagKey": physical_id, **changes})
        return physical_id, {}

    def delete(self, physical_id: str, _props: Document, /) -> None:
        self._undo("DeleteLFTag", {"TagKey": physical_id})


class _Association(_Type):
    def create(self, _logical_id: str, props: Document, _stack_name: str, /) -> tuple[str, Document]:
        self._do("AddLFTagsToResource", {"Resource": props["Resource"], "LFTags": props["LFTags"]})
        return _id_of(props), {
            "ResourceIdentifier": _id_of(props["Resource"]),
            "TagsIdentifier": _id_of(props["LFTags"]),
        }

    def delete(self, _physical_id: str, props: Document, /) -> None:
        self._undo("RemoveLFTagsFromResource", {"Resource": props["Resource"], "LFTags": props["LFTags"]})


class _Grant(_Type):
    def create(self, _logical_id: str, props: Document, _stack_name: str, /) -> tuple[str, Document]:
        self._do("GrantPermissions", _as_request(props))
        parts = {"PrincipalIdentifier": _id_of(props["Principal"]), "ResourceIdentifier": _id_of(props["Resource"])}
        return _id_of(props), parts

    def delete(self, _physical_id: str, props: Document, /) -> None:
        self._undo("RevokePermissions", _as_request(props))


def _as_request(props: Document) -> Document:
    return {("CatalogId" if name == "Catalog" else name): value for name, value in props.items()}


def _id_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
