"""``AWS::SageMaker::FeatureGroup``: made and changed as its resource schema says."""

from __future__ import annotations

from typing import Any

from local.server.cloudformation import typed
from local.server.host import Host
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.service_model import input_shape
from local.server.sagemaker.store import Document

_CHANGED_IN_PLACE = ("FeatureDefinitions", "OnlineStoreConfig", "ThroughputConfig")


class FeatureGroupType:
    """The type; its physical id is the group's name. Features can be added in place, and nothing else of them."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def _sagemaker(self) -> Any:
        return self._host.client("sagemaker")

    def create(self, _logical_id: str, props: dict[str, Any], _stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Create a group."""
        params = _shaped(props)
        self._sagemaker.create_feature_group(**params)
        return params["FeatureGroupName"], self._attributes(params["FeatureGroupName"])

    def update(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], _stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Add features, change the time to live or the throughput; everything else would replace the group."""
        old, new = _shaped(old_props), _shaped(new_props)
        fixed = sorted(name for name in {*old, *new} if _fixed(name, old) != _fixed(name, new))
        if fixed:
            raise invalid(
                f"{', '.join(fixed)}: CloudFormation cannot update a stack when a custom-named resource requires "
                f"replacing. Rename {physical_id} and update the stack again."
            )
        for change in _changes(physical_id, old, new):
            self._sagemaker.update_feature_group(**change)
        return physical_id, self._attributes(physical_id)

    def delete(self, physical_id: str, _props: dict[str, Any], /) -> None:
        """Delete a group; one that is gone already is no error."""
        try:
            self._sagemaker.delete_feature_group(FeatureGroupName=physical_id)
        except self._sagemaker.exceptions.ResourceNotFound:
            return

    def _attributes(self, name: str) -> dict[str, Any]:
        group = self._sagemaker.describe_feature_group(FeatureGroupName=name)
        return {"CreationTime": group["CreationTime"].isoformat(), "FeatureGroupStatus": group["FeatureGroupStatus"]}


def register_feature_groups(host: Host) -> None:
    """Make the type known to CloudFormation."""
    made = FeatureGroupType(host)
    host.add_resource_type("AWS::SageMaker::FeatureGroup", create=made.create, update=made.update, delete=made.delete)


def _shaped(props: dict[str, Any]) -> Document:
    shaped: Document = typed(props, input_shape("CreateFeatureGroup"))
    return shaped


def _fixed(name: str, params: Document) -> Any:
    """What of a property cannot change without another group in its place."""
    value = params.get(name)
    if name == "OnlineStoreConfig" and value is not None:
        return {key: each for key, each in value.items() if key != "TtlDuration"}
    return None if name in _CHANGED_IN_PLACE else value


def _changes(name: str, old: Document, new: Document) -> list[Document]:
    before = {each["FeatureName"]: each for each in old["FeatureDefinitions"]}
    after = {each["FeatureName"]: each for each in new["FeatureDefinitions"]}
    lost = sorted(feature for feature, each in before.items() if after.get(feature) != each)
    if lost:
        raise invalid(f"FeatureDefinitions: features cannot be removed or changed, only added: {', '.join(lost)}")
    changes: list[Document] = []
    added = [each for feature, each in after.items() if feature not in before]
    if added:
        changes.append({"FeatureAdditions": added})
    duration = new.get("OnlineStoreConfig", {}).get("TtlDuration")
    if duration != old.get("OnlineStoreConfig", {}).get("TtlDuration"):
        changes.append({"OnlineStoreConfig": {"TtlDuration": duration or {}}})
    if new.get("ThroughputConfig") != old.get("ThroughputConfig"):
        changes.append({"ThroughputConfig": new.get("ThroughputConfig", {"ThroughputMode": "OnDemand"})})
    return [{"FeatureGroupName": name, **change} for change in changes]
