"""Functions that are called once a night."""

from __future__ import annotations

from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.dead_letters import DeadLetters
from constructs_lib.place import ACCOUNT
from constructs_lib.python_function import PythonFunction


def run_every_night(
    scope: Construct,
    function: PythonFunction,
    *,
    schedule: str,
    description: str,
    not_done: str,
    alarms: Alarms,
) -> None:
    """Defines what calls a function with EventBridge's event; a call that could not be made sets off an alarm.

    Args:
        scope: Gets the rule and the queue of calls that could not be made.
        function: The function.
        schedule: When, such as ``cron(17 3 * * ? *)`` (UTC).
        description: What the function does.
        not_done: What is not done when it could not be called, for the alarm.
        alarms: Whom to tell then, or why nobody is told.
    """
    dead = DeadLetters(scope, "calls the function")
    rule = events.CfnRule(
        scope,
        "Nightly",
        description=description,
        schedule_expression=schedule,
        state="ENABLED",
        targets=[dead.target("Function", arn=function.function_arn)],
    )
    lambda_.CfnPermission(
        scope,
        "Permission",
        action="lambda:InvokeFunction",
        function_name=function.function_arn,
        principal="events.amazonaws.com",
        source_account=ACCOUNT,
        source_arn=rule.attr_arn,
    )
    dead.watch(
        "NotCalled",
        rule=rule,
        alarms=alarms,
        description=f"{not_done}: the function could not be called",
        runbook="May the rule call the function? The next night goes on by itself; delete the message",
    )
