"""Who lets SageMaker Autopilot search for a model, and what its jobs may do."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.grants import arn, grant, grant_pass_role
from constructs_lib.images import RegistryImage
from constructs_lib.sagemaker_jobs import SERVICE, SageMakerRole

JOBS = ("processing-job", "training-job", "transform-job")
"""What a search consists of; each of them has a name that starts with that of the search."""

_LOGS = ("ProcessingJobs", "TrainingJobs", "TransformJobs")


class AutoMLSearch(Construct):
    """Lets a role be that of AutoML jobs, which start jobs of their own under the same role.

    Args:
        role: The role. What the search reads and writes comes with the data's own grants.
        prefix: What the names of AutoML jobs start with.
        images: What their jobs run, beside the image that the role has already.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        role: SageMakerRole,
        prefix: str,
        images: Sequence[RegistryImage],
    ) -> None:
        super().__init__(scope, construct_id)
        self._role, self._prefix = role, prefix
        for kind in JOBS:
            name = "".join(word.capitalize() for word in kind.split("-"))
            grant(
                role,
                [f"sagemaker:{verb}{name}" for verb in ("Create", "Describe", "Stop")],
                arn("sagemaker", f"{kind}/{prefix}*"),
            )
        models = arn("sagemaker", f"model/{prefix}*")
        grant(role, ["sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:DeleteModel"], models)
        named = [arn("sagemaker", f"{kind}/{prefix}*") for kind in JOBS]
        grant(role, ["sagemaker:AddTags", "sagemaker:ListTags"], *named, models)
        grant_pass_role(role, role, SERVICE)
        for image in images:
            image.grant_pull(role)
        groups = [arn("logs", f"log-group:/aws/sagemaker/{name}") for name in _LOGS]
        grant(
            role,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            *groups,
            *(f"{group}:*" for group in groups),
        )

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets a state machine start searches, follow and stop them."""
        grant(
            grantee,
            [
                "sagemaker:AddTags",
                "sagemaker:CreateAutoMLJobV2",
                "sagemaker:DescribeAutoMLJobV2",
                "sagemaker:StopAutoMLJob",
            ],
            arn("sagemaker", f"automl-job/{self._prefix}*"),
        )
        grant_pass_role(grantee, self._role, SERVICE)
