"""The time after a rollout in which late labels still judge the new model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_events as events
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.dead_letters import DeadLetters
from constructs_lib.grants import ServiceRole
from constructs_lib.machines.deployment.rollback import PROBATION, ROLLBACK
from constructs_lib.pipeline_machine import PipelineMachine


class Probation(Construct):
    """Defines an alarm on a model's quality by late labels, and what starts the way back when it goes off.

    The machine decides whether the model is still on probation; after that the alarm tells people and changes nothing.

    Args:
        name: Name of the alarm.
        quality: A metric that is above 0 where labels say that the model is worse than it has to be.
        machine: The deployment machine.
        alarms: Whom to tell.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        quality: Metric,
        machine: PipelineMachine,
        alarms: FailureAlarms,
    ) -> None:
        super().__init__(scope, construct_id)
        alarm(
            self,
            "Labels",
            alarms=alarms,
            name=name,
            metric=quality,
            threshold=0,
            comparison="GreaterThanThreshold",
            description="Labels that came later say that the model in service is worse than it has to be",
            runbook="On probation it is taken back by itself; after that, roll back or train again",
        )
        dead = DeadLetters(self, "starts the machine")
        role = ServiceRole(
            self, "StarterRole", service="events.amazonaws.com", description=f"Takes models back that {name} is about"
        )
        machine.grant_start(role)
        rule = events.CfnRule(
            self,
            "LabelsAreBad",
            description=f"The alarm {name} has gone off",
            event_pattern=gone_off(name),
            state="ENABLED",
            targets=[
                dead.target(
                    "WayBack",
                    arn=machine.machine_arn,
                    role_arn=role.role_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={"alarm": "$.detail.alarmName", "reason": "$.detail.state.reason"},
                        input_template=_wish(),
                    ),
                )
            ],
        )
        role.come_before(rule)
        dead.watch(
            "NotTakenBack",
            rule=rule,
            alarms=alarms,
            description="A model on probation was not taken back: the deployment machine could not be started",
            runbook="Roll back by hand; may the rule start the machine?",
        )


def gone_off(*names: str) -> Mapping[str, Any]:
    """Returns the pattern of CloudWatch's event of an alarm that has gone off, one of these."""
    return {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": list(names), "state": {"value": ["ALARM"]}},
    }


def _wish() -> str:
    """The input of the machine; what stands between angle brackets is a JSON text of its own."""
    fixed = json.dumps({"action": ROLLBACK, "cause": PROBATION})
    return fixed[:-1] + ', "actor": <alarm>, "reason": <reason>}'
