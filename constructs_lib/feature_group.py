"""A group of features in SageMaker Feature Store."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from constructs_lib.catalogue_table import parquet_table
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import ServiceRole, grant
from constructs_lib.place import ACCOUNT, PARTITION, REGION

HISTORY_PARTITIONS = ("year", "month")
"""The history lies in one folder per hour; a month of them is one partition of its table."""

_CATALOG = "AwsDataCatalog"


class FeatureGroup(Construct):
    """Defines features of a kind of thing: the newest of each thing online, every one of them in the lake.

    Everything is encrypted with the lake's key. Features can be added later, in place; to take one away, to change a
    type, the key or the time takes another group. Nobody may read or write until a grant says so.

    Args:
        name: Physical name of the group.
        key: The feature that names the thing.
        event_time: The feature that says from when on the others were known.
        definitions: Feature, ``key`` and ``event_time`` among them, to ``String``, ``Integral`` or ``Fractional``.
        lake: Where the history goes, in the curated zone.
        prefix: Below which prefix; nothing else may lie there.
        table: Catalogue table of the history, in the curated database.
        columns: Columns of that table, name to Hive type.
        keep_days: The online store forgets a record so many days after its event time. Default: it never does.
        removal_policy: What happens when the stack goes. Default: group and table stay.

    Attributes:
        name: Physical name.
        arn: ARN of the group.
        role: What the Feature Store writes the history with.
        table: The table in the template.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        key: str,
        event_time: str,
        definitions: Mapping[str, str],
        lake: DataLake,
        prefix: str,
        table: str,
        columns: Mapping[str, str],
        keep_days: int | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        self.arn = f"arn:{PARTITION}:sagemaker:{REGION}:{ACCOUNT}:feature-group/{name}"
        self._lake = lake
        place = f"s3://{lake.curated.bucket_name}/{prefix}"
        self.table = parquet_table(
            self,
            "Table",
            database=lake.databases["curated"],
            name=table,
            location=place,
            columns=columns,
            description=f"History of feature group {name}",
            partition_keys=HISTORY_PARTITIONS,
        )
        self.table.apply_removal_policy(removal_policy)
        self.role = ServiceRole(
            self, "Role", service="sagemaker.amazonaws.com", description=f"Writes the history of feature group {name}"
        )
        lake.grant_history(self.role, "curated", prefix)
        group = sagemaker.CfnFeatureGroup
        resource = group(
            self,
            "Group",
            feature_group_name=name,
            record_identifier_feature_name=key,
            event_time_feature_name=event_time,
            feature_definitions=[
                group.FeatureDefinitionProperty(feature_name=feature, feature_type=kind)
                for feature, kind in definitions.items()
            ],
            online_store_config={
                "EnableOnlineStore": True,
                "SecurityConfig": {"KmsKeyId": lake.key.key_arn},
                **({} if keep_days is None else {"TtlDuration": {"Unit": "Days", "Value": keep_days}}),
            },
            offline_store_config={
                "S3StorageConfig": {"S3Uri": place, "KmsKeyId": lake.key.key_arn},
                "DisableGlueTableCreation": True,
                "DataCatalogConfig": {
                    "Catalog": _CATALOG,
                    "Database": lake.databases["curated"],
                    "TableName": table,
                },
            },
            role_arn=self.role.role_arn,
        )
        self.role.come_before(resource)
        resource.add_resource_dependency(self.table)
        resource.apply_removal_policy(removal_policy)

    def grant_ingest(self, grantee: iam.IGrantable) -> None:
        """Lets somebody put records, and see where the history lies."""
        grant(grantee, ["sagemaker:DescribeFeatureGroup", "sagemaker:PutRecord"], self.arn)
        self._lake.grant_key(grantee)

    def grant_read(self, grantee: iam.IGrantable) -> None:
        """Lets somebody read the newest records."""
        grant(grantee, ["sagemaker:BatchGetRecord", "sagemaker:GetRecord"], self.arn)
        self._lake.grant_key(grantee)
