"""What lets API Gateway write access logs, once per account and region."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

from constructs_lib.grants import ServiceRole, arn, grant


class ApiLogs(Construct):
    """Defines the role with which API Gateway writes logs, and names it in the account's settings.

    The setting is one for all APIs of the account and region; it takes the place of another one.

    Args:
        log_groups: Names of the log groups that are written to.
    """

    def __init__(self, scope: Construct, construct_id: str, *, log_groups: Sequence[str]) -> None:
        super().__init__(scope, construct_id)
        role = ServiceRole(
            self, "Role", service="apigateway.amazonaws.com", description="API Gateway writes access logs of our APIs"
        )
        grant(
            role,
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            *(arn("logs", f"log-group:{name}:*") for name in log_groups),
        )
        account = apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        role.come_before(account)
