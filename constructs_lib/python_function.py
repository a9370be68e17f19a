"""A Lambda function in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.code_asset import code_asset
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, acknowledge, grant

RUNTIME = "python3.14"
"""The newest Python that Lambda runs."""

SHARED = "gapless_lambda"

_TRACING = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
_WITHOUT_RESOURCE = {
    "AwsSolutions-IAM5[Resource::*]": "X-Ray knows no resources, and neither do metrics where they are granted"
}


@jsii.implements(iam.IGrantable)
class PythonFunction(Construct):
    """Defines a Lambda function, traced, from a folder of ``lambda/`` and the package that all functions share.

    The asset holds nothing else, so an edit of one function deploys one function. The role may write the function's
    own log and traces, and nothing more; whatever it reads or writes comes with the owner's grants:
    ``lake.grant_read(function)``.

    Args:
        folder: The folder under ``lambda/``; its ``handler.py`` has a function ``handler(event, context)``.
        description: What the function does.
        timeout_seconds: Its time limit, at most 900.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_key: Encrypts the log. Its policy must let CloudWatch Logs use it.
        log_retention_days: How long the log is kept, in days.
        environment: Environment variables. Default: none.
        memory_mb: Memory, in MB. Default: 256.
        scratch_mb: Room below ``/tmp``, in MB. Default: what Lambda gives, 512.
        also: Packages that it shares with code elsewhere, as pairs of root and folder. Default: none.
        shared: Modules of ``constructs_lib/names`` that no other function shares. Default: none.
        role_name: Physical name of the role, where another account has to know it. Default: CloudFormation makes one.

    Attributes:
        function_arn, function_name: Of the function.
        code_hash: Changes with its code.
        log_name: Name of its log group.
        role: Its role.
        alarms: The alarm, or nothing.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The timeout is out of range.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        folder: str,
        description: str,
        timeout_seconds: int,
        alarms: Alarms,
        log_key: kms.IKey,
        log_retention_days: int,
        environment: Mapping[str, str] | None = None,
        memory_mb: int = 256,
        scratch_mb: int | None = None,
        also: Sequence[tuple[str, str]] = (),
        shared: Sequence[str] = (),
        role_name: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        if not 1 <= timeout_seconds <= 900:
            raise ValueError(
                f"timeout of function {folder!r} must be between 1 and 900 seconds, got: {timeout_seconds}"
            )
        self.role = ServiceRole(self, "Role", service="lambda.amazonaws.com", description=description, name=role_name)
        log = logs.CfnLogGroup(self, "Log", kms_key_id=log_key.key_arn, retention_in_days=log_retention_days)
        grant(self.role, ["logs:CreateLogStream", "logs:PutLogEvents"], log.attr_arn)
        grant(self.role, _TRACING, "*")
        acknowledge(self.role, _WITHOUT_RESOURCE)
        code = function_code(self, folder, also, shared)
        function = lambda_.CfnFunction(
            self,
            "Function",
            description=description,
            runtime=RUNTIME,
            architectures=["arm64"],
            handler=f"{folder}.handler.handler",
            code=lambda_.CfnFunction.CodeProperty(s3_bucket=code.s3_bucket_name, s3_key=code.s3_object_key),
            role=self.role.role_arn,
            timeout=timeout_seconds,
            memory_size=memory_mb,
            ephemeral_storage=None
            if scratch_mb is None
            else lambda_.CfnFunction.EphemeralStorageProperty(size=scratch_mb),
            logging_config=lambda_.CfnFunction.LoggingConfigProperty(log_group=log.ref),
            environment=lambda_.CfnFunction.EnvironmentProperty(variables=dict(environment or {})),
            tracing_config=lambda_.CfnFunction.TracingConfigProperty(mode="Active"),
        )
        self.role.come_before(function)
        self.function_name: str = function.ref
        self.function_arn: str = function.attr_arn
        self.code_hash: str = code.asset_hash
        self.log_name: str = log.ref
        self.alarms: list[cloudwatch.CfnAlarm] = watch(
            self,
            "Errors",
            alarms=alarms,
            watched=function,
            metric=Metric("AWS/Lambda", "Errors", {"FunctionName": self.function_name}),
            description=f"Function {folder} failed",
            runbook="Read the function's log; the caller's input is in the state machine's execution or in the queue",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The function's role, so that grants can be given to the function."""
        return self.role

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody call the function."""
        grant(grantee, ["lambda:InvokeFunction"], self.function_arn)


def function_code(
    scope: Construct, folder: str, also: Sequence[tuple[str, str]] = (), shared: Sequence[str] = ()
) -> assets.Asset:
    """Defines the asset of one function: its folder, the shared package and the shared names.

    Args:
        folder, also, shared: As for ``PythonFunction``.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    return code_asset(scope, "Code", root="lambda", folders=[folder, SHARED], also=also, shared=shared)
