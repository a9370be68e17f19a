"""The people who work with a lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Tags
from aws_cdk import aws_athena as athena
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.grants import acknowledge, arn, grant, of_this_account
from constructs_lib.names.governance import PERSONAS, READ, people_workgroup

SERVICE = "sagemaker.amazonaws.com"
"""Takes a persona's role for its notebooks."""

_CATALOGUE = (
    "glue:GetDatabase",
    "glue:GetDatabases",
    "glue:GetTable",
    "glue:GetTables",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:BatchGetPartition",
)
_QUERIES = (
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetQueryResultsStream",
    "athena:ListQueryExecutions",
    "athena:BatchGetQueryExecution",
    "athena:GetWorkGroup",
    "athena:BatchGetNamedQuery",
    "athena:GetNamedQuery",
    "athena:ListNamedQueries",
)
_AUDIT = (
    "lakeformation:DescribeResource",
    "lakeformation:GetDataLakeSettings",
    "lakeformation:GetEffectivePermissionsForPath",
    "lakeformation:GetLFTag",
    "lakeformation:GetResourceLFTags",
    "lakeformation:ListLFTags",
    "lakeformation:ListPermissions",
    "lakeformation:ListResources",
)
_NO_RESOURCES = {
    "AwsSolutions-IAM5[Resource::*]": "Lake Formation knows no resources here; its own grants decide what is handed out"
}
_MANAGED = {"AwsSolutions-ATH1": "Results stay in Athena's own encrypted storage, so that people need no S3 permission"}


class Personas(Construct):
    """Defines a role for each persona that has none yet, and the workgroup that they query in.

    A role of ours may ask the catalogue and, where the persona reads rows, query; it has no permission on S3 or keys:
    Lake Formation decides what comes back. Whoever of the account is allowed ``sts:AssumeRole`` on it and carries the
    principal tag ``gapless:<stage>`` with the persona's name may take it. A role that is given stays as it is. A
    warehouse knows the persona by the role's tag ``RedshiftDbRoles``.

    Args:
        stage: Whose lake it is.
        roles: Persona to the ARN of the role that its people have already, for some personas, or none.
        databases: Names of the catalogue databases that they may ask about.
        workloads: Whose tables they may ask about.
        in_studio: Whether SageMaker may take the roles too, for notebooks of this account. Default: it may not.

    Attributes:
        workgroup_name: Physical name of the workgroup, ``<stage>-people``.
        role_arns: Persona to the ARN of its role.

    Raises:
        ValueError: There is no persona of a given name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        roles: Mapping[str, str],
        databases: Sequence[str],
        workloads: Sequence[str],
        in_studio: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        names = [persona.name for persona in PERSONAS]
        unknown = sorted(set(roles) - set(names))
        if unknown:
            raise ValueError(f"personas must be of {', '.join(names)}, got: {', '.join(unknown)}")
        self._catalogue = [
            arn("glue", "catalog"),
            *(arn("glue", f"database/{database}") for database in databases),
            *(arn("glue", f"table/{database}/{workload}_*") for database in databases for workload in workloads),
        ]
        self._stage, self._in_studio = stage, in_studio
        self.workgroup_name = people_workgroup(stage)
        self._define_workgroup(self.workgroup_name)
        self.role_arns: dict[str, str] = {}
        for persona in PERSONAS:
            given = roles.get(persona.name)
            made = given if given is not None else self._role(persona.name, persona.title, persona.permission == READ)
            self.role_arns[persona.name] = made

    def _role(self, name: str, title: str, reads: bool) -> str:
        role = iam.Role(
            self,
            "".join(word.capitalize() for word in name.split("_")),
            description=f"{title} of the lake",
            assumed_by=self._who_takes(name),
        )
        grant(role, _CATALOGUE, *self._catalogue)
        if reads:
            grant(role, _QUERIES, arn("athena", f"workgroup/{self.workgroup_name}"))
            grant(role, ["lakeformation:GetDataAccess"], "*")
        else:
            grant(role, _AUDIT, "*")
        acknowledge(role, _NO_RESOURCES)
        Tags.of(role).add("RedshiftDbRoles", name)
        return str(role.role_arn)

    def _who_takes(self, name: str) -> iam.IPrincipal:
        people = iam.PrincipalWithConditions(
            iam.AccountRootPrincipal(), {"StringEquals": {f"aws:PrincipalTag/gapless:{self._stage}": name}}
        )
        if not self._in_studio:
            return people
        return iam.CompositePrincipal(people, of_this_account(SERVICE))

    def _define_workgroup(self, name: str) -> None:
        workgroup = athena.CfnWorkGroup
        made = workgroup(
            self,
            "WorkGroup",
            name=name,
            state="ENABLED",
            work_group_configuration=workgroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                managed_query_results_configuration=workgroup.ManagedQueryResultsConfigurationProperty(enabled=True),
            ),
        )
        acknowledge(made, _MANAGED)
