"""Makes what a library of the CDK generates as narrow as what is written by hand here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.place import ACCOUNT

EXACT: Mapping[str, tuple[str, ...]] = {
    "codestar-connections:UseConnection": ("codeconnections:UseConnection", "codestar-connections:UseConnection"),
    "kms:GenerateDataKey*": ("kms:GenerateDataKey",),
    "kms:ReEncrypt*": ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    "s3:Abort*": ("s3:AbortMultipartUpload",),
    "s3:DeleteObject*": ("s3:DeleteObject",),
    "s3:GetBucket*": ("s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
    "s3:GetObject*": ("s3:GetObject", "s3:GetObjectVersion"),
    "s3:List*": ("s3:ListBucket",),
}
"""Actions as the CDK's grants write them to the actions that are meant; connections have two names."""

UNUSED = (":log-group:/aws/codebuild/", ":report-group/")
"""Parts of resources that nobody uses here: builds log to a group of the template and write no reports."""


def narrow(scope: Construct, *, log_arn: str, exact: Mapping[str, Sequence[str]]) -> None:
    """Rewrites the policies and trusts of roles below a scope; called when nothing is added to them any more.

    Wildcards in actions become the actions that are meant, statements for what nobody uses go (reports, batches of
    builds), and services take roles on behalf of this account only.

    Args:
        log_arn: The one log that builds write; what names another log of the template keeps it.
        exact: Action to its resources, where the CDK would allow it on all of them.
    """
    stack = Stack.of(scope)
    for construct in scope.node.find_all():
        if isinstance(construct, iam.CfnPolicy):
            document = stack.resolve(construct.policy_document)
            statements = [_narrowed(each, log_arn, exact) for each in document["Statement"] if not _is_unused(each)]
            construct.policy_document = {**document, "Statement": statements}
        elif isinstance(construct, iam.CfnRole):
            trust = stack.resolve(construct.assume_role_policy_document)
            construct.assume_role_policy_document = {**trust, "Statement": [_own(each) for each in trust["Statement"]]}


def _narrowed(statement: dict[str, Any], log_arn: str, exact: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    actions = [each for action in _listed(statement["Action"]) for each in EXACT.get(action, (action,))]
    narrowed = {**statement, "Action": actions[0] if len(actions) == 1 else sorted(set(actions))}
    if all(action.startswith("logs:") for action in actions) and not _is_exact(statement):
        narrowed["Resource"] = log_arn
    elif _is_open(statement) and all(action in exact for action in actions):
        narrowed["Resource"] = [resource for action in actions for resource in exact[action]]
    return narrowed


def _is_open(statement: Mapping[str, Any]) -> bool:
    return any(each == "*" or ":role/*" in str(each) for each in _listed(statement["Resource"]))


def _is_exact(statement: Mapping[str, Any]) -> bool:
    """Says whether the statement names log groups of the template: functions have logs of their own."""
    return all(isinstance(each, Mapping) and "Fn::GetAtt" in each for each in _listed(statement["Resource"]))


def _own(statement: dict[str, Any]) -> dict[str, Any]:
    if "Service" not in statement["Principal"]:
        return statement
    return {**statement, "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}


def _is_unused(statement: Mapping[str, Any]) -> bool:
    resources = _listed(statement["Resource"])
    if resources == ["*"] and all(action.startswith("codebuild:") for action in _listed(statement["Action"])):
        return True
    return all(any(part in str(resource) for part in UNUSED) for resource in resources)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
