"""Machines that are started again and again."""

from __future__ import annotations

from aws_cdk import aws_events as events
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.dead_letters import DeadLetters
from constructs_lib.grants import ServiceRole
from constructs_lib.pipeline_machine import PipelineMachine


class MachineSchedule(Construct):
    """Defines what starts a machine at set times; a start that could not be made sets off an alarm.

    The input is ``{"run_id", "workload", "as_of", "triggered_by": "schedule"}``, ``as_of`` being the time that it was
    due. EventBridge may make a start twice, so the machine must bear that.

    Args:
        workload: Whose machine it is.
        machine: The machine.
        schedule: When, such as ``rate(15 minutes)`` or ``cron(17 3 * * ? *)`` (UTC).
        does: What the machine does, for descriptions, such as ``takes over models of churn``.
        alarms: Whom to tell when it could not be started, or why nobody is told.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        machine: PipelineMachine,
        schedule: str,
        does: str,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        role = ServiceRole(self, "Role", service="events.amazonaws.com", description=f"Starts the machine that {does}")
        machine.grant_start(role)
        dead = DeadLetters(self, "starts the machine")
        rule = events.CfnRule(
            self,
            "Rule",
            description=f"Starts the machine that {does}",
            schedule_expression=schedule,
            state="ENABLED",
            targets=[
                dead.target(
                    "Machine",
                    arn=machine.machine_arn,
                    role_arn=role.role_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={"id": "$.id", "time": "$.time"},
                        input_template=(
                            f'{{"run_id": "<id>", "workload": "{workload}", "as_of": "<time>", '
                            '"triggered_by": "schedule"}'
                        ),
                    ),
                    tries=10,
                    hours=1,
                )
            ],
        )
        dead.watch(
            "NotStarted",
            rule=rule,
            alarms=alarms,
            description=f"The machine that {does} could not be started",
            runbook="May the rule start the machine? The next time goes on by itself; delete the message",
        )
