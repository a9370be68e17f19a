"""A data warehouse beside the lake: Redshift Serverless, which costs nothing while nobody asks it anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_redshiftserverless as redshift
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant
from constructs_lib.names.naming import check_stage

FEWEST_ZONES = 3
"""Redshift Serverless wants subnets in three availability zones."""

_DATABASE = "lake"
_ADMINISTRATOR = "admin"
_OWN_STATEMENTS = {
    "AwsSolutions-IAM5[Resource::*]": "Redshift's Data API knows no resource for a statement; a condition limits it to "
    "statements of the caller"
}


class Warehouse(Construct):
    """Defines a Redshift Serverless namespace and workgroup in private subnets, and the role it reaches the lake with.

    The administrator's password is made and turned over by Secrets Manager; nobody ever sees it. Queries are paid for
    while they run.

    Args:
        stage: What names start with.
        lake: What it reads and writes.
        workloads: Whose curated rows it may load, and whose exports it may write.
        key: Encrypts what is stored.
        vpc_id, subnet_ids: Where it is reached; at least three subnets in as many zones.
        base_rpu: Redshift processing units that a query starts with, 8 to 512 in steps of 8.
        max_rpu: The most that it may grow to; also the limit of what an hour can cost.
        removal_policy: What happens to the stored data when the stack goes. Default: it stays.

    Attributes:
        workgroup_name: Physical name.
        workgroup_arn: ARN.
        database: Name of the database.
        secret_name: Name of the administrator's secret, which Redshift gives it.
        role: What COPY and UNLOAD run with.

    Raises:
        ValueError: Fewer than three subnets, or capacity that Redshift does not know.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        lake: DataLake,
        workloads: Sequence[str],
        key: kms.IKey,
        vpc_id: str,
        subnet_ids: Sequence[str],
        base_rpu: int = 8,
        max_rpu: int = 32,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        check_capacity(base_rpu, max_rpu)
        if len(subnet_ids) < FEWEST_ZONES:
            raise ValueError(f"a warehouse needs at least {FEWEST_ZONES} subnets, got: {len(subnet_ids)}")
        self._key = key
        self.workgroup_name = f"{check_stage(stage)}-lake"
        self.database = _DATABASE
        self.role = ServiceRole(
            self,
            "Role",
            service="redshift.amazonaws.com",
            also=("redshift-serverless.amazonaws.com",),
            description="COPY and UNLOAD between lake and warehouse",
        )
        for workload in workloads:
            lake.grant_read(self.role, "curated", f"{workload}/")
            lake.grant_write(self.role, "curated", f"{workload}/exports/")
            lake.grant_delete(self.role, "curated", f"{workload}/exports/")
        namespace = redshift.CfnNamespace(
            self,
            "Namespace",
            namespace_name=self.workgroup_name,
            db_name=_DATABASE,
            admin_username=_ADMINISTRATOR,
            manage_admin_password=True,
            admin_password_secret_kms_key_id=key.key_arn,
            kms_key_id=key.key_arn,
            iam_roles=[self.role.role_arn],
            log_exports=["userlog", "connectionlog", "useractivitylog"],
        )
        namespace.apply_removal_policy(removal_policy)
        self.role.come_before(namespace)
        self.secret_name = f"redshift!{self.workgroup_name}-{_ADMINISTRATOR}"
        group = ec2.CfnSecurityGroup(
            self,
            "SecurityGroup",
            group_description="Warehouse: nothing in, HTTPS out",
            vpc_id=vpc_id,
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp", from_port=443, to_port=443, cidr_ip="0.0.0.0/0", description="HTTPS"
                )
            ],
        )
        workgroup = redshift.CfnWorkgroup(
            self,
            "Workgroup",
            workgroup_name=self.workgroup_name,
            namespace_name=self.workgroup_name,
            base_capacity=base_rpu,
            max_capacity=max_rpu,
            publicly_accessible=False,
            subnet_ids=list(subnet_ids),
            security_group_ids=[group.attr_group_id],
            config_parameters=[
                redshift.CfnWorkgroup.ConfigParameterProperty(parameter_key="require_ssl", parameter_value="true")
            ],
        )
        workgroup.apply_removal_policy(removal_policy)
        workgroup.add_resource_dependency(namespace)
        self.workgroup_arn: str = workgroup.attr_workgroup_workgroup_arn

    def grant_administer(self, role: iam.Role) -> None:
        """Lets a role run statements as the administrator, through the Data API."""
        grant(role, ["redshift-data:BatchExecuteStatement", "redshift-data:ExecuteStatement"], self.workgroup_arn)
        grant(role, ["secretsmanager:GetSecretValue"], arn("secretsmanager", f"secret:{self.secret_name}-*"))
        grant(role, ["kms:Decrypt"], self._key.key_arn)
        _grant_own_statements(role)

    def grant_connect(self, persona: str, role_arn: str) -> None:
        """Lets the people of a persona ask the warehouse, under their own names.

        What they may see there comes from their role's tag ``RedshiftDbRoles``: the name of the persona.

        Args:
            persona: Its name.
            role_arn: Its role, of this account.
        """
        role = iam.Role.from_role_arn(self, "".join(word.capitalize() for word in persona.split("_")), role_arn)
        grant(role, ["redshift-serverless:GetCredentials", "redshift-data:ExecuteStatement"], self.workgroup_arn)
        _grant_own_statements(role)


def _grant_own_statements(role: iam.IRole) -> None:
    grant(
        role,
        ["redshift-data:CancelStatement", "redshift-data:DescribeStatement", "redshift-data:GetStatementResult"],
        "*",
        conditions={"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}},
    )
    acknowledge(cast(Construct, role), _OWN_STATEMENTS)


def check_capacity(base_rpu: int, max_rpu: int) -> None:
    """Refuses capacities that Redshift Serverless does not offer.

    Raises:
        ValueError: They are no multiples of 8 from 8 to 512, or the most is less than the base.
    """
    wrong = [rpu for rpu in (base_rpu, max_rpu) if not (8 <= rpu <= 512 and rpu % 8 == 0)]
    if wrong:
        raise ValueError(f"capacity must be a multiple of 8 from 8 to 512, got: {wrong[0]}")
    if max_rpu < base_rpu:
        raise ValueError(f"max_rpu must be at least base_rpu ({base_rpu}), got: {max_rpu}")
