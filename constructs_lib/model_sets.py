"""Sets of models: what an endpoint of several models serves is made of one signed archive, below its own prefix."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.machines.deployment import ModelSet
from constructs_lib.machines.signing import MODELS, READING_SECONDS
from constructs_lib.names.segments import SETS
from constructs_lib.python_function import PythonFunction

_MEMORY_MB = 3008
_SCRATCH_MB = 4096
"""Room for an archive, and twice for what is in it."""


class ModelSets(Construct):
    """Defines the function that makes an archive of each model of a version; it alone may write where sets lie.

    Args:
        workload: Whose models they are.
        allow_pickle: Whether archives may hold pickles.
        lake: Where archives are.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.

    Attributes:
        parts: What the deployment machine needs to know.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        allow_pickle: bool,
        lake: DataLake,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        folder = f"s3://{lake.artefacts.bucket_name}/{workload}"
        self._function = PythonFunction(
            self,
            "Unpack",
            folder="unpack_models",
            description=f"Makes an archive of each model of a version of {workload}",
            timeout_seconds=READING_SECONDS,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            environment={
                "MODELS_URI": f"{folder}/{MODELS}/",
                "SETS_URI": f"{folder}/{SETS}/",
                "ALLOW_PICKLE": str(allow_pickle).lower(),
            },
            memory_mb=_MEMORY_MB,
            scratch_mb=_SCRATCH_MB,
            also=[("sagemaker_jobs", "gapless_sagemaker")],
            shared=["bundle.py"],
        )
        self._lake, self._folder = lake, f"{workload}/{SETS}/"
        lake.grant_read(self._function, "artefacts", f"{workload}/{MODELS}/")
        lake.grant_write(self._function, "artefacts", self._folder)
        self.parts = ModelSet(self._function.function_arn, Aws.REGION)

    def grant_unpack(self, grantee: iam.IGrantable) -> None:
        """Lets somebody have a version unpacked."""
        self._function.grant_invoke(grantee)

    def grant_serve(self, grantee: iam.IGrantable) -> None:
        """Lets containers read sets and their scripts, and nothing else of what was made of models."""
        self._lake.grant_read(grantee, "artefacts", self._folder)
