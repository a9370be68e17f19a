"""The four figures of DORA, published from events of deployments, of endpoints' alarms and of pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.grants import METRICS_WITHOUT_RESOURCE, acknowledge, arn, grant, grant_metrics
from constructs_lib.intake import EventIntake
from constructs_lib.keys import WRITE_ACTIONS
from constructs_lib.names import metrics
from constructs_lib.names.delivery import DEPLOYMENT_MACHINE, ENDPOINT
from constructs_lib.names.naming import runtime_prefix
from constructs_lib.python_function import PythonFunction

_SECONDS = 60


class DeliveryFigures(Construct):
    """Defines what records deliveries: rules, a queue and one function, for any number of workloads and pipelines.

    The figures are metrics: those of a model have the dimensions stage and workload, those of a pipeline its name. They
    come from what has happened, not from who did it: a deployment by hand counts as well.

    Args:
        stage: The stage whose workloads are watched, or the name of what only watches pipelines.
        records: Where runs are recorded; deliveries are recorded there as well. Its partition key is ``run``.
        key: Encrypts the table, and the function's log.
        alarms: Whom to tell when events cannot be recorded, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.
        workloads: Whose deployments count. Default: none.
        pipelines: Names of pipelines of this account and region that deliver the platform. Default: none.

    Attributes:
        function: The function.
        intake: The way from events to it.

    Raises:
        ValueError: There is nothing to watch.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        records: dynamodb.ITable,
        key: kms.IKey,
        alarms: Alarms,
        log_retention_days: int,
        workloads: Sequence[str] = (),
        pipelines: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        if not workloads and not pipelines:
            raise ValueError("delivery figures need at least one workload or pipeline, got none")
        self.function = PythonFunction(
            self,
            "Function",
            folder="record_delivery",
            description="Records deliveries, and publishes how often, how fast and how well they go",
            timeout_seconds=_SECONDS,
            alarms=alarms,
            log_key=key,
            log_retention_days=log_retention_days,
            environment={"STAGE": stage, "RECORDS_TABLE": records.table_name},
            shared=["delivery.py", "metrics.py"],
        )
        grant(self.function, ["dynamodb:GetItem", "dynamodb:PutItem"], records.table_arn)
        grant(self.function, WRITE_ACTIONS, key.key_arn)
        if workloads:
            packages = [arn("sagemaker", f"model-package/{runtime_prefix(stage, each)}*") for each in workloads]
            grant(self.function, ["sagemaker:DescribeModelPackage"], *packages)
        grant_metrics(self.function, metrics.NAMESPACE)
        acknowledge(self.function.role, METRICS_WITHOUT_RESOURCE)
        self.intake = EventIntake(
            self,
            "Intake",
            patterns={
                **(model_events(stage) if workloads else {}),
                **(pipeline_events(pipelines) if pipelines else {}),
            },
            starter=self.function,
            starter_timeout_seconds=_SECONDS,
            alarms=alarms,
            lost="a delivery or its failure is missing in the figures",
        )


def model_events(stage: str) -> dict[str, Mapping[str, Any]]:
    """Returns the patterns of what is told of a stage's deployments and of the alarms of what they put live."""
    return {
        "Deployment": {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {"stateMachineArn": [{"wildcard": f"*:stateMachine:{stage}-*-{DEPLOYMENT_MACHINE}"}]},
        },
        "Alarm": {
            "source": ["aws.cloudwatch"],
            "detail-type": ["CloudWatch Alarm State Change"],
            "detail": {"alarmName": [{"wildcard": f"{stage}-*-{ENDPOINT}-*"}], "state": {"value": ["ALARM", "OK"]}},
        },
    }


def pipeline_events(pipelines: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Returns the pattern of what is told of runs of pipelines."""
    return {
        "Pipeline": {
            "source": ["aws.codepipeline"],
            "detail-type": ["CodePipeline Pipeline Execution State Change"],
            "detail": {"pipeline": list(pipelines), "state": ["STARTED", "SUCCEEDED", "FAILED"]},
        }
    }
