"""A PySpark job on AWS Glue."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import jsii
from aws_cdk import Aws, CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.asset_path import asset_path
from constructs_lib.code_asset import code_asset
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import (
    GLUE_ENCRYPTION,
    METRICS_WITHOUT_RESOURCE,
    ServiceRole,
    acknowledge,
    arn,
    grant,
    grant_metrics,
)

GLUE_VERSION = "5.1"
SHARED = "gapless_glue"
ARGUMENT = r"^[a-z][a-z0-9_]*$"


@dataclass(frozen=True)
class Capacity:
    """The compute that one run may take.

    Args:
        worker_type: Glue's name for the size of a worker.
        workers: How many, the driver included; with ``auto_scaling``, how many at most.
        timeout_minutes: Minutes after which Glue ends a run.
        concurrent_runs: How many runs may go on at the same time.
        auto_scaling: Whether Glue takes and pays only as many workers as there is work for.

    Raises:
        ValueError: Fewer than two workers, or a number that is not positive.
    """

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: int = 2
    timeout_minutes: int = 60
    concurrent_runs: int = 3
    auto_scaling: bool = False

    def __post_init__(self) -> None:
        if self.workers < 2 or self.timeout_minutes < 1 or self.concurrent_runs < 1:
            raise ValueError(
                "capacity needs at least two workers, one minute and one run, got: "
                f"{self.workers}, {self.timeout_minutes} and {self.concurrent_runs}"
            )


@jsii.implements(iam.IGrantable)
class SparkJob(Construct):
    """Defines a PySpark job on AWS Glue.

    The role may read the job's own code and write its log, nothing else; data comes with the data's own grants:
    ``lake.grant_read(job)``. A failed run is never repeated by Glue: whoever started it decides.

    Args:
        name: Physical name.
        script: The script under ``glue_jobs/``; the shared package ``gapless_glue`` comes with it.
        description: What the job does.
        security_configuration: Name of the Glue security configuration that encrypts output and logs.
        key: The key of that configuration.
        alarms: Whom to tell when a run fails, or why nobody is told.
        capacity: The compute one run may take. Default: two G.1X workers for at most one hour, three runs at a time.
        arguments: Job arguments that every run has, without ``--``. Default: none.
        connection: Name of the Glue connection that says where in a network the job runs. Default: in none.
        glue_arguments: Glue's own arguments, with ``--``, such as ``--datalake-formats``. Default: none.

    Attributes:
        name: Physical name.
        engine: Names the version of Glue and the job's code: equal engines make equal data of equal input.
        role: The job's role.
        alarms: The alarm, or nothing.

    Raises:
        FileNotFoundError: There is no such script.
        ValueError: An argument's name is not lower_snake_case (Glue reads ``--a-b`` back as ``a_b``).
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        script: str,
        description: str,
        security_configuration: str,
        key: kms.IKey,
        alarms: Alarms,
        capacity: Capacity | None = None,
        arguments: Mapping[str, str] | None = None,
        connection: str | None = None,
        glue_arguments: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        wrong = [argument for argument in arguments or {} if not re.fullmatch(ARGUMENT, argument)]
        if wrong:
            raise ValueError(f"argument names must be lower_snake_case, got: {', '.join(wrong)}")
        capacity = capacity if capacity is not None else Capacity()
        self.name = name
        self.role = ServiceRole(self, "Role", service="glue.amazonaws.com", description=description)
        code = assets.Asset(self, "Script", path=str(asset_path("glue_jobs", script)))
        package = shared_package(self)
        digest = hashlib.sha256(f"{code.asset_hash} {package.asset_hash}".encode()).hexdigest()
        self.engine = f"glue-{GLUE_VERSION}-{digest[:16]}"
        grant(self.role, ["s3:GetObject"], _object_arn(code), _object_arn(package))
        self._grant_telemetry(key)
        job = glue.CfnJob(
            self,
            "Job",
            name=name,
            description=description,
            role=self.role.role_arn,
            glue_version=GLUE_VERSION,
            command=glue.CfnJob.JobCommandProperty(
                name="glueetl", python_version="3", script_location=code.s3_object_url
            ),
            default_arguments={
                "--extra-py-files": package.s3_object_url,
                "--job-bookmark-option": "job-bookmark-disable",
                "--enable-metrics": "true",
                "--enable-observability-metrics": "true",
                "--enable-continuous-cloudwatch-log": "true",
                **({"--enable-auto-scaling": "true"} if capacity.auto_scaling else {}),
                **(glue_arguments or {}),
                **{f"--{argument}": value for argument, value in (arguments or {}).items()},
            },
            execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=capacity.concurrent_runs),
            max_retries=0,
            timeout=capacity.timeout_minutes,
            worker_type=capacity.worker_type,
            number_of_workers=capacity.workers,
            security_configuration=security_configuration,
            connections=None if connection is None else glue.CfnJob.ConnectionsListProperty(connections=[connection]),
        )
        self._job = job
        self.role.come_before(job)
        acknowledge(job, GLUE_ENCRYPTION)
        acknowledge(self.role, METRICS_WITHOUT_RESOURCE)
        self.alarms: list[cloudwatch.CfnAlarm] = watch(
            self,
            "Failed",
            alarms=alarms,
            watched=job,
            metric=Metric(
                "Glue",
                "glue.error.ALL",
                {"JobName": name, "JobRunId": "ALL", "Type": "count", "ObservabilityGroup": "error"},
            ),
            description=f"A run of job {name} failed",
            runbook="Read the run's message in Glue; the state machine's failure notice has the batch and the input",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The job's role, so that grants can be given to the job."""
        return self.role

    def come_after(self, grants: Iterable[CfnResource]) -> None:
        """Lets the job be made when its grants are, so that no run starts without them."""
        for each in grants:
            self._job.add_resource_dependency(each)

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets somebody start runs, watch them and stop them."""
        grant(
            grantee,
            ["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"],
            arn("glue", f"job/{self.name}"),
        )

    def _grant_telemetry(self, key: kms.IKey) -> None:
        logs = arn("logs", "log-group:/aws-glue/*")
        grant(
            self.role,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:AssociateKmsKey"],
            logs,
        )
        grant_metrics(self.role, "Glue")
        grant(self.role, ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"], key.key_arn)


def shared_package(scope: Construct) -> assets.Asset:
    """Defines the asset of the package that all jobs share and of the shared names, as a zip."""
    return code_asset(scope, "Package", root="glue_jobs", folders=[SHARED])


def _object_arn(asset: assets.Asset) -> str:
    return f"arn:{Aws.PARTITION}:s3:::{asset.s3_bucket_name}/{asset.s3_object_key}"
