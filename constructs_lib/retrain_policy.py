"""The function that decides whether a workload trains again, and remembers what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsii
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.names.retraining_file import Retraining
from constructs_lib.probation import gone_off
from constructs_lib.python_function import PythonFunction


@jsii.implements(iam.IGrantable)
class RetrainPolicy(Construct):
    """Defines the function ``decide_retrain``, which the loop machine asks.

    Whoever starts executions tells it of models that were taken back after they had been let through. What it remembers
    is one item of the runs table; every decision is one of the audit table.

    Args:
        workload: Whose trainings.
        rules: When it may train.
        lake: Has the tables.
        alarms: Whom to tell when the function fails.
        log_retention_days: How long its log is kept, in days.

    Attributes:
        function_arn, function_name: Of the function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        rules: Retraining,
        lake: DataLake,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._function = PythonFunction(
            self,
            "Function",
            folder="decide_retrain",
            description=f"Decides whether {workload} trains again",
            timeout_seconds=60,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            environment={
                "WORKLOAD": workload,
                "RUNS_TABLE": lake.runs_table.table_name,
                "LEASES_TABLE": lake.leases_table.table_name,
                "AUDIT_TABLE": lake.audit_table.table_name,
                "POLICY": json.dumps(rules.policy(), sort_keys=True),
            },
        )
        lake.grant_table(self._function, lake.runs_table, "dynamodb:GetItem", "dynamodb:PutItem")
        lake.grant_table(self._function, lake.leases_table, "dynamodb:GetItem")
        lake.grant_table(self._function, lake.audit_table, "dynamodb:PutItem")
        self.function_arn: str = self._function.function_arn
        self.function_name: str = self._function.function_name

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The function's role, so that grants can be given to the function."""
        return self._function.grant_principal

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody ask for a decision, and tell what became of a training."""
        self._function.grant_invoke(grantee)


def asking_events(workload: str, rules: Retraining, alarm_names: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Returns the patterns of events that ask for a training, by the ids of their rules.

    Args:
        workload: Whose training.
        rules: Who may ask.
        alarm_names: Family of the monitor's checks to the name of its alarm; empty where nothing is monitored.
    """
    patterns: dict[str, Mapping[str, Any]] = {}
    if "manual" in rules.triggers:
        detail = {"workload": [workload]}
        patterns["RetrainRequested"] = {"source": ["gapless"], "detail-type": ["Retrain Requested"], "detail": detail}
    watched = [alarm_names[family] for family in rules.alarms if family in alarm_names]
    if watched:
        patterns["MonitorGoneOff"] = gone_off(*watched)
    return patterns
