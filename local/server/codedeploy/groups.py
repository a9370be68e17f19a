"""Applications and deployment groups of the compute platform Lambda."""

from __future__ import annotations

import re
from typing import Any

from local.server.sagemaker.store import Document, Store

GROUP = "DeploymentGroup"
_CANARY = re.compile(r"CodeDeployDefault\.LambdaCanary(\d+)Percent(\d+)Minutes")
_AT_ONCE = "CodeDeployDefault.LambdaAllAtOnce"
_KNOWN = frozenset(
    {
        "AlarmConfiguration",
        "ApplicationName",
        "AutoRollbackConfiguration",
        "DeploymentConfigName",
        "DeploymentGroupName",
        "DeploymentStyle",
        "ServiceRoleArn",
        "Tags",
    }
)


def application(_logical_id: str, props: dict[str, Any], _stack_name: str, /) -> tuple[str, dict[str, Any]]:
    """Make an application, which is nothing but a name.

    Raises:
        ValueError: It is not for functions.
    """
    platform = props.get("ComputePlatform")
    if platform != "Lambda":
        raise ValueError(f"ComputePlatform {platform} is not available on the local server; allowed: Lambda")
    return str(props["ApplicationName"]), {}


class GroupType:
    """``AWS::CodeDeploy::DeploymentGroup``; its physical id is its name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, _logical_id: str, props: dict[str, Any], _stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Create a group.

        Raises:
            ValueError: It has what nobody applies.
        """
        group = _parsed(props)
        self._store.add(GROUP, _key(props), group)
        return group["name"], {}

    def update(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Change a group; another name makes another one."""
        if _key(old_props) != _key(new_props):
            return self.create("", new_props, stack_name)
        self._store.change(GROUP, _key(new_props), **_parsed(new_props))
        return physical_id, {}

    def delete(self, _physical_id: str, props: dict[str, Any], /) -> None:
        """Delete a group."""
        self._store.remove(GROUP, _key(props))


def find_group(store: Store, application_name: str, name: str) -> Document:
    """A group.

    Raises:
        ValueError: There is none.
    """
    found = store.find(GROUP, f"{application_name}/{name}")
    if found is None:
        raise ValueError(f"there is no deployment group {name} of application {application_name}")
    return found


def _key(props: dict[str, Any]) -> str:
    return f"{props['ApplicationName']}/{props['DeploymentGroupName']}"


def _parsed(props: dict[str, Any]) -> Document:
    unknown = sorted(set(props) - _KNOWN)
    if unknown:
        raise ValueError(f"the local server does not apply {', '.join(unknown)} of AWS::CodeDeploy::DeploymentGroup")
    percent, minutes = _shift(props.get("DeploymentConfigName", _AT_ONCE))
    alarms = props.get("AlarmConfiguration", {})
    watched = alarms.get("Alarms", []) if str(alarms.get("Enabled", True)).lower() == "true" else []
    return {
        "application": props["ApplicationName"],
        "name": props["DeploymentGroupName"],
        "role": props["ServiceRoleArn"],
        "percent": percent,
        "minutes": minutes,
        "alarms": [alarm["Name"] for alarm in watched],
    }


def _shift(config: str) -> tuple[int, int]:
    if config == _AT_ONCE:
        return 100, 0
    canary = _CANARY.fullmatch(config)
    if canary is None:
        raise ValueError(f"{config} is not available on the local server; allowed: canaries and {_AT_ONCE}")
    return int(canary[1]), int(canary[2])
