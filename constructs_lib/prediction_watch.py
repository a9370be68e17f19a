"""The function that says during a rollout how far the predictions of an endpoint have moved."""

from __future__ import annotations

import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.machines.deployment import VARIANT
from constructs_lib.machines.monitoring import CAPTURE
from constructs_lib.python_function import PythonFunction


@jsii.implements(iam.IGrantable)
class PredictionsWatcher(Construct):
    """Defines the function ``watch_predictions``, which reads what the endpoint captures.

    Args:
        stage, workload: Dimensions of its metric; the workload's folder of the artefacts has what was captured.
        endpoint_name: Whose predictions are compared.
        lake: Holds what was captured.
        alarms: Whom to tell when it fails.
        log_key: Encrypts its log.
        log_retention_days: How long the log is kept, in days.

    Attributes:
        function_arn: To be called with ``{"since", "as_of"}``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        endpoint_name: str,
        lake: DataLake,
        alarms: Alarms,
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        folder = f"{workload}/{CAPTURE}/"
        self._function = PythonFunction(
            self,
            "Function",
            folder="watch_predictions",
            description=f"Compares predictions of {workload} before and during a rollout",
            timeout_seconds=60,
            memory_mb=512,
            alarms=alarms,
            log_key=log_key,
            log_retention_days=log_retention_days,
            environment={
                "STAGE": stage,
                "WORKLOAD": workload,
                "ENDPOINT_NAME": endpoint_name,
                "VARIANT": VARIANT,
                "CAPTURE_URI": f"s3://{lake.artefacts.bucket_name}/{folder}",
            },
        )
        self.function_arn = self._function.function_arn
        lake.grant_read(self, "artefacts", folder)

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The function's role, so that grants can be given to the function."""
        return self._function.grant_principal

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody have predictions compared."""
        self._function.grant_invoke(grantee)
