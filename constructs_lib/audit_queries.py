"""The audit can be asked by SQL: tables over the trail and over what was decided, and queries to start from."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.audit_trail import AuditTrail
from constructs_lib.catalogue_table import json_table, trail_table
from constructs_lib.grants import acknowledge, arn, grant
from constructs_lib.keys import READ_ACTIONS
from constructs_lib.lake_grants import grant_database, grant_rows
from constructs_lib.named_queries import NamedQueries
from constructs_lib.names.audit_queries import (
    DAY,
    DECISION_COLUMNS,
    DECISIONS,
    EXPORTS,
    TRAIL,
    TRAIL_COLUMNS,
    audit_database,
    audit_queries,
    audit_workgroup,
)
from constructs_lib.place import ACCOUNT, REGION

_NIGHTLY: Final = "cron(31 2 * * ? *)"
_DAY: Final = 24 * 3600
_ASKING: Final = (
    "athena:BatchGetNamedQuery",
    "athena:BatchGetQueryExecution",
    "athena:GetNamedQuery",
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetQueryResultsStream",
    "athena:GetWorkGroup",
    "athena:ListNamedQueries",
    "athena:ListQueryExecutions",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
)
_MANAGED: Final = {
    "AwsSolutions-ATH1": "Results stay in Athena's own encrypted storage, so that auditors need no place of their own"
}


class AuditQueries(Construct):
    """Defines a database of the audit, its tables, a workgroup with saved queries, and who may ask.

    The trail's table has a partition for each day that nobody has to add. What was decided is read in the newest of the
    exports that ``AuditExport`` makes.

    Args:
        stage: Whose audit it is.
        trail: The trail.
        retention_days: How long it is kept, in days.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        trail: AuditTrail,
        retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._stage, self._trail = stage, trail
        self._database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=ACCOUNT,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=audit_database(stage), description="Who did what with objects and models"
            ),
        )
        self._database.apply_removal_policy(trail.removal_policy)
        self._define_tables(retention_days)
        self._define_workgroup()

    def grant_ask(self, persona: str, role_arn: str, *, own: bool) -> None:
        """Lets the people of a persona ask; a role that is not the platform's gets Lake Formation's leave only.

        Args:
            persona: Its name.
            role_arn: Its role.
            own: Whether the role is the platform's.
        """
        name = "".join(word.capitalize() for word in persona.split("_"))
        database = audit_database(self._stage)
        grants = [
            grant_database(self, f"{name}Database", principal=role_arn, database=database),
            *(
                grant_rows(
                    self, f"{name}{table.title().replace('_', '')}", principal=role_arn, database=database, table=table
                )
                for table in (TRAIL, DECISIONS)
            ),
        ]
        for each, made_before in zip(grants, (self._database, *self._tables), strict=True):
            each.add_resource_dependency(made_before)
        if not own:
            return
        role = iam.Role.from_role_arn(self, name, role_arn)
        bucket = self._trail.bucket
        grant(role, _ASKING, arn("athena", f"workgroup/{audit_workgroup(self._stage)}"))
        grant(
            role,
            ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"],
            arn("glue", "catalog"),
            arn("glue", f"database/{database}"),
            *(arn("glue", f"table/{database}/{table}") for table in (TRAIL, DECISIONS)),
        )
        prefixes = [f"AWSLogs/{ACCOUNT}/", EXPORTS]
        grant(role, ["s3:GetObject"], *(f"{bucket.bucket_arn}/{prefix}*" for prefix in prefixes))
        grant(
            role,
            ["s3:GetBucketLocation", "s3:ListBucket"],
            bucket.bucket_arn,
            conditions={"StringLikeIfExists": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        )
        grant(role, READ_ACTIONS, self._trail.key.key_arn)

    def _define_tables(self, retention_days: int) -> None:
        database, bucket = audit_database(self._stage), self._trail.bucket.bucket_name
        events = f"s3://{bucket}/AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/"
        self._tables = [
            trail_table(
                self,
                "Trail",
                database=database,
                name=TRAIL,
                location=events,
                columns=TRAIL_COLUMNS,
                description="Every read and write of an object of the lake",
                day=DAY,
                days=retention_days,
            ),
            json_table(
                self,
                "Decisions",
                database=database,
                name=DECISIONS,
                location=f"s3://{bucket}/{EXPORTS}AWSDynamoDB/",
                columns=DECISION_COLUMNS,
                description="Exports of the audit table, one below the other; read the newest",
            ),
        ]
        for each in self._tables:
            each.add_resource_dependency(self._database)
            each.apply_removal_policy(self._trail.removal_policy)

    def _define_workgroup(self) -> None:
        name = audit_workgroup(self._stage)
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
        queries = NamedQueries(
            self, "Queries", prefix=f"{self._stage}-audit-", workgroup=name, queries=audit_queries(self._stage)
        )
        queries.node.add_dependency(made)
