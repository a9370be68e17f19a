"""The function that judges a test of two models on real requests."""

from __future__ import annotations

import json
from dataclasses import dataclass

import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.grants import acknowledge, grant
from constructs_lib.machines.monitoring import CAPTURE, OUTCOMES
from constructs_lib.names.experiment_file import Experiment
from constructs_lib.python_function import PythonFunction

JUDGEMENTS = "judgements"


@dataclass(frozen=True)
class Experimented:
    """What is judged, and where everything is.

    Attributes:
        artefacts: Bucket of artefacts.
        folder: The workload's folder in it, which ends in ``/``.
        audit_table: Gets final judgements.
    """

    workload: str
    problem: str
    endpoint: str
    artefacts: str
    folder: str
    audit_table: str


@jsii.implements(iam.IGrantable)
class ExperimentJudge(Construct):
    """Defines the function ``judge_experiment``; what it reads and writes comes with the lake's grants.

    Args:
        experimented: What is judged.
        rules: How.
        alarms: Whom to tell when it fails.
        log_key: Encrypts its log.
        log_retention_days: How long the log is kept, in days.

    Attributes:
        function_arn: To be called with ``{"workload", "experiment", "as_of"}``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        experimented: Experimented,
        rules: Experiment,
        alarms: Alarms,
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        base = f"s3://{experimented.artefacts}/{experimented.folder}"
        self._function = PythonFunction(
            self,
            "Function",
            folder="judge_experiment",
            description=f"Judges tests of two models of {experimented.workload} on real requests",
            timeout_seconds=900,
            memory_mb=1024,
            alarms=alarms,
            log_key=log_key,
            log_retention_days=log_retention_days,
            environment={
                "WORKLOAD": experimented.workload,
                "PROBLEM": experimented.problem,
                "ENDPOINT_NAME": experimented.endpoint,
                "CAPTURE_URI": f"{base}{CAPTURE}/",
                "OUTCOMES_URI": f"{base}{OUTCOMES}/",
                "JUDGEMENTS_URI": f"{base}{JUDGEMENTS}/",
                "AUDIT_TABLE": experimented.audit_table,
                "RULES": json.dumps(rules.rules(), sort_keys=True),
            },
        )
        self.function_arn = self._function.function_arn
        grant(self._function, ["cloudwatch:GetMetricData"], "*")
        reading = "CloudWatch knows no resources for metrics; reading them changes nothing and shows no data of others"
        acknowledge(self._function.role, {"AwsSolutions-IAM5[Resource::*]": reading})

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The function's role, so that grants can be given to the function."""
        return self._function.grant_principal

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody have an experiment judged."""
        self._function.grant_invoke(grantee)
