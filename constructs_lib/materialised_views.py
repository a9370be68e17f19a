"""Materialised views in the catalogue: what Glue Elastic Views was for, on Iceberg tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from aws_cdk import CfnResource
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import arn, grant, grant_pass_role
from constructs_lib.names.stores_file import View
from constructs_lib.place import ACCOUNT, REGION
from constructs_lib.spark_job import SparkJob
from constructs_lib.text_asset import TextAsset

_CATALOG = "glue_catalog"
_SCRIPT = "publish_views.py"


class MaterialisedViews(Construct):
    """Defines the job that adds a version's rows to an Iceberg table, and makes and refreshes the views over it.

    Between runs the catalogue refreshes each view by itself, under the job's role.

    Args:
        name: Physical name of the job.
        table: Physical name of the table.
        workload: Whose it is; names of views start with it.
        views: Name to view.
        lake: Where table and views are, in the curated zone.
        key: Encrypts the job's output.
        alarms: Whom to tell when a run fails, or why nobody is told.

    Attributes:
        name: Physical name of the job.
        role: The job's role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        table: str,
        workload: str,
        views: Mapping[str, View],
        lake: DataLake,
        key: kms.IKey,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        database, bucket = lake.databases["curated"], lake.curated.bucket_name
        definitions = TextAsset(
            self,
            "Definitions",
            text=json.dumps({view: each.model_dump(mode="json") for view, each in views.items()}, sort_keys=True),
            suffix=".json",
        )
        self._job = SparkJob(
            self,
            "Job",
            name=name,
            script=_SCRIPT,
            description=f"Keeps the history of features of {workload} and the views over it",
            security_configuration=lake.security_configuration_name,
            key=key,
            alarms=alarms,
            arguments={
                "table": f"{_CATALOG}.{database}.{table}",
                "view_prefix": f"{_CATALOG}.{database}.{workload}_",
                "views_uri": definitions.uri,
            },
            glue_arguments={"--datalake-formats": "iceberg", "--conf": _configuration(bucket, workload)},
        )
        self.name = name
        self.role = self._job.role
        definitions.grant_read(self._job)
        lake.grant_spark(self._job, "curated", f"{workload}/")
        own_tables = arn("glue", f"table/{database}/{workload}_*")
        grant(
            self._job,
            [
                "glue:CreateTable",
                "glue:DeleteTable",
                "glue:GetDatabase",
                "glue:GetDatabases",
                "glue:GetTable",
                "glue:GetTables",
                "glue:UpdateTable",
            ],
            arn("glue", "catalog"),
            arn("glue", f"database/{database}"),
            own_tables,
        )
        grant(self._job, ["glue:GetCatalog", "glue:GetCatalogs"], arn("glue", "catalog"))
        grant_pass_role(self._job, self.role, "glue.amazonaws.com")

    def come_after(self, grants: Iterable[CfnResource]) -> None:
        """Lets the job be made when its grants are."""
        self._job.come_after(grants)

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets somebody start runs."""
        grant(grantee, ["glue:StartJobRun"], arn("glue", f"job/{self.name}"))


def _configuration(bucket: str, workload: str) -> str:
    """The Spark settings by which Glue knows Iceberg tables and materialised views, as one job argument."""
    catalog = f"spark.sql.catalog.{_CATALOG}"
    settings = {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "glue",
        f"{catalog}.warehouse": f"s3://{bucket}/{workload}/iceberg",
        f"{catalog}.glue.region": REGION,
        f"{catalog}.client.region": REGION,
        f"{catalog}.glue.id": ACCOUNT,
        f"{catalog}.glue.account-id": ACCOUNT,
        "spark.sql.defaultCatalog": _CATALOG,
        "spark.sql.optimizer.incrementalMVRefresh.enabled": "true",
    }
    return " --conf ".join(f"{name}={value}" for name, value in settings.items())
