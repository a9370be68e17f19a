"""A SageMaker pipeline, which a state machine starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, arn, grant
from constructs_lib.sagemaker_jobs import SERVICE, SageMakerJobs

METRICS = "AWS/Sagemaker/ModelBuildingPipeline"
"""The namespace, in the spelling that pipelines use."""


class TrainingPipeline(Construct):
    """Defines a SageMaker pipeline whose steps are jobs of the given kinds.

    Its role may start these jobs and nothing else; what a job reads and writes is up to the job's own role.

    Args:
        name: Physical name.
        description: What it does, as Studio shows it.
        definition: The definition as an object; may hold tokens.
        jobs: The kinds of jobs that its steps start.
        alarms: Whom to tell when a run fails, whoever started it, or why nobody is told.

    Attributes:
        name: Physical name.
        role: The pipeline's role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        description: str,
        definition: Mapping[str, Any],
        jobs: Sequence[SageMakerJobs],
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        self.role = ServiceRole(self, "Role", service=SERVICE, description=f"SageMaker pipeline {name}")
        for each in jobs:
            each.grant_start(self.role)
        pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=name,
            pipeline_description=description,
            pipeline_definition={"PipelineDefinitionBody": Stack.of(self).to_json_string(definition)},
            role_arn=self.role.role_arn,
        )
        self.role.come_before(pipeline)
        watch(
            self,
            "ExecutionFailed",
            alarms=alarms,
            watched=pipeline,
            metric=Metric(METRICS, "ExecutionFailed", {"PipelineName": name}),
            description=f"A run of the SageMaker pipeline {name} failed",
            runbook="Look at the run's steps in Studio, or read the failure notice of the state machine that started "
            "it; mend the cause, then redrive that machine's execution",
        )

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets a state machine start runs, follow and stop them, and look at the jobs that they started."""
        runs = arn("sagemaker", f"pipeline/{self.name}")
        grant(grantee, ["sagemaker:StartPipelineExecution"], runs)
        grant(
            grantee,
            [
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
                "sagemaker:StopPipelineExecution",
            ],
            f"{runs}/execution/*",
        )
