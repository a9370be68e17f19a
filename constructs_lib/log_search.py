"""Logs are put into the domain in which they are searched: streams, who may do what there, and what is watched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_logs as logs
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.grants import ServiceRole, arn, grant
from constructs_lib.keys import WRITE_ACTIONS
from constructs_lib.log_store import LogStore
from constructs_lib.names.log_search import ACCESS, access_role_name, delivery_role_name, index_name
from constructs_lib.nightly import run_every_night
from constructs_lib.place import ACCOUNT, PARTITION
from constructs_lib.python_function import PythonFunction

_Stream = firehose.CfnDeliveryStream
_HOURLY: Final = "rate(1 hour)"
_SECONDS: Final = 60
_UNPACKING_SECONDS: Final = 300
_LATE_SECONDS: Final = 1800
_BUFFER: Final = (60, 1)
"""Seconds and megabytes that are put into the domain at once; it takes many small lines better than few large ones."""

_UNPACKED: Final = ("60", "0.2")
"""The same of what is unpacked at once: packed lines are many times as large when they are unpacked."""

_RETRY_SECONDS: Final = 7200
_FREE_SHARE: Final = 0.2
_SEARCHING: Final = ("es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost")


@dataclass(frozen=True)
class Searched:
    """Says whose logs are searched, and by whom.

    Args:
        stage: Stage.
        workloads: Each has its own indices.
        people: Persona to the ARN of its role.
        own: Personas whose roles are the platform's, and get leave to call the domain here.
        retention_days: How long an index is kept, in days.
        by_name: Whether a single sign-on tells personas by their names.
    """

    stage: str
    workloads: Sequence[str]
    people: Mapping[str, str]
    own: Sequence[str]
    retention_days: int
    by_name: bool = False


class LogSearch(Construct):
    """Defines what fills the domain and looks after it: a stream per workload, and two functions.

    CloudWatch Logs packs many lines into a record; ``unpack_logs`` makes documents of them. ``set_log_access`` tells
    the domain every hour who may do what and when an index goes. What the domain refuses for two hours, or for what it
    says, is kept in the bucket, and stays in CloudWatch Logs anyhow.

    Args:
        store: The domain.
        searched: Whose logs they are, and who searches.
        alarms: Whom to tell.
        log_retention_days: How long the functions' logs are kept, in days.

    Attributes:
        streams: Workload to the ARN of its stream.
        writer: The role by which CloudWatch Logs puts lines there.
        alarms: All alarms.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        store: LogStore,
        searched: Searched,
        alarms: FailureAlarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._store, self._searched, self._told = store, searched, alarms
        self._log_retention_days = log_retention_days
        self._domain = arn("es", f"domain/{store.name}")
        self._define_access()
        unpacking = self._function("Unpack", "unpack_logs", "Makes documents of log lines", _UNPACKING_SECONDS, 1024)
        names = {workload: index_name(searched.stage, workload) for workload in searched.workloads}
        # The streams call the function, so its role must know them without waiting for them.
        later = [arn("firehose", f"deliverystream/{name}") for name in names.values()]
        grant(unpacking, ["firehose:PutRecordBatch"], *later)
        self.streams = {workload: self._define_stream(workload, name, unpacking) for workload, name in names.items()}
        self.writer = ServiceRole(self, "Writer", service="logs.amazonaws.com", description="Puts log lines on streams")
        grant(self.writer, ["firehose:PutRecord", "firehose:PutRecordBatch"], *self.streams.values())
        self._watch_domain()
        self.alarms = [each for each in self.node.find_all() if isinstance(each, cloudwatch.CfnAlarm)]

    # -- who may do what

    def _define_access(self) -> None:
        searched, store = self._searched, self._store
        people = {persona: {"role": role, "access": ACCESS[persona]} for persona, role in searched.people.items()}
        access = Construct(self, "Access")
        function = PythonFunction(
            access,
            "Function",
            folder="set_log_access",
            description="Tells the domain of logs who may do what",
            timeout_seconds=_SECONDS,
            alarms=self._told,
            log_key=store.key,
            log_retention_days=self._log_retention_days,
            role_name=access_role_name(searched.stage),
            environment={
                "ENDPOINT": store.endpoint,
                "NAMES": json.dumps([index_name(searched.stage, workload) for workload in searched.workloads]),
                "ROLES": f"arn:{PARTITION}:iam::{ACCOUNT}:role/",
                "PEOPLE": json.dumps(people),
                "BY_NAME": str(searched.by_name).lower(),
                "DAYS": str(searched.retention_days),
                "COPIES": str(store.nodes.zones - 1),
            },
        )
        grant(function, ["es:ESHttpGet", "es:ESHttpPut"], f"{self._domain}/*")
        run_every_night(
            access,
            function,
            schedule=_HOURLY,
            description="Tells the domain of logs who may do what",
            not_done="Who may search logs was not looked after",
            alarms=self._told,
        )
        for persona in searched.own:
            name = "".join(word.capitalize() for word in persona.split("_"))
            role = iam.Role.from_role_arn(self, name, searched.people[persona])
            grant(role, _SEARCHING, f"{self._domain}/*")

    def _function(self, construct_id: str, folder: str, description: str, seconds: int, memory: int) -> PythonFunction:
        return PythonFunction(
            self,
            construct_id,
            folder=folder,
            description=description,
            timeout_seconds=seconds,
            memory_mb=memory,
            alarms=self._told,
            log_key=self._store.key,
            log_retention_days=self._log_retention_days,
        )

    # -- delivery

    def _define_stream(self, workload: str, name: str, unpacking: PythonFunction) -> str:
        scope = Construct(self, "".join(word.capitalize() for word in workload.split("_")))
        role = self._delivery_role(scope, workload, unpacking)
        log = self._delivery_log(scope, role)
        stream = _Stream(
            scope,
            "Stream",
            delivery_stream_name=name,
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=_Stream.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="AWS_OWNED_CMK"
            ),
            amazonopensearchservice_destination_configuration=self._destination(workload, role, log, name, unpacking),
        )
        role.come_before(stream)
        metric = {"DeliveryStreamName": stream.ref}
        start = "AWS/Firehose", "DeliveryToAmazonOpenSearchService"
        alarm(
            scope,
            "Late",
            alarms=self._told,
            metric=Metric(start[0], f"{start[1]}.DataFreshness", metric, statistic="Maximum"),
            threshold=_LATE_SECONDS,
            description=f"Logs of {workload} wait to be searched for longer than they should: {name}",
            runbook="Look at the stream's log: may its role write, is the domain red or full, did set_log_access fail",
        )
        alarm(
            scope,
            "Refused",
            alarms=self._told,
            metric=Metric(start[0], f"{start[1]}.Success", metric, statistic="Minimum"),
            threshold=1,
            comparison="LessThanThreshold",
            evaluation_periods=3,
            description=f"The domain refuses logs of {workload}: {name}",
            runbook="Read what was refused in the bucket, below opensearch-failed/, with the reason beside it",
        )
        return str(stream.attr_arn)

    def _delivery_role(self, scope: Construct, workload: str, unpacking: PythonFunction) -> ServiceRole:
        store = self._store
        role = ServiceRole(
            scope,
            "Role",
            service="firehose.amazonaws.com",
            description=f"Delivers logs of {workload}",
            name=delivery_role_name(self._searched.stage, workload),
        )
        grant(role, ["s3:PutObject", "s3:AbortMultipartUpload"], f"{store.backup.bucket_arn}/{workload}/*")
        grant(
            role,
            ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            store.backup.bucket_arn,
        )
        grant(role, WRITE_ACTIONS, store.key.key_arn)
        grant(role, ["es:DescribeDomain", "es:DescribeDomains", "es:DescribeDomainConfig"], self._domain)
        grant(role, ["es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut"], self._domain, f"{self._domain}/*")
        grant(
            role,
            ["lambda:InvokeFunction", "lambda:GetFunctionConfiguration"],
            unpacking.function_arn,
            f"{unpacking.function_arn}:$LATEST",
        )
        return role

    def _delivery_log(self, scope: Construct, role: ServiceRole) -> _Stream.CloudWatchLoggingOptionsProperty:
        group = logs.CfnLogGroup(
            scope, "Log", kms_key_id=self._store.key.key_arn, retention_in_days=self._log_retention_days
        )
        stream = logs.CfnLogStream(scope, "LogStream", log_group_name=group.ref)
        grant(role, ["logs:PutLogEvents"], group.attr_arn)
        return _Stream.CloudWatchLoggingOptionsProperty(
            enabled=True, log_group_name=group.ref, log_stream_name=stream.ref
        )

    def _destination(
        self,
        workload: str,
        role: ServiceRole,
        log: _Stream.CloudWatchLoggingOptionsProperty,
        name: str,
        unpacking: PythonFunction,
    ) -> _Stream.AmazonopensearchserviceDestinationConfigurationProperty:
        seconds, megabytes = _BUFFER
        return _Stream.AmazonopensearchserviceDestinationConfigurationProperty(
            domain_arn=self._domain,
            index_name=name,
            index_rotation_period="OneDay",
            role_arn=role.role_arn,
            buffering_hints=_Stream.AmazonopensearchserviceBufferingHintsProperty(
                interval_in_seconds=seconds, size_in_m_bs=megabytes
            ),
            retry_options=_Stream.AmazonopensearchserviceRetryOptionsProperty(duration_in_seconds=_RETRY_SECONDS),
            document_id_options=_Stream.DocumentIdOptionsProperty(default_document_id_format="NO_DOCUMENT_ID"),
            s3_backup_mode="FailedDocumentsOnly",
            s3_configuration=self._backup(workload, role, log),
            cloud_watch_logging_options=log,
            processing_configuration=_unpacked_by(unpacking, role),
        )

    def _backup(
        self, workload: str, role: ServiceRole, log: _Stream.CloudWatchLoggingOptionsProperty
    ) -> _Stream.S3DestinationConfigurationProperty:
        store = self._store
        return _Stream.S3DestinationConfigurationProperty(
            bucket_arn=store.backup.bucket_arn,
            role_arn=role.role_arn,
            prefix=f"{workload}/",
            error_output_prefix=f"{workload}/",
            compression_format="GZIP",
            encryption_configuration=_Stream.EncryptionConfigurationProperty(
                kms_encryption_config=_Stream.KMSEncryptionConfigProperty(awskms_key_arn=store.key.key_arn)
            ),
            cloud_watch_logging_options=log,
        )

    # -- what is watched

    def _watch_domain(self) -> None:
        store = self._store
        of_domain = {"DomainName": store.name, "ClientId": ACCOUNT}
        least_mb = store.nodes.volume_gb * 1024 * _FREE_SHARE

        def metric(name: str, statistic: str) -> Metric:
            return Metric("AWS/ES", name, of_domain, statistic=statistic, period_seconds=60)

        alarm(
            self,
            "Red",
            alarms=self._told,
            metric=metric("ClusterStatus.red", "Maximum"),
            threshold=1,
            description=f"An index of {store.name} lacks its first copy: logs are not searched or taken",
            runbook="Restore the red index from the last automatic snapshot; Firehose keeps what was refused",
        )
        alarm(
            self,
            "Space",
            alarms=self._told,
            metric=metric("FreeStorageSpace", "Minimum"),
            threshold=least_mb,
            comparison="LessThanOrEqualToThreshold",
            description=f"A node of {store.name} has less than a fifth of its disk left, in MiB",
            runbook="Keep logs for fewer days (log_search.retention_days) or give nodes larger disks (volume_gb)",
        )
        alarm(
            self,
            "Blocked",
            alarms=self._told,
            metric=metric("ClusterIndexWritesBlocked", "Maximum"),
            threshold=1,
            description=f"{store.name} takes no logs",
            runbook="Is the disk full, or the memory? Mend that; it takes logs again by itself",
        )
        alarm(
            self,
            "Memory",
            alarms=self._told,
            metric=metric("JVMMemoryPressure", "Maximum"),
            threshold=95,
            evaluation_periods=3,
            description=f"Nodes of {store.name} have hardly any memory left, in percent",
            runbook="Ask for larger nodes (log_search.instance_type) or keep fewer days",
        )


