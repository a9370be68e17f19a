"""Builds that events of a repository start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.dead_letters import DeadLetters
from constructs_lib.grants import ServiceRole, grant


class BuildOnEvent(Construct):
    """Defines what starts a build at each event of a pattern; a start that fails for a day sets off an alarm.

    Args:
        pattern: The events, on the default bus.
        project: The build.
        paths: Name to a path in the event, such as ``$.detail.commitId``.
        request: What the build is started with: parameters of ``StartBuild``, in which ``<name>`` stands for the value.
        not_done: What is not done when a build could not be started, for the alarm.
        alarms: Whom to tell then, or why nobody is told.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pattern: Mapping[str, Any],
        project: codebuild.CfnProject,
        paths: Mapping[str, str],
        request: Mapping[str, Any],
        not_done: str,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        role = ServiceRole(self, "Role", service="events.amazonaws.com", description="Starts a build at an event")
        grant(role, ["codebuild:StartBuild"], project.attr_arn)
        dead = DeadLetters(self, "starts the build")
        target = dead.target(
            "Build",
            arn=project.attr_arn,
            role_arn=role.role_arn,
            input_transformer=events.CfnRule.InputTransformerProperty(
                input_paths_map=dict(paths), input_template=json.dumps(dict(request))
            ),
        )
        rule = events.CfnRule(self, "Rule", event_pattern=dict(pattern), state="ENABLED", targets=[target])
        dead.watch(
            "NotStarted",
            rule=rule,
            alarms=alarms,
            description=f"{not_done}: the build could not be started",
            runbook="Read the message; may the rule start the build? Start it by hand, then delete the message",
        )


def variable(name: str, value: str) -> dict[str, str]:
    """Returns an environment variable as ``StartBuild`` takes it."""
    return {"name": name, "value": value, "type": "PLAINTEXT"}


def grant_pull(grantee: iam.IGrantable, repository_arn: str) -> None:
    """Lets a build clone a repository of CodeCommit."""
    grant(grantee, ["codecommit:GitPull"], repository_arn)
