"""CreateFeatureGroup and its relatives."""

from __future__ import annotations

from typing import Any

from local.server.host import Caller, Denied, ServiceError
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.feature_store.storage import RecordStorage
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.resources import FEATURE_GROUP
from local.server.sagemaker.s3_data import Address
from local.server.sagemaker.store import AlreadyThere, Document

_RESERVED = ("is_deleted", "write_time", "api_invocation_time")
_CREATED = {"FeatureGroupStatus": "Created", "LastUpdateStatus": {"Status": "Successful"}}


class FeatureGroups:
    """Groups of features: what a record is identified by, when it happened, what is known of it."""

    def __init__(self, platform: Platform, records: RecordStorage) -> None:
        self._platform = platform
        self._store = platform.store
        self._records = records

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateFeatureGroup": self.create,
            "DescribeFeatureGroup": lambda params, _caller: {**self.group(params["FeatureGroupName"]), "NextToken": ""},
            "UpdateFeatureGroup": self.update,
            "DeleteFeatureGroup": self.delete,
        }

    def group(self, name_or_arn: str) -> Document:
        """A group by its name or its ARN.

        Raises:
            ServiceError: There is none (``ResourceNotFound``).
        """
        name = name_or_arn.rpartition("/")[2]
        group = self._store.find(FEATURE_GROUP.name, name)
        if group is None:
            raise ServiceError("ResourceNotFound", f"Resource Not Found: FeatureGroup [{name}] does not exist")
        return group

    def create(self, params: Document, caller: Caller) -> Document:
        """Create a group; it can be written to at once."""
        name = params["FeatureGroupName"]
        arn = self._platform.arn(FEATURE_GROUP, name)
        group = {**params, "FeatureGroupArn": arn, **_CREATED}
        _check(group)
        if "OfflineStoreConfig" in group:
            self._check_role(group, caller, arn)
        self._platform.tag_new(caller, arn, group)
        try:
            made = self._store.add(FEATURE_GROUP.name, name, group)
        except AlreadyThere as error:
            raise ServiceError("ResourceInUse", f"Resource Already Exists: FeatureGroup [{name}]") from error
        return self._with_places(made)

    def update(self, params: Document, _caller: Caller) -> Document:
        """Add features, or change the time to live or the throughput: one of them at a time, as on AWS."""
        name = self.group(params["FeatureGroupName"])["FeatureGroupName"]
        asked = sorted(params.keys() - {"FeatureGroupName"})
        if len(asked) != 1:
            raise invalid(f"give one of FeatureAdditions, OnlineStoreConfig and ThroughputConfig, got: {asked}")
        return self._store.edit(FEATURE_GROUP.name, name, lambda group: _changes(group, params))

    def delete(self, params: Document, _caller: Caller) -> Document:
        """Delete a group and its newest records; what is in S3 stays."""
        group = self.group(params["FeatureGroupName"])
        self._store.remove(FEATURE_GROUP.name, group["FeatureGroupName"])
        self._store.remove_tags(group["FeatureGroupArn"])
        self._records.clear(group["_Store"])
        return {}

    def _with_places(self, group: Document) -> Document:
        """Name the store and the folder of this life of the group: both carry the time of its creation."""
        name, settings = group["FeatureGroupName"], self._platform.settings
        folder = f"{name}-{int(group['CreationTime'])}"
        changes: dict[str, Any] = {"_Store": folder}
        if "OfflineStoreConfig" in group:
            config = dict(group["OfflineStoreConfig"])
            storage = dict(config["S3StorageConfig"])
            place = Address.parse(storage["S3Uri"]).join(
                settings.account, "sagemaker", settings.region, "offline-store", folder, "data"
            )
            config["S3StorageConfig"] = {**storage, "ResolvedOutputS3Uri": str(place)}
            changes |= {"OfflineStoreConfig": config, "OfflineStoreStatus": {"Status": "Active"}}
        made = self._store.change(FEATURE_GROUP.name, name, **changes)
        if "OfflineStoreConfig" in group:
            self._store.add("FeatureHistory", folder, made)
        return made

    def _check_role(self, group: Document, caller: Caller, arn: str) -> None:
        role = group.get("RoleArn")
        if role is None:
            raise invalid("RoleArn is required for a feature group with an offline store")
        credentials = self._platform.pass_role(caller, role, arn)
        place = Address.parse(group["OfflineStoreConfig"]["S3StorageConfig"]["S3Uri"])
        acting = Caller(credentials.access_key, role)
        try:
            self._platform.host.check(acting, "s3:GetBucketAcl", f"arn:aws:s3:::{place.bucket}")
            self._platform.host.check(acting, "s3:PutObject", f"arn:aws:s3:::{place.join('x').bucket}/{place.key}/x")
        except Denied as error:
            raise invalid(f"The execution role cannot write the offline store: {error}") from error


