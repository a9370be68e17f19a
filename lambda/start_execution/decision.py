"""The audit trail of approvals and rejections: who decided, when, and with which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DECIDED = ("Approved", "Rejected")


def is_decision(event: Mapping[str, Any]) -> bool:
    """Tell whether a change of a model package is a decision, rather than a change of something else about it."""
    detail = event["detail"]
    changed = detail.get("UpdatedModelPackageFields")
    return detail.get("ModelApprovalStatus") in DECIDED and (changed is None or "ModelApprovalStatus" in changed)


def decided_by(package: Mapping[str, Any]) -> str:
    """Name who changed a package last: the ARN of a role, a user or a Studio profile; ``unknown`` where it is not said.

    Args:
        package: What ``DescribeModelPackage`` says.
    """
    context = package.get("LastModifiedBy") or package.get("CreatedBy") or {}
    identity = context.get("IamIdentity", {})
    return str(context.get("UserProfileArn") or identity.get("Arn") or "unknown")


def record_decision(
    dynamodb: Any, package: Mapping[str, Any], table: str, workload: str, event: Mapping[str, Any]
) -> None:
    """Write a decision into the audit trail; deliveries of one event write the same item.

    Args:
        package: What ``DescribeModelPackage`` says.
    """
    detail = event["detail"]
    arn, status = detail["ModelPackageArn"], detail["ModelApprovalStatus"]
    named = arn.partition(":model-package/")[2]
    dynamodb.put_item(
        TableName=table,
        Item={
            "workload": {"S": workload},
            "event": {"S": f"model-{status.lower()}#{named}#{event['id']}"},
            "model_package_arn": {"S": arn},
            "by": {"S": decided_by(package)},
            "description": {"S": package.get("ApprovalDescription", "")},
            "at": {"S": event["time"]},
        },
    )
