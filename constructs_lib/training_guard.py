"""Watches the trainings of a workload from outside of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.dead_letters import DeadLetters
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant, grant_metrics
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.guard import GuardParts, guard_machine
from constructs_lib.names import metrics
from constructs_lib.names.guard_file import Guard
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.python_function import PythonFunction

_JOB_LOG = "log-group:/aws/sagemaker/TrainingJobs"


class TrainingGuard(Construct):
    """Defines the machine that looks at each training of a workload while it runs, and what starts it.

    Every training job whose name starts with the workload's prefix is watched, the trials of a tuning among them. The
    machine may stop these jobs and no others.

    Args:
        around: What is around the workload's machines.
        guard: By which rules, and where the losses are read.
        most_minutes: How long a training may run.
        alarms: Whom to tell when the watching itself fails, or why nobody is told.
        log_key: Encrypts the logs. Its policy must let CloudWatch Logs use it.
        log_retention_days: How long logs are kept, in days.

    Attributes:
        machine: The machine; it still has to be allowed to write its records and to notify.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        guard: Guard,
        most_minutes: int,
        alarms: Alarms,
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        logs: dict[str, Any] = {"log_key": log_key, "log_retention_days": log_retention_days, "alarms": alarms}
        look = PythonFunction(
            self,
            "Look",
            folder="watch_training",
            description="Looks whether a training gets anywhere",
            timeout_seconds=120,
            also=[("sagemaker_jobs/in_scripts", "gapless_guard")],
            **logs,
        )
        jobs = arn("sagemaker", f"training-job/{around.prefix}*")
        grant(look, ["sagemaker:DescribeTrainingJob"], jobs)
        grant(look, ["logs:DescribeLogStreams"], arn("logs", _JOB_LOG), arn("logs", f"{_JOB_LOG}:*"))
        grant(look, ["logs:GetLogEvents"], arn("logs", f"{_JOB_LOG}:log-stream:{around.prefix}*"))
        acknowledge(
            look.role,
            {
                "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:"
                f"{_JOB_LOG}:*]": "SageMaker writes all trainings into one group; only this workload's streams are read"
            },
        )
        self.machine = PipelineMachine(
            self,
            "Machine",
            name=around.name_of("guard"),
            definition=guard_machine(
                around,
                GuardParts(
                    watch_training_arn=look.function_arn,
                    backend="debugger" if guard.watch == "debugger" else "log",
                    rules=json.loads(guard.rules_json()),
                    patterns=guard.log.model_dump(mode="json"),
                    most_minutes=most_minutes,
                ),
            ),
            **logs,
        )
        look.grant_invoke(self.machine)
        grant(self.machine, ["sagemaker:StopTrainingJob"], jobs)
        grant_metrics(self.machine, metrics.NAMESPACE)
        self._start_by(around.prefix, alarms)

    def _start_by(self, prefix: str, alarms: Alarms) -> None:
        dead = DeadLetters(self, "starts the machine")
        role = ServiceRole(
            self, "StarterRole", service="events.amazonaws.com", description=f"Starts the guard of {prefix}"
        )
        self.machine.grant_start(role)
        rule = events.CfnRule(
            self,
            "TrainingBegun",
            description=f"A training of {prefix} has begun",
            event_pattern=training_begun(prefix),
            state="ENABLED",
            targets=[dead.target("Guard", arn=self.machine.machine_arn, role_arn=role.role_arn)],
        )
        role.come_before(rule)
        dead.watch(
            "NotWatched",
            rule=rule,
            alarms=alarms,
            description="A training is not watched: the guard's machine could not be started",
            runbook="May the rule start the machine? The training goes on; its own time limit still ends it",
        )


def training_begun(prefix: str) -> Mapping[str, Any]:
    """Returns the pattern of SageMaker's event of a training whose container has started."""
    return {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {
            "TrainingJobStatus": ["InProgress"],
            "SecondaryStatus": ["Training"],
            "TrainingJobName": [{"prefix": prefix}],
        },
    }
