"""A build of a repository that no pipeline runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsii
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, grant
from constructs_lib.image_build import BUILDER

PYTHON = "3.11"
QUEUED_MINUTES = 60


@jsii.implements(iam.IGrantable)
class RepositoryBuild(Construct):
    """Defines a build of a checkout with its whole history; it may write its log, and gets the rest by grants.

    Args:
        name: Name of the project.
        description: What it does.
        source: Where the repository is, as ``AWS::CodeBuild::Project`` has it.
        commands: What is run in the checkout.
        compute: Size of the machine: small, medium or large.
        minutes: How long a build may take.
        log: The log group.
        key: Encrypts what CodeBuild keeps.
        alarms: Whom to tell when a build fails, or why nobody is told.
        variables: Environment variables. Default: none.
        triggers: What starts it, as the project has it. Default: nothing starts it by itself.

    Attributes:
        project: The project.
        role: Its role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        description: str,
        source: Mapping[str, Any],
        commands: Sequence[str],
        compute: str,
        minutes: int,
        log: logs.CfnLogGroup,
        key: kms.IKey,
        alarms: Alarms,
        variables: Mapping[str, str] | None = None,
        triggers: codebuild.CfnProject.ProjectTriggersProperty | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = ServiceRole(self, "Role", service="codebuild.amazonaws.com", description=description)
        grant(self.role, ["logs:CreateLogStream", "logs:PutLogEvents"], log.attr_arn)
        project = codebuild.CfnProject
        self.project = project(
            self,
            "Project",
            name=name,
            description=description,
            service_role=self.role.role_arn,
            encryption_key=key.key_arn,
            source=project.SourceProperty(**source, git_clone_depth=0, build_spec=_build_spec(commands)),
            artifacts=project.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=project.EnvironmentProperty(
                type="LINUX_CONTAINER",
                compute_type=f"BUILD_GENERAL1_{compute.upper()}",
                image=BUILDER,
                privileged_mode=False,
                environment_variables=[
                    project.EnvironmentVariableProperty(name=variable, value=value)
                    for variable, value in (variables or {}).items()
                ],
            ),
            logs_config=project.LogsConfigProperty(
                cloud_watch_logs=project.CloudWatchLogsConfigProperty(status="ENABLED", group_name=log.ref)
            ),
            triggers=triggers,
            timeout_in_minutes=minutes,
            queued_timeout_in_minutes=QUEUED_MINUTES,
        )
        self.role.come_before(self.project)
        watch(
            self,
            "Failed",
            alarms=alarms,
            watched=self.project,
            metric=Metric("AWS/CodeBuild", "FailedBuilds", {"ProjectName": name}),
            description=f"{description}: a build failed",
            runbook="Read the build's log; what it should have started can be started by hand",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The build's role."""
        return self.role


def _build_spec(commands: Sequence[str]) -> str:
    phases = {"install": {"runtime-versions": {"python": PYTHON}}, "build": {"commands": list(commands)}}
    return json.dumps({"version": 0.2, "env": {"shell": "bash"}, "phases": phases})