def _check(group: Document) -> None:
    """Refuse what AWS refuses of a group, and by name what is not available here."""
    names = [definition["FeatureName"] for definition in group["FeatureDefinitions"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise invalid(f"FeatureDefinitions has {twice[0]} more than once")
    _check_new(group["FeatureDefinitions"])
    types = {definition["FeatureName"]: definition["FeatureType"] for definition in group["FeatureDefinitions"]}
    for role, allowed in (
        ("RecordIdentifierFeatureName", ("String", "Integral")),
        ("EventTimeFeatureName", ("String", "Fractional")),
    ):
        if group[role] not in types:
            raise invalid(f"{role} {group[role]} is not in FeatureDefinitions")
        if types[group[role]] not in allowed:
            raise invalid(f"{role} {group[role]} must be {' or '.join(allowed)}, not {types[group[role]]}")
    online = group.get("OnlineStoreConfig", {})
    if not online.get("EnableOnlineStore") and "OfflineStoreConfig" not in group:
        raise invalid("at least one of OnlineStoreConfig and OfflineStoreConfig must be given")
    if online.get("StorageType", "Standard") != "Standard":
        raise unsupported(f"StorageType {online['StorageType']} of a feature group")
    offline = group.get("OfflineStoreConfig", {})
    if offline.get("TableFormat", "Default") == "Iceberg":
        raise unsupported("TableFormat Iceberg of a feature group")
    if offline and not offline.get("DisableGlueTableCreation"):
        raise unsupported("an offline store without DisableGlueTableCreation")


def _check_new(definitions: list[Document]) -> None:
    for definition in definitions:
        if definition["FeatureName"] in _RESERVED:
            raise invalid(f"FeatureName {definition['FeatureName']} is reserved: {', '.join(_RESERVED)}")
        if "CollectionType" in definition:
            raise unsupported(f"CollectionType of feature {definition['FeatureName']}")


def _changes(group: Document, params: Document) -> None:
    if "FeatureAdditions" in params:
        names = {definition["FeatureName"] for definition in group["FeatureDefinitions"]}
        for definition in params["FeatureAdditions"]:
            if definition["FeatureName"] in names:
                raise invalid(f"feature {definition['FeatureName']} exists already in the feature group")
        _check_new(params["FeatureAdditions"])
        group["FeatureDefinitions"] = [*group["FeatureDefinitions"], *params["FeatureAdditions"]]
    if "ThroughputConfig" in params:
        group["ThroughputConfig"] = {**group.get("ThroughputConfig", {}), **params["ThroughputConfig"]}
    if "OnlineStoreConfig" in params:
        online = {key: value for key, value in group.get("OnlineStoreConfig", {}).items() if key != "TtlDuration"}
        duration = params["OnlineStoreConfig"].get("TtlDuration") or {}
        kept = {"TtlDuration": duration} if duration.get("Value") is not None else {}
        group["OnlineStoreConfig"] = {**online, **kept}
    group["LastUpdateStatus"] = {"Status": "Successful"}
