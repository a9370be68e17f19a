"""Roles that those who deliver data take."""

from __future__ import annotations

from collections.abc import Sequence

import jsii
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.place import PARTITION


@jsii.implements(iam.IGrantable)
class ProducerRole(Construct):
    """Defines a role that named roles and users may take to deliver data, in this account or another.

    It may do nothing until something is granted to it.

    Args:
        producers: Their ARNs.
        description: What is delivered.

    Attributes:
        role: The role.
    """

    def __init__(self, scope: Construct, construct_id: str, *, producers: Sequence[str], description: str) -> None:
        super().__init__(scope, construct_id)
        arns = [f"arn:{PARTITION}:{arn.split(':', 2)[2]}" for arn in producers]
        accounts = sorted({arn.split(":")[4] for arn in producers})
        trusted = iam.CompositePrincipal(*(iam.AccountPrincipal(account) for account in accounts))
        # By its name, a producer that was deleted and made again is still the same one.
        conditions = {"StringEquals": {"aws:PrincipalArn": arns}}
        self.role = iam.Role(self, "Role", description=description, assumed_by=trusted.with_conditions(conditions))

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The role, so that grants can be given to those who take it."""
        return self.role