class LogSubscriptions(Construct):
    """Defines that every line of some log groups goes onto a stream.

    Args:
        groups: Id to the name of the group.
        stream_arn: The stream.
        writer_arn: The role by which CloudWatch Logs puts lines there.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        groups: Mapping[str, str],
        stream_arn: str,
        writer_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        for name, group in groups.items():
            logs.CfnSubscriptionFilter(
                self,
                name,
                log_group_name=group,
                filter_pattern="",
                destination_arn=stream_arn,
                role_arn=writer_arn,
            )


def groups_of(stack: Construct) -> Iterable[CfnResource]:
    """Gives the log groups that a stack defines."""
    return (each for each in stack.node.find_all() if isinstance(each, logs.CfnLogGroup))


def _unpacked_by(function: PythonFunction, role: ServiceRole) -> _Stream.ProcessingConfigurationProperty:
    parameter = _Stream.ProcessorParameterProperty
    seconds, megabytes = _UNPACKED
    values = {
        "LambdaArn": f"{function.function_arn}:$LATEST",
        "RoleArn": role.role_arn,
        "NumberOfRetries": "3",
        "BufferIntervalInSeconds": seconds,
        "BufferSizeInMBs": megabytes,
    }
    return _Stream.ProcessingConfigurationProperty(
        enabled=True,
        processors=[
            _Stream.ProcessorProperty(
                type="Lambda",
                parameters=[parameter(parameter_name=name, parameter_value=value) for name, value in values.items()],
            )
        ],
    )
