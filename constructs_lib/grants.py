"""Roles that one service takes, and permissions that go onto them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from aws_cdk import Acknowledgment, CfnResource, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.place import ACCOUNT, PARTITION, REGION

_ACCOUNT = f"{REGION}:{ACCOUNT}"


@cache
def of_this_account(*services: str) -> iam.IPrincipal:
    """Returns services, each only on behalf of this account."""
    condition = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    principals = [iam.ServicePrincipal(service, conditions=condition) for service in services]
    return principals[0] if len(principals) == 1 else iam.CompositePrincipal(*principals)


class ServiceRole(iam.Role):
    """Defines a role that an AWS service may take, and only on behalf of this account.

    Args:
        service: Such as ``glue.amazonaws.com``.
        description: What is done with it.
        also: Other names under which the same service takes it. Default: none.
        name: Physical name, where another account has to know it. Default: CloudFormation makes one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        description: str,
        also: Sequence[str] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            role_name=name,
            description=description,
            assumed_by=of_this_account(service, *also),
        )

    def come_before(self, resource: CfnResource) -> None:
        """Lets a resource be made after the role has its permissions; the role must have some already."""
        resource.node.add_dependency(self.node.find_child("DefaultPolicy"))


METRICS_WITHOUT_RESOURCE = {
    "AwsSolutions-IAM5[Resource::*]": "CloudWatch knows no resources for metrics; the namespace is fixed by a condition"
}
_BY_NAME = "The security configuration is another stack's; it is named here and encrypts output, logs and bookmarks"
GLUE_ENCRYPTION = {"AwsSolutions-GL1": _BY_NAME, "AwsSolutions-GL3": _BY_NAME}


def arn(service: str, resource: str) -> str:
    """Returns the ARN of a resource of this account and region."""
    return f"arn:{PARTITION}:{service}:{_ACCOUNT}:{resource}"


def grant(
    grantee: iam.IGrantable,
    actions: Iterable[str],
    *resources: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Lets somebody do the actions on the resources."""
    principal = grantee if isinstance(grantee, iam.Role) else grantee.grant_principal
    iam.Grant.add_to_principal(
        grantee=principal, actions=list(actions), resource_arns=list(resources), conditions=conditions
    )


def grant_pass_role(grantee: iam.IGrantable, role: iam.IRole, service: str) -> None:
    """Lets somebody hand exactly this role to exactly this service."""
    grant(
        grantee,
        ["iam:PassRole"],
        role.role_arn,
        conditions={"StringEquals": {"iam:PassedToService": service}},
    )


def grant_metrics(grantee: iam.IGrantable, *namespaces: str) -> None:
    """Lets somebody publish metrics of these namespaces, which may end in ``*``; CloudWatch knows no resources."""
    grant(
        grantee,
        ["cloudwatch:PutMetricData"],
        "*",
        conditions={"StringLike": {"cloudwatch:namespace": list(namespaces)}},
    )


def acknowledge(scope: Construct, findings: Mapping[str, str]) -> None:
    """Accepts single findings of the AwsSolutions pack.

    Args:
        scope: The construct that has the findings, such as a role.
        findings: Finding, such as ``AwsSolutions-IAM5[Resource::*]``, to the reason why it is right.
    """
    Validations.of(scope).acknowledge(
        *(Acknowledgment(id=f"AwsSolutions::{finding}", reason=reason) for finding, reason in findings.items())
    )
