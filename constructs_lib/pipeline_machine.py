"""A Step Functions state machine that runs a pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import jsii
from aws_cdk import CfnResource, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant
from constructs_lib.place import PARTITION

MACHINES = "/aws/vendedlogs/states/"
"""What the names of machines' log groups start with."""

_LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
)
_TRACING = (
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
)


@jsii.implements(iam.IGrantable)
class PipelineMachine(Construct):
    """Defines a standard state machine whose every step is logged (without data) and traced.

    The role may log and trace; what the states call comes with the owners' grants: ``function.grant_invoke(machine)``.

    Args:
        name: Physical name.
        definition: Amazon States Language, as ``constructs_lib.asl.machine`` builds it; may hold tokens.
        alarms: Whom to tell when an execution fails or runs out of time, or why nobody is told.
        log_key: Encrypts the log. Its policy must let CloudWatch Logs use it.
        log_retention_days: How long the log is kept, in days.

    Attributes:
        name: Physical name.
        machine_arn: ARN, without depending on the machine.
        role: The machine's role.
        alarms: The alarms, or nothing.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        definition: Mapping[str, Any],
        alarms: Alarms,
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        self.machine_arn = arn("states", f"stateMachine:{name}")
        self.role = ServiceRole(self, "Role", service="states.amazonaws.com", description=f"State machine {name}")
        grant(self.role, [*_LOG_DELIVERY, *_TRACING], "*")
        acknowledge(
            self.role,
            {"AwsSolutions-IAM5[Resource::*]": "Log delivery, tracing and metrics know no resources"},
        )
        log = logs.CfnLogGroup(
            self,
            "Log",
            log_group_name=f"{MACHINES}{name}",
            kms_key_id=log_key.key_arn,
            retention_in_days=log_retention_days,
        )
        machine = sfn.CfnStateMachine(
            self,
            "Machine",
            state_machine_name=name,
            state_machine_type="STANDARD",
            definition_string=Stack.of(self).to_json_string(_in_any_partition(definition)),
            role_arn=self.role.role_arn,
            logging_configuration=sfn.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                include_execution_data=False,
                destinations=[
                    sfn.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=sfn.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=log.attr_arn
                        )
                    )
                ],
            ),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        )
        self._machine = machine
        self.role.come_before(machine)
        self.alarms: list[cloudwatch.CfnAlarm] = [
            made
            for what, happened in (("ExecutionsFailed", "failed"), ("ExecutionsTimedOut", "ran out of time"))
            for made in watch(
                self,
                what,
                alarms=alarms,
                watched=machine,
                metric=Metric("AWS/States", what, {"StateMachineArn": self.machine_arn}),
                description=f"An execution of {name} {happened}",
                runbook="Read the failure notice (error, state, input); mend the cause, then redrive the execution",
            )
        ]

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The machine's role, so that grants can be given to the machine."""
        return self.role

    def come_after(self, grants: Iterable[CfnResource]) -> None:
        """Lets the machine be made when its grants are, so that no execution starts without them."""
        for each in grants:
            self._machine.add_resource_dependency(each)

    def grant_start(self, grantee: iam.IGrantable) -> None:
        """Lets somebody start executions."""
        grant(grantee, ["states:StartExecution"], self.machine_arn)

    def grant_describe_executions(self, grantee: iam.IGrantable) -> None:
        """Lets somebody see whether executions have ended."""
        grant(grantee, ["states:DescribeExecution"], arn("states", f"execution:{self.name}:*"))

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets another state machine run this one to its end (``startExecution.sync:2``)."""
        self.grant_start(grantee)
        grant(
            grantee,
            ["states:DescribeExecution", "states:StopExecution"],
            arn("states", f"execution:{self.name}:*"),
        )
        grant(
            grantee,
            ["events:DescribeRule", "events:PutRule", "events:PutTargets"],
            arn("events", "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"),
        )


def _in_any_partition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Lets the integrations of a definition be those of the partition that it is deployed to: China has its own."""
    text = json.dumps(definition)
    here: dict[str, Any] = json.loads(text.replace('"arn:aws:states:::', f'"arn:{PARTITION}:states:::'))
    return here
