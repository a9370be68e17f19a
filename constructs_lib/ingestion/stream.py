"""Records that somebody puts on a stream land as Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_logs as logs
from constructs import Construct

from constructs_lib.alarms import Metric
from constructs_lib.catalogue_table import parquet_table
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, arn, grant
from constructs_lib.ingestion.producer import ProducerRole
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake
from constructs_lib.lake_grants import grant_tagged
from constructs_lib.lake_tags import tag_table
from constructs_lib.names.governance import domain, table_tags
from constructs_lib.names.ingestion_file import Stream
from constructs_lib.names.naming import table_name

_SECONDS = 300
_LATE_SECONDS = 900
"""How much longer than its buffer a record may wait before somebody is told."""

_Stream = firehose.CfnDeliveryStream


class StreamIngestion(Construct):
    """Defines a Firehose stream that turns JSON records into Parquet files in the incoming folder of a source.

    The schema is a table of the landing database. What cannot be turned into a row goes, as it came, under
    ``failed/``, and a message about it into the failure queue, which has an alarm. When the cause is mended, moving the
    messages from the failure queue to the queue of ``intake`` puts the records on the stream again.

    Args:
        around: Where it runs.
        source: The source of the workload; its files are Parquet.
        columns: Its columns, name to type, in order.
        stream: What the workload file says.

    Attributes:
        name, arn: Of the stream.
        intake: The queue that puts records on the stream again, with the failure queue as its dead letters.
        producer_role_arn: The role that producers take, when there are any.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        source: str,
        columns: Mapping[str, str],
        stream: Stream,
    ) -> None:
        super().__init__(scope, construct_id)
        self._around, self._source = around, source
        self._incoming = f"{around.folders.incoming}{source}/"
        self._failed = f"{around.folders.failed}{source}/"
        table = parquet_table(
            self,
            "Schema",
            database=around.lake.databases["landing"],
            name=table_name(around.workload, f"{source}_stream"),
            location=f"s3://{around.lake.landing.bucket_name}/{self._incoming}",
            columns=columns,
            partition_keys=(),
            description=f"Records of {source} as they come on the stream",
        )
        self._table: str = table.ref
        role = self._role()
        delivery = _Stream(
            self,
            "Stream",
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=_Stream.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="CUSTOMER_MANAGED_CMK", key_arn=around.lake.key.key_arn
            ),
            extended_s3_destination_configuration=self._destination(role, stream),
        )
        role.come_before(delivery)
        for each in self._schema_grants:
            delivery.add_resource_dependency(each)
        self.name: str = delivery.ref
        self.arn: str = delivery.attr_arn
        watch(
            self,
            "Late",
            alarms=around.alarms,
            watched=delivery,
            metric=Metric(
                "AWS/Firehose",
                "DeliveryToS3.DataFreshness",
                {"DeliveryStreamName": self.name},
                statistic="Maximum",
            ),
            threshold=stream.buffer_seconds + _LATE_SECONDS,
            description=f"Records of {source} wait to be delivered for longer than they should",
            runbook="Read the stream's log: may its role still write to the landing bucket and use the lake's key",
        )
        self.intake = self._resubmission()
        self.producer_role_arn: str | None = None
        if stream.producers:
            producers = ProducerRole(
                self,
                "Producers",
                producers=stream.producers,
                description=f"Puts {source} of {around.workload} on its stream",
            )
            self.grant_put(producers)
            self.producer_role_arn = producers.role.role_arn

    def grant_put(self, grantee: iam.IGrantable) -> None:
        """Lets somebody put records on the stream."""
        grant(grantee, ["firehose:PutRecord", "firehose:PutRecordBatch"], self.arn)

    # -- delivery

    def _role(self) -> ServiceRole:
        around = self._around
        role = ServiceRole(
            self, "Role", service="firehose.amazonaws.com", description=f"Delivers {self._source} of {around.workload}"
        )
        for prefix in (self._incoming, self._failed):
            around.lake.grant_read(role, "landing", prefix)
            around.lake.grant_write(role, "landing", prefix)
        grant(role, ["s3:ListBucketMultipartUploads"], around.lake.landing.bucket_arn)
        database = around.lake.databases["landing"]
        grant(
            role,
            ["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"],
            arn("glue", "catalog"),
            arn("glue", f"database/{database}"),
            arn("glue", f"table/{database}/{table_name(around.workload, f'{self._source}_stream')}"),
        )
        tags = tag_table(
            self,
            "SchemaTags",
            database=database,
            table=self._table,
            tags=table_tags(around.stage, around.workload),
        )
        kinds: tuple[tuple[Any, str], ...] = (
            ("DATABASE", around.stage),
            ("TABLE", domain(around.stage, around.workload)),
        )
        self._schema_grants = [
            grant_tagged(
                self,
                f"Schema{kind.title()}Grant",
                principal=role.role_arn,
                kind=kind,
                expression={"domain": [of_domain], "zone": ["landing"]},
                permissions=["DESCRIBE"],
            )
            for kind, of_domain in kinds
        ]
        for each in self._schema_grants:
            each.add_resource_dependency(tags)
        return role

    def _destination(self, role: ServiceRole, stream: Stream) -> _Stream.ExtendedS3DestinationConfigurationProperty:
        around = self._around
        by, key = stream.partition_by, around.lake.key.key_arn
        partition = "" if by is None else f"{by}=!{{partitionKeyFromQuery:{by}}}/"
        hours = "!{timestamp:yyyy/MM/dd/HH}/"
        return _Stream.ExtendedS3DestinationConfigurationProperty(
            bucket_arn=around.lake.landing.bucket_arn,
            role_arn=role.role_arn,
            prefix=f"{self._incoming}{partition}{hours}",
            error_output_prefix=f"{self._failed}!{{firehose:error-output-type}}/{hours}",
            buffering_hints=_Stream.BufferingHintsProperty(
                interval_in_seconds=stream.buffer_seconds, size_in_m_bs=stream.buffer_mb
            ),
            compression_format="UNCOMPRESSED",
            encryption_configuration=_Stream.EncryptionConfigurationProperty(
                kms_encryption_config=_Stream.KMSEncryptionConfigProperty(awskms_key_arn=key)
            ),
            cloud_watch_logging_options=self._log(role),
            data_format_conversion_configuration=self._conversion(role),
            dynamic_partitioning_configuration=None
            if by is None
            else _Stream.DynamicPartitioningConfigurationProperty(
                enabled=True, retry_options=_Stream.RetryOptionsProperty(duration_in_seconds=300)
            ),
            processing_configuration=None if by is None else _partition_query(by),
        )

    def _conversion(self, role: ServiceRole) -> _Stream.DataFormatConversionConfigurationProperty:
        return _Stream.DataFormatConversionConfigurationProperty(
            enabled=True,
            input_format_configuration=_Stream.InputFormatConfigurationProperty(
                deserializer=_Stream.DeserializerProperty(open_x_json_ser_de=_Stream.OpenXJsonSerDeProperty())
            ),
            output_format_configuration=_Stream.OutputFormatConfigurationProperty(
                serializer=_Stream.SerializerProperty(parquet_ser_de=_Stream.ParquetSerDeProperty(compression="SNAPPY"))
            ),
            schema_configuration=_Stream.SchemaConfigurationProperty(
                role_arn=role.role_arn,
                database_name=self._around.lake.databases["landing"],
                table_name=self._table,
                version_id="LATEST",
            ),
        )

    def _log(self, role: ServiceRole) -> _Stream.CloudWatchLoggingOptionsProperty:
        group = logs.CfnLogGroup(
            self,
            "Log",
            kms_key_id=self._around.lake.key.key_arn,
            retention_in_days=self._around.log_retention_days,
        )
        stream = logs.CfnLogStream(self, "LogStream", log_group_name=group.ref)
        grant(role, ["logs:PutLogEvents"], group.attr_arn)
        return _Stream.CloudWatchLoggingOptionsProperty(
            enabled=True, log_group_name=group.ref, log_stream_name=stream.ref
        )

    # -- what could not be delivered

    def _resubmission(self) -> EventIntake:
        around = self._around
        function = around.function(
            self,
            "Resubmit",
            folder="resubmit_records",
            description=f"Puts records of {self._source} on the stream once more",
            timeout_seconds=_SECONDS,
            environment={"STREAM": self.name, "FAILED_PREFIX": self._failed},
        )
        around.lake.grant_read(function, "landing", self._failed)
        around.lake.grant_delete(function, "landing", self._failed)
        self.grant_put(function)
        return EventIntake(
            self,
            "Intake",
            patterns={},
            failures={
                "NotDelivered": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [around.lake.landing.bucket_name]},
                        "object": {"key": [{"prefix": self._failed}]},
                    },
                }
            },
            starter=function,
            starter_timeout_seconds=_SECONDS,
            batch_size=1,
            lost=f"records of {self._source} could not be delivered",
            alarms=around.alarms,
        )


def _partition_query(column: str) -> _Stream.ProcessingConfigurationProperty:
    parameter = _Stream.ProcessorParameterProperty
    return _Stream.ProcessingConfigurationProperty(
        enabled=True,
        processors=[
            _Stream.ProcessorProperty(
                type="MetadataExtraction",
                parameters=[
                    parameter(parameter_name="MetadataExtractionQuery", parameter_value=f"{{{column}: .{column}}}"),
                    parameter(parameter_name="JsonParsingEngine", parameter_value="JQ-1.6"),
                ],
            )
        ],
    )
