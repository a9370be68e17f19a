"""Comments on pull requests whose builds run code that nobody has reviewed, and so hold no token."""

from __future__ import annotations

from typing import Literal

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.grants import acknowledge, grant
from constructs_lib.intake import EventIntake
from constructs_lib.place import REGION, URL_SUFFIX
from constructs_lib.python_function import PythonFunction
from constructs_lib.repository_build import RepositoryBuild

_FOLDER = "pull-requests/"
_SECONDS = 120
_ENDED = ("SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT")


class PullRequestComments(Construct):
    """Defines what shows the text that a build of a pull request wrote as the one comment of that request.

    The build may write one object, named after its own session, and nothing else may write there. A function, which
    runs reviewed code only, reads it when the build has ended; it alone has the token.

    Args:
        pipeline: A name that comments carry, so that two pipelines know their own.
        build: The build; it gets ``differences_uri`` as a variable, and the leave to write by this construct.
        provider: Whose repository it is.
        repository: Owner and name.
        token_secret_arn: The secret that holds the token; it has to be encrypted by the key of Secrets Manager.
        bucket: Where texts lie until they are shown.
        key: Encrypts the bucket, and the function's log.
        alarms: Whom to tell when a comment cannot be written, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.

    Attributes:
        function: The function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pipeline: str,
        build: RepositoryBuild,
        provider: Literal["github", "gitlab", "bitbucket"],
        repository: str,
        token_secret_arn: str,
        bucket: s3.Bucket,
        key: kms.IKey,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        # A build's session has the role's id and the build's: arn:…:assumed-role/<role>/AWSCodeBuild-<build>.
        sessions = f"{differences_uri(bucket)}{build.role.role_id}:AWSCodeBuild-"
        self.function = PythonFunction(
            self,
            "Function",
            folder="comment_pull_request",
            description="Shows what pull requests change in the templates",
            timeout_seconds=_SECONDS,
            memory_mb=512,
            alarms=alarms,
            log_key=key,
            log_retention_days=log_retention_days,
            environment={
                "PIPELINE": pipeline,
                "PROVIDER": provider,
                "REPOSITORY": repository,
                "TOKEN_ARN": token_secret_arn,
                "DIFFERENCES_URI": sessions,
            },
        )
        _let_write(build, bucket, key)
        self._let_read(bucket, key, token_secret_arn)
        EventIntake(
            self,
            "Intake",
            patterns={"Ended": _ended(build)},
            starter=self.function,
            starter_timeout_seconds=_SECONDS,
            alarms=alarms,
            batch_size=1,
            waiting_minutes=75,
            lost="a pull request does not show what it changes",
        )

    def _let_read(self, bucket: s3.Bucket, key: kms.IKey, token_secret_arn: str) -> None:
        grant(self.function, ["s3:GetObject"], f"{bucket.bucket_arn}/{_FOLDER}*")
        # Without it S3 does not tell an object that is missing from one that is forbidden.
        conditions = {"StringLike": {"s3:prefix": f"{_FOLDER}*"}}
        grant(self.function, ["s3:ListBucket"], bucket.bucket_arn, conditions=conditions)
        grant(self.function, ["kms:Decrypt"], key.key_arn)
        grant(self.function, ["secretsmanager:GetSecretValue"], token_secret_arn)
        resource = bucket.node.default_child
        assert isinstance(resource, CfnResource)  # noqa: S101
        objects = f"<{Stack.of(self).get_logical_id(resource)}.Arn>/{_FOLDER}*"
        reason = "Each build writes an object of its own, which no template knows"
        acknowledge(self.function.role, {f"AwsSolutions-IAM5[Resource::{objects}]": reason})


def differences_uri(bucket: s3.Bucket) -> str:
    """Returns what the addresses of all texts begin with; the id of the session that writes it is the rest."""
    return f"s3://{bucket.bucket_name}/{_FOLDER}"


def _let_write(build: RepositoryBuild, bucket: s3.Bucket, key: kms.IKey) -> None:
    """Lets each session of the build write the object that bears the session's own id."""
    grant(build, ["s3:PutObject"], f"{bucket.bucket_arn}/{_FOLDER}${{aws:userid}}")
    through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.{URL_SUFFIX}"}}
    grant(build, ["kms:GenerateDataKey"], key.key_arn, conditions=through_s3)


def _ended(build: RepositoryBuild) -> dict[str, object]:
    return {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": [build.project.ref], "build-status": list(_ENDED)},
    }
