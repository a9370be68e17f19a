"""Models that passed the gate are sealed and signed; whoever deploys one finds out whether it is still the same."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.machines.signing import MODELS, READING_SECONDS, SigningParts
from constructs_lib.python_function import PythonFunction

_MEMORY_MB = 1024
"""The more memory, the more network: archives are read to the end."""


class ModelSigning(Construct):
    """Defines the two functions that guard what a model is: one seals and signs, the other verifies.

    Only the first may use the key to sign, and only it may write where sealed archives lie. Training, evaluation and
    endpoints can do neither.

    Args:
        workload: Whose models they are.
        lake: Where archives are; its key signs.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the functions' logs are kept, in days.

    Attributes:
        sign, verify: The functions.
        parts: What the state machines need to know of them.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        lake: DataLake,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        models = f"{workload}/{MODELS}/"

        def function(name: str, folder: str, description: str) -> PythonFunction:
            return PythonFunction(
                self,
                name,
                folder=folder,
                description=description,
                timeout_seconds=READING_SECONDS,
                memory_mb=_MEMORY_MB,
                alarms=alarms,
                log_key=lake.key,
                log_retention_days=log_retention_days,
                environment={
                    "WORKLOAD": workload,
                    "MODELS_URI": f"s3://{lake.artefacts.bucket_name}/{models}",
                    "SIGNING_KEY_ARN": lake.signing_key.key_arn,
                },
            )

        self.sign = function("Sign", "sign_model", f"Seals and signs models of {workload}")
        lake.grant_read(self.sign, "artefacts", f"{workload}/")
        lake.grant_write(self.sign, "artefacts", models)
        lake.grant_sign(self.sign)
        self.verify = function("Verify", "verify_model", f"Finds out whether models of {workload} are what was signed")
        lake.grant_read(self.verify, "artefacts", models)
        lake.grant_verify(self.verify)
        self.parts = SigningParts(self.sign.function_arn, self.verify.function_arn)

    def grant_register(self, grantee: iam.IGrantable) -> None:
        """Lets somebody have models signed and verified."""
        self.sign.grant_invoke(grantee)
        self.grant_verify(grantee)

    def grant_verify(self, grantee: iam.IGrantable) -> None:
        """Lets somebody have models verified."""
        self.verify.grant_invoke(grantee)
