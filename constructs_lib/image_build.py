"""Builds a workload's own image, once for each content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import jsii
from aws_cdk import Aws, IgnoreMode
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant
from constructs_lib.image_repository import ImageRepository
from constructs_lib.names.container_file import ASIDE

BUILDER = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
QUEUED_MINUTES = 15

# The same content may be built twice at once, and tags never move: whoever comes second finds the image of the first.
COMMANDS = (
    "set -euo pipefail",
    'found() { aws ecr describe-images --repository-name "$REPOSITORY" --image-ids "imageTag=$TAG"; }',
    "if found; then exit 0; fi",
    'aws ecr get-login-password | docker login --username AWS --password-stdin "${URI%%/*}"',
    'docker build --platform linux/amd64 --tag "$URI:$TAG" .',
    'docker push "$URI:$TAG" || found',
)


@jsii.implements(iam.IGrantable)
class ImageBuild(Construct):
    """Defines the project that builds the image of a folder with a Dockerfile; nothing starts it by itself.

    It runs outside of the stage's network: the base image and what the Dockerfile installs come from the internet, to
    which that network has no way. It reads the folder, pushes to one repository and can do nothing else.

    Args:
        name: Name of the project.
        folder: What the image is built of.
        tag: The image's tag, which stands for the folder's content.
        repository: Where the image goes.
        machine: Size of the machine that builds.
        minutes: How long a build may take.
        key: Encrypts logs and what CodeBuild keeps.
        alarms: Whom to tell when a build fails, or why nobody is told.
        log_retention_days: How long logs are kept.

    Attributes:
        name: The name.
        role: The build's role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        folder: Path,
        tag: str,
        repository: ImageRepository,
        machine: Literal["small", "medium", "large"],
        minutes: int,
        key: kms.IKey,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        source = assets.Asset(
            self,
            "Source",
            path=str(folder),
            exclude=list(ASIDE),
            ignore_mode=IgnoreMode.DOCKER,
        )
        self.role = ServiceRole(
            self, "Role", service="codebuild.amazonaws.com", description=f"Builds {repository.name}"
        )
        log = logs.CfnLogGroup(self, "Log", kms_key_id=key.key_arn, retention_in_days=log_retention_days)
        grant(self.role, ["logs:CreateLogStream", "logs:PutLogEvents"], log.attr_arn)
        grant(
            self.role,
            ["s3:GetObject", "s3:GetObjectVersion"],
            f"arn:{Aws.PARTITION}:s3:::{source.s3_bucket_name}/{source.s3_object_key}",
        )
        grant(
            self.role,
            ["s3:GetBucketAcl", "s3:GetBucketLocation"],
            f"arn:{Aws.PARTITION}:s3:::{source.s3_bucket_name}",
        )
        repository.grant_push(self.role)
        login = "The login to ECR is the account's and knows no repository; pushing is limited to one"
        acknowledge(self.role, {"AwsSolutions-IAM5[Resource::*]": login})
        project = codebuild.CfnProject
        defined = project(
            self,
            "Project",
            name=name,
            description=f"Builds the image {tag} of {repository.name}",
            service_role=self.role.role_arn,
            encryption_key=key.key_arn,
            source=project.SourceProperty(
                type="S3",
                location=f"{source.s3_bucket_name}/{source.s3_object_key}",
                build_spec=_build_spec(),
            ),
            artifacts=project.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=project.EnvironmentProperty(
                type="LINUX_CONTAINER",
                compute_type=f"BUILD_GENERAL1_{machine.upper()}",
                image=BUILDER,
                privileged_mode=True,
                environment_variables=[
                    project.EnvironmentVariableProperty(name=variable, value=value)
                    for variable, value in {
                        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
                        "REPOSITORY": repository.name,
                        "TAG": tag,
                        "URI": repository.uri,
                    }.items()
                ],
            ),
            logs_config=project.LogsConfigProperty(
                cloud_watch_logs=project.CloudWatchLogsConfigProperty(status="ENABLED", group_name=log.ref)
            ),
            timeout_in_minutes=minutes,
            queued_timeout_in_minutes=QUEUED_MINUTES,
        )
        self.role.come_before(defined)
        acknowledge(
            defined,
            {"AwsSolutions-CB3": "Docker builds an image only in privileged mode; its role can push and no more"},
        )
        watch(
            self,
            "Failed",
            alarms=alarms,
            watched=defined,
            metric=Metric("AWS/CodeBuild", "FailedBuilds", {"ProjectName": name}),
            description=f"A build of {repository.name} failed",
            runbook="Read the build's log; the state machine's failure notice names the run that waited for it",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The build's role."""
        return self.role

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets a state machine start builds, wait for them (``.sync``) and stop them."""
        grant(
            grantee,
            ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"],
            arn("codebuild", f"project/{self.name}"),
        )
        grant(
            grantee,
            ["events:DescribeRule", "events:PutRule", "events:PutTargets"],
            arn("events", "rule/StepFunctionsGetEventForCodeBuildStartBuildRule"),
        )


def _build_spec() -> str:
    return json.dumps(
        {"version": 0.2, "env": {"shell": "bash"}, "phases": {"build": {"commands": ["\n".join(COMMANDS)]}}}
    )
