"""``AWS::Lambda::Alias`` with the update policy ``CodeDeployLambdaAliasUpdate``; without it as ministack makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.server import hooks
from local.server.codedeploy.deployments import Deployments, Move
from local.server.codedeploy.groups import find_group
from local.server.host import Host
from local.server.sagemaker.store import Store

_TYPE = "AWS::Lambda::Alias"
_POLICY = "CodeDeployLambdaAliasUpdate"


class AliasType:
    """Aliases: ministack makes and deletes them, a deployment moves them."""

    def __init__(self, host: Host, store: Store, deployments: Deployments) -> None:
        self._host = host
        self._store = store
        self._deployments = deployments
        self._original = hooks.get("services.cloudformation.provisioners:_RESOURCE_HANDLERS")[_TYPE]

    def create(self, logical_id: str, props: dict[str, Any], stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Make an alias; CloudFormation deploys only changes."""
        made: tuple[str, dict[str, Any]] = self._original["create"](logical_id, props, stack_name)
        return made

    def delete(self, physical_id: str, props: dict[str, Any], /) -> None:
        """Delete an alias."""
        self._original["delete"](physical_id, props)

    def update(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Change an alias: by a deployment, if its update policy says so and it is to serve another version.

        Raises:
            DeploymentFailed: It serves the version before.
        """
        policy = self._policy(physical_id, stack_name)
        if policy is not None and self._same_alias(old_props, new_props):
            self._deploy(policy, new_props)
        changed: tuple[str, dict[str, Any]] = self._original["update"](physical_id, old_props, new_props, stack_name)
        return changed

    @staticmethod
    def _same_alias(old_props: Mapping[str, Any], new_props: Mapping[str, Any]) -> bool:
        return all(old_props.get(name) == new_props.get(name) for name in ("FunctionName", "Name"))

    def _deploy(self, policy: Mapping[str, Any], props: Mapping[str, Any]) -> None:
        function, alias = str(props["FunctionName"]), str(props["Name"])
        serves = self._host.client("lambda").get_alias(FunctionName=function, Name=alias)["FunctionVersion"]
        wanted = str(props["FunctionVersion"])
        if serves == wanted:
            return
        group = find_group(self._store, policy["ApplicationName"], policy["DeploymentGroupName"])
        move = Move(
            function=function,
            alias=alias,
            old_version=serves,
            new_version=wanted,
            before_hook=policy.get("BeforeAllowTrafficHook"),
            after_hook=policy.get("AfterAllowTrafficHook"),
        )
        self._deployments.run(group, move)

    def _policy(self, physical_id: str, stack_name: str) -> dict[str, Any] | None:
        """The update policy of an alias, with what it refers to put in."""
        cloudformation = self._host.client("cloudformation")
        template = cloudformation.get_template(StackName=stack_name)["TemplateBody"]
        content = json.loads(template) if isinstance(template, str) else template
        found = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
        physical = {each["LogicalResourceId"]: each.get("PhysicalResourceId") for each in found}
        for logical_id, resource in content["Resources"].items():
            policy = resource.get("UpdatePolicy", {}).get(_POLICY)
            if resource["Type"] == _TYPE and policy is not None and physical.get(logical_id) == physical_id:
                return {name: _resolved(value, physical) for name, value in policy.items()}
        return None


def _resolved(value: Any, physical: Mapping[str, Any]) -> str:
    """A value of an update policy.

    Raises:
        ValueError: It is neither a text nor a reference to a resource of the stack.
    """
    if isinstance(value, str):
        return value
    name = value.get("Ref") if isinstance(value, dict) and len(value) == 1 else None
    if name is None or physical.get(name) is None:
        raise ValueError(f"the local server cannot read {value!r:.200} in {_POLICY}; allowed: texts and Ref")
    return str(physical[name])
