"""The data lake: zones, catalogue, query workgroup and the tables that remember what ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_athena as athena
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.buckets import AccessLogBucket, ZoneBucket
from constructs_lib.grants import grant
from constructs_lib.keys import READ_ACTIONS, WRITE_ACTIONS, EncryptionKey, SigningKey
from constructs_lib.names.naming import ZONES, database_name
from constructs_lib.place import ACCOUNT, PARTITION, REGION
from constructs_lib.tables import RecordTable

Zone = Literal["landing", "validated", "quarantine", "curated", "datasets", "artefacts"]
"""Everything that has a bucket; the first four have a catalogue database too."""

RETIRED_TAG = "gapless:retired"
"""Key of the tag (value ``true``) on rows of datasets that nobody needs any more."""

CatalogueZone = Literal["landing", "validated", "quarantine", "curated"]

_READ_TABLES = (
    "glue:GetDatabase",
    "glue:GetTable",
    "glue:GetTables",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:BatchGetPartition",
)
_WRITE_TABLES = (
    "glue:CreateTable",
    "glue:UpdateTable",
    "glue:CreatePartition",
    "glue:UpdatePartition",
    "glue:BatchCreatePartition",
    "glue:BatchUpdatePartition",
)
_POINT_PARTITIONS = ("glue:GetTable", "glue:CreatePartition", "glue:UpdatePartition")
_POINT_MANY = ("glue:GetTable", "glue:BatchCreatePartition")


class DataLake(Construct):
    """Defines the zones that data passes through, each with a bucket, and what describes and remembers the data.

    Nobody may read or write anything until a grant says so; every grant on objects is limited to one prefix.

    Args:
        stage: What the names of databases, workgroup and security configuration start with.
        log_retention_days: How long access logs are kept, in days. Default: a year.
        removal_policy: What happens to data when the stack goes. Default: it stays.
        expires_retired: Whether rows of retired datasets, those tagged so, are removed. Default: they stay.
        administrator: ARN of the role that administers Lake Formation, under which IAM alone then opens no table of the
            lake. Default: IAM alone decides.

    Attributes:
        key: Encrypts everything in the lake; log groups of the account may use it as well.
        signing_key: Signs models.
        landing, validated, quarantine, curated, datasets, artefacts: The zones' buckets.
        access_logs: Receives the access logs of all buckets.
        query_results: What Athena writes; goes after 30 days.
        runs_table: One item per thing that ran; partition key ``run``.
        leases_table: Who may act on what; partition key ``lease``, an item may go after ``expires`` (epoch seconds).
        audit_table: What was decided and why; partition key ``workload``, sort key ``event``.
        databases: Catalogue zone to database name.
        database_resources: Catalogue zone to the database in the template, for those who must wait for it.
        security_configuration_name: Glue jobs and crawlers encrypt their output, logs and bookmarks with it.
        athena_workgroup_name: Queries run here; it fixes where results go and how they are encrypted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        log_retention_days: int = 365,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        expires_retired: bool = False,
        administrator: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._removal_policy = removal_policy
        self.key = EncryptionKey(self, "Key", description="Data lake", logs=True, removal_policy=removal_policy)
        self._key_arn: str = self.key.key_arn
        self.signing_key = SigningKey(self, "SigningKey", description="Models", removal_policy=removal_policy)
        self.access_logs = AccessLogBucket(
            self, "AccessLogs", retention_days=log_retention_days, removal_policy=removal_policy
        )
        self.landing = self._bucket("Landing")
        self.validated = self._bucket("Validated")
        self.quarantine = self._bucket("Quarantine")
        self.curated = self._bucket("Curated")
        self.datasets = self._bucket("Datasets", expire_tagged=RETIRED_TAG if expires_retired else None)
        self.artefacts = self._bucket("Artefacts")
        self.query_results = self._bucket("QueryResults", expire_after_days=30, keep_replaced_days=1)
        self.buckets: Mapping[Zone, s3.Bucket] = {
            "landing": self.landing,
            "validated": self.validated,
            "quarantine": self.quarantine,
            "curated": self.curated,
            "datasets": self.datasets,
            "artefacts": self.artefacts,
        }
        self._bucket_arns = {zone: bucket.bucket_arn for zone, bucket in self.buckets.items()}
        self.runs_table: dynamodb.Table = self._table("Runs", partition_key="run")
        self.leases_table: dynamodb.Table = self._table("Leases", partition_key="lease", expires="expires")
        self.audit_table: dynamodb.Table = self._table("Audit", partition_key="workload", sort_key="event")
        self.databases: dict[str, str] = {zone: database_name(stage, zone) for zone in ZONES}
        self.database_resources: dict[str, glue.CfnDatabase] = {}
        self._define_databases(administrator)
        self.security_configuration_name = f"{stage}-lake"
        self._define_security_configuration()
        self.athena_workgroup_name = f"{stage}-lake"
        self._define_workgroup()

    def grant_land(self, grantee: iam.IGrantable, workload: str) -> None:
        """Lets somebody deliver a workload's files; reading them back is another grant."""
        self.grant_write(grantee, "landing", f"{workload}/")

    def grant_read(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets somebody list and read the objects of a zone under a prefix.

        Raises:
            ValueError: The prefix does not end in ``/``.
        """
        grant(grantee, ["s3:GetObject"], self._objects(zone, prefix))
        self.grant_list(grantee, zone, prefix)
        grant(grantee, READ_ACTIONS, self._key_arn)

    def grant_list(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets somebody see which objects of a zone there are under a prefix, which ends in ``/``.

        Asking for an object that does not exist carries no prefix, and S3 says "not found" only to those who may list:
        hence the condition holds only where there is a prefix.
        """
        grant(
            grantee,
            ["s3:ListBucket", "s3:GetBucketLocation"],
            self._bucket_arns[zone],
            conditions={"StringLikeIfExists": {"s3:prefix": [f"{prefix}*", prefix.rstrip("/")]}},
        )

    def grant_write(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets somebody write objects of a zone under a prefix; reading and deleting them are other grants.

        Raises:
            ValueError: The prefix does not end in ``/``.
        """
        grant(
            grantee,
            ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            self._objects(zone, prefix),
        )
        grant(grantee, WRITE_ACTIONS, self._key_arn)

    def grant_delete(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets somebody delete objects of a zone under a prefix, as Spark does with its temporary files.

        The bucket keeps deleted versions for a while.

        Raises:
            ValueError: The prefix does not end in ``/``.
        """
        grant(grantee, ["s3:DeleteObject"], self._objects(zone, prefix))

    def expire(self, zone: Zone, prefix: str, days: int) -> None:
        """Has objects of a zone under a prefix go after a while; for what only saves time.

        Args:
            prefix: Ends in ``/``.
            days: After how many days.
        """
        self.buckets[zone].add_lifecycle_rule(id=f"Expire {prefix}", prefix=prefix, expiration=Duration.days(days))

    def grant_mark(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets somebody put tags on objects of a zone under a prefix and take them away, by which a lifecycle may go.

        Raises:
            ValueError: The prefix does not end in ``/``.
        """
        grant(grantee, ["s3:PutObjectTagging", "s3:DeleteObjectTagging"], self._objects(zone, prefix))

    def grant_spark(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets a Spark job keep tables of a zone under a prefix: reading, writing and deleting them.

        Spark's file systems look beside the prefix as well. S3A asks for an object with the name of each folder on the
        way, EMRFS keeps a marker ``<folder>_$folder$`` there, and a commit lists the uploads that were left behind.

        Raises:
            ValueError: The prefix does not end in ``/``.
        """
        self.grant_read(grantee, zone, prefix)
        self.grant_write(grantee, zone, prefix)
        self.grant_delete(grantee, zone, prefix)
        steps = prefix.rstrip("/").split("/")
        folders = [f"{self._bucket_arns[zone]}/{'/'.join(steps[:count])}" for count in range(1, len(steps) + 1)]
        grant(grantee, ["s3:GetObject"], *folders)
        markers = [f"{folder}_$folder$" for folder in folders]
        grant(grantee, ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], *markers)
        grant(grantee, ["s3:ListBucketMultipartUploads"], self._bucket_arns[zone])

    def grant_history(self, grantee: iam.IGrantable, zone: Zone, prefix: str) -> None:
        """Lets the Feature Store write the history of a group under a prefix; it looks at the bucket's ACL first.

        Raises:
            ValueError: The prefix does not end in ``/``.
        """
        self.grant_write(grantee, zone, prefix)
        grant(grantee, ["s3:PutObjectAcl"], self._objects(zone, prefix))
        grant(grantee, ["s3:GetBucketAcl"], self._bucket_arns[zone])

    def grant_key(self, grantee: iam.IGrantable) -> None:
        """Lets somebody read what a service keeps under the lake's key outside its buckets."""
        grant(grantee, READ_ACTIONS, self._key_arn)

    def grant_sign(self, grantee: iam.IGrantable) -> None:
        """Lets somebody sign models; nobody who trains or runs them may."""
        grant(grantee, ["kms:Sign"], self.signing_key.key_arn)

    def grant_verify(self, grantee: iam.IGrantable) -> None:
        """Lets somebody find out whether a model was signed."""
        grant(grantee, ["kms:Verify"], self.signing_key.key_arn)

    def grant_table(self, grantee: iam.IGrantable, table: dynamodb.Table, *actions: str) -> None:
        """Lets somebody do the given DynamoDB actions on one of the lake's tables.

        Args:
            actions: Such as ``dynamodb:PutItem``.
        """
        grant(grantee, actions, table.table_arn)
        grant(grantee, WRITE_ACTIONS, self._key_arn)

    def grant_catalog(
        self, grantee: iam.IGrantable, zone: CatalogueZone, workload: str, *, write: bool = False
    ) -> None:
        """Lets somebody read the catalogue tables of a workload in one zone.

        Args:
            write: Also lets them define tables and partitions. Default: reading only.
        """
        actions = [*_READ_TABLES, *(_WRITE_TABLES if write else ())]
        grant(grantee, actions, *self._tables(zone, workload))

    def grant_partitions(self, grantee: iam.IGrantable, zone: CatalogueZone, workload: str) -> None:
        """Lets somebody point the partitions of a workload's tables in one zone at files, tables being as they are."""
        grant(grantee, _POINT_PARTITIONS, *self._tables(zone, workload))

    def grant_many_partitions(self, grantee: iam.IGrantable, zone: CatalogueZone, workload: str) -> None:
        """Lets somebody add partitions to a workload's tables in one zone, many in a call."""
        grant(grantee, _POINT_MANY, *self._tables(zone, workload))

    def _tables(self, zone: CatalogueZone, workload: str) -> list[str]:
        database = self.databases[zone]
        arn = f"arn:{PARTITION}:glue:{REGION}:{ACCOUNT}"
        return [f"{arn}:catalog", f"{arn}:database/{database}", f"{arn}:table/{database}/{workload}_*"]

    def _objects(self, zone: Zone, prefix: str) -> str:
        if not prefix.endswith("/") or prefix.startswith("/"):
            raise ValueError(f"prefix must end in '/' and not start with it, got: {prefix!r}")
        return f"{self._bucket_arns[zone]}/{prefix}*"

    def _bucket(
        self,
        name: str,
        *,
        expire_after_days: int | None = None,
        expire_tagged: str | None = None,
        keep_replaced_days: int = 90,
    ) -> s3.Bucket:
        return ZoneBucket(
            self,
            name,
            key=self.key,
            access_logs=self.access_logs,
            expire_after_days=expire_after_days,
            expire_tagged=expire_tagged,
            keep_replaced_days=keep_replaced_days,
            removal_policy=self._removal_policy,
        )

    def _table(
        self, name: str, *, partition_key: str, sort_key: str | None = None, expires: str | None = None
    ) -> dynamodb.Table:
        return RecordTable(
            self,
            name,
            key=self.key,
            partition_key=partition_key,
            sort_key=sort_key,
            expires=expires,
            removal_policy=self._removal_policy,
        )

    def _define_databases(self, administrator: str | None) -> None:
        # An empty list, other than none, closes new tables to IAM alone.
        parameters = None if administrator is None else {"administrator": administrator}
        no_defaults: list[glue.CfnDatabase.PrincipalPrivilegesProperty] | None = None if administrator is None else []
        for zone, name in self.databases.items():
            database = glue.CfnDatabase(
                self,
                f"{zone.capitalize()}Database",
                catalog_id=ACCOUNT,
                database_input=glue.CfnDatabase.DatabaseInputProperty(
                    name=name,
                    description=f"Lake zone {zone}",
                    parameters=parameters,
                    create_table_default_permissions=no_defaults,
                ),
            )
            database.apply_removal_policy(self._removal_policy)
            self.database_resources[zone] = database

    def _define_security_configuration(self) -> None:
        configuration = glue.CfnSecurityConfiguration
        configuration(
            self,
            "SecurityConfiguration",
            name=self.security_configuration_name,
            encryption_configuration=configuration.EncryptionConfigurationProperty(
                s3_encryptions=[
                    configuration.S3EncryptionProperty(s3_encryption_mode="SSE-KMS", kms_key_arn=self._key_arn)
                ],
                cloud_watch_encryption=configuration.CloudWatchEncryptionProperty(
                    cloud_watch_encryption_mode="SSE-KMS", kms_key_arn=self._key_arn
                ),
                job_bookmarks_encryption=configuration.JobBookmarksEncryptionProperty(
                    job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=self._key_arn
                ),
            ),
        )

    def _define_workgroup(self) -> None:
        workgroup = athena.CfnWorkGroup
        workgroup(
            self,
            "WorkGroup",
            name=self.athena_workgroup_name,
            state="ENABLED",
            recursive_delete_option=self._removal_policy == RemovalPolicy.DESTROY,
            work_group_configuration=workgroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                result_configuration=workgroup.ResultConfigurationProperty(
                    output_location=f"s3://{self.query_results.bucket_name}/",
                    encryption_configuration=workgroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self._key_arn
                    ),
                ),
            ),
        )
