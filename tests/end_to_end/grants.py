"""The grants of deployed roles, taken away one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from local.outputs import stack_name
from tests.end_to_end.live import Live

_LOGICAL_ID = re.compile(r"(?P<name>\w+)Role[0-9A-F]{8}")
_ARN = re.compile(r"arn:aws:(?P<service>[\w-]+):[\w-]*:\d*:(?P<resource>.+)")
_ZONES = ("landing", "validated", "quarantine", "curated", "datasets", "artefacts")

Document = dict[str, Any]


@dataclass(frozen=True)
class Grant:
    """One action on one resource; the resource as a person reads it, ``s3:landing/flight_delays/*``."""

    role: str
    action: str
    resource: str


@dataclass(frozen=True)
class Role:
    """A deployed role with its only policy.

    Args:
        name: The construct's, such as ``DataMachine``.
        physical_name: What IAM calls it.
        policy_name: Of the inline policy.
        statements: Of that policy.
    """

    name: str
    physical_name: str
    policy_name: str
    statements: Sequence[Document]


@dataclass(frozen=True)
class Roles:
    """The roles of a deployed stack by name.

    Args:
        stack: Name of the stack. Default: the workload's.
    """

    live: Live
    stack: str | None = None

    @cached_property
    def by_name(self) -> Mapping[str, Role]:
        """Every role of the stack."""
        stack = stack_name(self.live.settings) if self.stack is None else self.stack
        found = self.live.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        roles = [
            self._read(matched["name"], each["PhysicalResourceId"])
            for each in found
            if each["ResourceType"] == "AWS::IAM::Role"
            and (matched := _LOGICAL_ID.fullmatch(each["LogicalResourceId"]))
        ]
        assert len(roles) == sum(each["ResourceType"] == "AWS::IAM::Role" for each in found)
        return {role.name: role for role in roles}

    def _read(self, name: str, physical_name: str) -> Role:
        iam = self.live.client("iam")
        assert not iam.list_attached_role_policies(RoleName=physical_name)["AttachedPolicies"], name
        (policy,) = iam.list_role_policies(RoleName=physical_name)["PolicyNames"]
        document = iam.get_role_policy(RoleName=physical_name, PolicyName=policy)["PolicyDocument"]
        return Role(name, physical_name, policy, document["Statement"])

    @cached_property
    def grants(self) -> Sequence[Grant]:
        """Every action on every resource that the roles may do."""
        return [
            Grant(role.name, action, self.readable(resource))
            for role in self.by_name.values()
            for statement in role.statements
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
        ]

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """Names that are made while deploying, and what to call them."""
        live = self.live
        topic = live.client("sns").get_topic_attributes(TopicArn=live.outputs.on_call_topic_arn)["Attributes"]
        rule = live.client("s3").get_bucket_encryption(Bucket=live.outputs.landing_bucket)
        (lake,) = rule["ServerSideEncryptionConfiguration"]["Rules"]
        return {
            **{getattr(live.outputs, f"{zone}_bucket"): zone for zone in _ZONES},
            lake["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].rpartition(":")[2]: "lake",
            topic["KmsMasterKeyId"].rpartition(":")[2]: "on-call",
        }

    def readable(self, resource: str) -> str:
        """A resource without account, region and generated names."""
        matched = _ARN.fullmatch(resource)
        if matched is None:
            return resource
        text = f"{matched['service']}:{matched['resource']}"
        for name, called in self._names.items():
            text = text.replace(name, called)
        return text

    @contextmanager
    def without(self, name: str, actions: Sequence[str], resource: str) -> Iterator[None]:
        """Take actions away from a role for a while, on resources whose readable name matches a regular expression."""
        role, iam = self.by_name[name], self.live.client("iam")
        rest = [each for statement in role.statements for each in self._less(statement, actions, resource)]
        assert rest != role.statements, f"{name} has no {actions} on {resource!r}"

        def put(statements: Sequence[Document]) -> None:
            document = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=role.physical_name, PolicyName=role.policy_name, PolicyDocument=document)

        put(rest)
        try:
            yield
        finally:
            put(role.statements)

    def _less(self, statement: Document, actions: Sequence[str], resource: str) -> list[Document]:
        """What is left of a statement."""
        kept = [each for each in _listed(statement["Resource"]) if not re.search(resource, self.readable(each))]
        taken = [action for action in _listed(statement["Action"]) if action in actions]
        others = [action for action in _listed(statement["Action"]) if action not in actions]
        if not taken or len(kept) == len(_listed(statement["Resource"])):
            return [statement]
        left = [{**statement, "Action": others}] if others else []
        return left + ([{**statement, "Action": taken, "Resource": kept}] if kept else [])

    def denial(self, name: str, actions: Sequence[str]) -> str:
        """The regular expression of AWS's sentence: this role may not do one of these actions."""
        role = re.escape(self.by_name[name].physical_name)
        anyone = rf"(assumed-)?role/(service-role/)?{role}(/[^ ]+)?"
        return rf"{anyone} is not authorized to perform: ({'|'.join(map(re.escape, actions))})\b"


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
