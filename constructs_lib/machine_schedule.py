"""Machines that are started again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
        _start(self, workload, machine, does, alarms, "schedule", {"schedule_expression": schedule})


class MachineTrigger(Construct):
    """Defines what starts a machine whenever something has happened; a start that failed sets off an alarm.

    The input is that of ``MachineSchedule``, with the event's time and another ``triggered_by``.

    Args:
        workload: Whose machine it is.
        machine: The machine.
        pattern: The events, as EventBridge matches them.
        triggered_by: What the machine is told of who started it.
        does: What the machine does, for descriptions.
        alarms: Whom to tell when it could not be started, or why nobody is told.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        machine: PipelineMachine,
        pattern: Mapping[str, Any],
        triggered_by: str,
        does: str,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        _start(self, workload, machine, does, alarms, triggered_by, {"event_pattern": pattern})


def _start(
    scope: Construct,
    workload: str,
    machine: PipelineMachine,
    does: str,
    alarms: Alarms,
    triggered_by: str,
    when: Mapping[str, Any],
) -> None:
    role = ServiceRole(scope, "Role", service="events.amazonaws.com", description=f"Starts the machine that {does}")
    machine.grant_start(role)
    dead = DeadLetters(scope, "starts the machine")
    rule = events.CfnRule(
        scope,
        "Rule",
        description=f"Starts the machine that {does}",
        **when,
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
                        f'"triggered_by": "{triggered_by}"}}'
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
