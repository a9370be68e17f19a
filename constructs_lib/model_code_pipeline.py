"""From a commit that changes a workload's scripts to a training with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric, NoAlarms, record_silence
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole
from constructs_lib.image_build import BUILDER
from constructs_lib.names.code_paths import model_code
from constructs_lib.repository_build import PYTHON

SOURCE_ACTION = "Source"


@dataclass(frozen=True)
class ModelCodeBuilds:
    """How the builds of all workloads run.

    Args:
        bucket: Where artefacts are kept.
        key: Encrypts them.
        log: Where builds log.
        compute: Size of the machine that tests.
        test_role: Tests, and may do nothing else.
        publish_role: Publishes, under a role of the stage.
        alarms: Whom to tell of failures.
    """

    bucket: s3.IBucket
    key: kms.IKey
    log: logs.ILogGroup
    compute: str
    test_role: iam.IRole
    publish_role: iam.IRole
    alarms: Alarms


def depend_on_policy(pipeline: codepipeline.CfnPipeline, role: iam.Role) -> None:
    """Lets a pipeline be made after its role's policy; that it comes after the role follows from its properties."""
    policy = role.node.find_child("DefaultPolicy").node.default_child
    assert isinstance(policy, iam.CfnPolicy)  # noqa: S101
    pipeline.add_override("DependsOn", [Stack.of(pipeline).get_logical_id(policy)])


class ModelCodePipeline(Construct):
    """Defines the pipeline of one workload's scripts: its tests, then its bundle and the wish for a training.

    Args:
        name: Name of the pipeline.
        workload: The workload.
        source: The action that fetches the repository, with its history.
        checkout: What it fetches.
        branch: The branch, where pushes can be filtered by path; otherwise something else starts the pipeline.
        builds: How the builds run.
        test: Commands that test the workload.
        publish: Commands that publish it.
        variables: Environment of the publishing build.

    Attributes:
        pipeline: The pipeline.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        workload: str,
        source: actions.Action,
        checkout: codepipeline.Artifact,
        branch: str | None,
        builds: ModelCodeBuilds,
        test: Sequence[str],
        publish: Sequence[str],
        variables: Mapping[str, str],
    ) -> None:
        super().__init__(scope, construct_id)
        description = f"Tests and publishes scripts of {workload}"
        role = ServiceRole(self, "Role", service="codepipeline.amazonaws.com", description=description)
        steps = (
            ("Test", builds.test_role, test, builds.compute, {"WORKLOAD": workload}),
            ("Publish", builds.publish_role, publish, "small", {"WORKLOAD": workload, **variables}),
        )
        self.pipeline = codepipeline.Pipeline(
            self,
            "Pipeline",
            pipeline_name=name,
            pipeline_type=codepipeline.PipelineType.V2,
            execution_mode=codepipeline.ExecutionMode.SUPERSEDED,
            role=role,
            use_pipeline_role_for_actions=True,
            artifact_bucket=builds.bucket,
            stages=[codepipeline.StageProps(stage_name="Source", actions=[source])],
        )
        for step, step_role, commands, compute, environment in steps:
            project = self._project(step, step_role, commands, compute, environment, builds)
            action = actions.CodeBuildAction(action_name=step, input=checkout, project=project)
            self.pipeline.add_stage(stage_name=step, actions=[action])
        resource = self.pipeline.node.default_child
        assert isinstance(resource, codepipeline.CfnPipeline)  # noqa: S101
        depend_on_policy(resource, role)
        if branch is not None:
            push = {"Branches": {"Includes": [branch]}, "FilePaths": {"Includes": list(model_code(workload))}}
            trigger = {
                "ProviderType": "CodeStarSourceConnection",
                "GitConfiguration": {"SourceActionName": SOURCE_ACTION, "Push": [push]},
            }
            resource.add_property_override("Triggers", [trigger])
        watch(
            self,
            "Failed",
            alarms=builds.alarms,
            watched=resource,
            metric=Metric("AWS/CodePipeline", "FailedPipelineExecutions", {"PipelineName": name}),
            description=f"Scripts of {workload} were not tested or not published",
            runbook="Open the execution and read the log of the action that failed; a corrected commit starts another",
        )

    def _project(
        self,
        step: str,
        role: iam.IRole,
        commands: Sequence[str],
        compute: str,
        environment: Mapping[str, str],
        builds: ModelCodeBuilds,
    ) -> codebuild.PipelineProject:
        phases = {"install": {"runtime-versions": {"python": PYTHON}}, "build": {"commands": list(commands)}}
        project = codebuild.PipelineProject(
            self,
            step,
            role=role,
            encryption_key=builds.key,
            build_spec=codebuild.BuildSpec.from_object({"version": "0.2", "phases": phases}),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.from_code_build_image_id(BUILDER),
                compute_type=getattr(codebuild.ComputeType, compute.upper()),
                environment_variables={
                    key: codebuild.BuildEnvironmentVariable(value=value) for key, value in environment.items()
                },
            ),
            logging=codebuild.LoggingOptions(cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=builds.log)),
            grant_report_group_permissions=False,
            timeout=Duration.hours(4),
            queued_timeout=Duration.hours(1),
        )
        resource = project.node.default_child
        assert isinstance(resource, codebuild.CfnProject)  # noqa: S101
        record_silence(resource, NoAlarms("A build that fails fails its pipeline, whose alarm goes off"))
        return project
