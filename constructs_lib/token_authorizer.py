"""What checks tokens of any OpenID provider for an API."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from constructs_lib.alarms import NoAlarms
from constructs_lib.grants import arn
from constructs_lib.names.api_file import Tokens
from constructs_lib.names.openapi import Checked
from constructs_lib.place import ACCOUNT, PARTITION, REGION
from constructs_lib.python_function import PythonFunction

_SECONDS = 15
_SILENCE = NoAlarms(
    "A refused token is an error of this function, by API Gateway's contract; where it fails itself, "
    "the API answers 503, and the alarm on the API's own failures goes off"
)


class TokenAuthorizer(Construct):
    """Defines the function that tells a REST API whether a token counts; it may do nothing but write its log and trace.

    It runs outside the VPC, so that it reaches the issuer.

    Args:
        name: Name of the API.
        tokens: Which tokens count.
        scopes: One of these a token must have; empty asks for none.
        log_key: Encrypts the log.
        log_retention_days: How long the log is kept, in days.

    Attributes:
        checked: How the API's document names it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        tokens: Tokens,
        scopes: Sequence[str],
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        rules = {**tokens.model_dump(mode="json", include={"issuer", "audiences", "claims"}), "scopes": list(scopes)}
        self._function = PythonFunction(
            self,
            "Function",
            folder="authorize_token",
            description=f"Checks the tokens with which {name} is asked",
            timeout_seconds=_SECONDS,
            alarms=_SILENCE,
            log_key=log_key,
            log_retention_days=log_retention_days,
            environment={"RULES": json.dumps(rules, sort_keys=True)},
        )
        path = f"path/2015-03-31/functions/{self._function.function_arn}/invocations"
        self.checked = Checked(f"arn:{PARTITION}:apigateway:{REGION}:lambda:{path}", tokens.cache_seconds)

    def permit(self, rest_api_id: str) -> lambda_.CfnPermission:
        """Lets the authorizers of one API call the function: API Gateway makes up their ids when it imports a document.

        Args:
            rest_api_id: Of the API.
        """
        return lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self._function.function_arn,
            principal="apigateway.amazonaws.com",
            source_account=ACCOUNT,
            source_arn=arn("execute-api", f"{rest_api_id}/authorizers/*"),
        )
