"""Who runs SageMaker jobs: the roles of training and processing, and the leave to start jobs with them."""

from __future__ import annotations

from typing import Literal

import jsii
from aws_cdk import Aws, IgnoreMode
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from constructs_lib.asset_path import asset_path
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant, grant_metrics, grant_pass_role
from constructs_lib.images import Pullable
from constructs_lib.network import Network

SERVICE = "sagemaker.amazonaws.com"


class SageMakerRole(ServiceRole):
    """Defines a role that SageMaker's containers run with: it may pull its images, join the network and report.

    Data comes with the data's own grants.

    Args:
        description: What runs with it.
        image: What runs.
        network: Where it runs.
        key: Encrypts what SageMaker writes for it.
        logs: Names of the log groups under ``/aws/sagemaker/`` that it writes to.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        image: Pullable,
        network: Network,
        key: kms.IKey,
        logs: str,
    ) -> None:
        super().__init__(scope, construct_id, service=SERVICE, description=description)
        # SageMaker asks for it beside the leave to make data keys, wherever a request names a key for output.
        grant(self, ["kms:Encrypt"], key.key_arn)
        image.grant_pull(self)
        interfaces = arn("ec2", "network-interface/*")
        grant(
            self,
            ["ec2:CreateNetworkInterface"],
            interfaces,
            arn("ec2", f"security-group/{network.security_group_id}"),
            *(arn("ec2", f"subnet/{subnet}") for subnet in network.subnet_ids),
        )
        grant(
            self,
            [
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            interfaces,
        )
        grant(
            self,
            [
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "ecr:GetAuthorizationToken",
            ],
            "*",
        )
        grant_metrics(self, "/aws/sagemaker/*", "AWS/SageMaker")
        acknowledge(
            self,
            {
                "AwsSolutions-IAM5[Resource::*]": "Metrics, ECR's login and EC2's descriptions know no resources; "
                "metrics are limited to SageMaker's namespaces"
            },
        )
        groups = arn("logs", f"log-group:/aws/sagemaker/{logs}")
        grant(
            self,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            groups,
            f"{groups}:*",
        )


@jsii.implements(iam.IGrantable)
class SageMakerJobs(Construct):
    """Defines one kind of SageMaker jobs: their role, and who may start them.

    Args:
        kind: The kind.
        prefix: What the jobs' names start with.
        role_description: What the jobs do.
        image: What they run.
        network: Where they run, without any other way out.
        key: Encrypts their disks and output.

    Attributes:
        role: The jobs' role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: Literal["training", "processing", "transform"],
        prefix: str,
        role_description: str,
        image: Pullable,
        network: Network,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        self._kind, self._prefix, self._key = kind, prefix, key
        self.role = SageMakerRole(
            self,
            "Role",
            description=role_description,
            image=image,
            network=network,
            key=key,
            logs=f"{kind.capitalize()}Jobs",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The jobs' role, so that grants can be given to the jobs."""
        return self.role

    def grant_read_lustre(self) -> None:
        """Lets the jobs find file systems, so that one can be a channel; who reads is decided by the network."""
        grant(self.role, ["fsx:DescribeFileSystems"], "*")

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets a state machine start such jobs, wait for them (``.sync``) and stop them."""
        self.grant_start(grantee)
        grant(
            grantee,
            ["events:DescribeRule", "events:PutRule", "events:PutTargets"],
            arn("events", f"rule/StepFunctionsGetEventsForSageMaker{self._kind.capitalize()}JobsRule"),
        )

    def grant_tune(self, grantee: iam.IGrantable) -> None:
        """Lets a state machine, which may start such jobs, have SageMaker start many of them, follow and stop them."""
        grant(
            grantee,
            [
                "sagemaker:CreateHyperParameterTuningJob",
                "sagemaker:DescribeHyperParameterTuningJob",
                "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
                "sagemaker:StopHyperParameterTuningJob",
            ],
            arn("sagemaker", f"hyper-parameter-tuning-job/{self._prefix}*"),
        )

    def grant_start(self, grantee: iam.IGrantable) -> None:
        """Lets somebody start such jobs, look after them and stop them."""
        kind = self._kind.capitalize()
        grant(
            grantee,
            [
                f"sagemaker:Create{kind}Job",
                f"sagemaker:Describe{kind}Job",
                f"sagemaker:Stop{kind}Job",
                "sagemaker:AddTags",
                "sagemaker:ListTags",
            ],
            arn("sagemaker", f"{self._kind}-job/{self._prefix}*"),
        )
        grant_pass_role(grantee, self.role, SERVICE)
        grant_service_use(grantee, self._key)


class BatchScoring(SageMakerJobs):
    """Defines batch transforms: the role of the containers that answer, and who may have models answer.

    Args:
        prefix: What the names of models and jobs start with.
        role_description: What the jobs do.
        image: What they run.
        network: Where they run, without any other way out.
        key: Encrypts their disks and output.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        prefix: str,
        role_description: str,
        image: Pullable,
        network: Network,
        key: kms.IKey,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            kind="transform",
            prefix=prefix,
            role_description=role_description,
            image=image,
            network=network,
            key=key,
        )

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets a state machine make models for the time of a transform, start it, wait for it and stop it."""
        super().grant_run(grantee)
        grant(
            grantee,
            ["sagemaker:CreateModel", "sagemaker:DeleteModel"],
            arn("sagemaker", f"model/{self._prefix}*"),
        )


def grant_service_use(grantee: iam.IGrantable, key: kms.IKey) -> None:
    """Lets somebody name a key in a request to SageMaker, which then uses it for disks."""
    grant(
        grantee,
        ["kms:CreateGrant"],
        key.key_arn,
        conditions={
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringEquals": {"kms:ViaService": f"sagemaker.{Aws.REGION}.{Aws.URL_SUFFIX}"},
        },
    )
    grant(grantee, ["kms:DescribeKey"], key.key_arn)


class JobCode(assets.Asset):
    """Defines the asset of the code that runs inside processing jobs: one zip that Python runs as it is."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            path=str(asset_path("sagemaker_jobs")),
            exclude=["**/__pycache__"],
            ignore_mode=IgnoreMode.DOCKER,
        )

    @property
    def uri(self) -> str:
        """Address of the zip, ``s3://bucket/key``."""
        return f"s3://{self.s3_bucket_name}/{self.s3_object_key}"

    def grant_read_object(self, grantee: iam.IGrantable) -> None:
        """Lets somebody find and read exactly this zip; SageMaker lists what starts like an input before it reads."""
        bucket = f"arn:{Aws.PARTITION}:s3:::{self.s3_bucket_name}"
        grant(grantee, ["s3:GetObject"], f"{bucket}/{self.s3_object_key}")
        grant(grantee, ["s3:ListBucket"], bucket, conditions={"StringEquals": {"s3:prefix": self.s3_object_key}})
