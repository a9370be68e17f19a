"""A REST API whose only method asks for predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.grants import acknowledge, arn, grant
from constructs_lib.names.api_file import Api
from constructs_lib.names.openapi import PATH, deployed
from constructs_lib.place import ACCOUNT, PARTITION, REGION, URL_SUFFIX
from constructs_lib.shifted_alias import ShiftedAlias
from constructs_lib.token_authorizer import TokenAuthorizer
from constructs_lib.web_firewall import WebFirewall

STAGE = "v1"
_FAILED_SHARE, _REFUSED_SHARE = 0.01, 0.25
_ON_TOP_MS = 1_000
_LOGGED = {
    "requestId": "$context.requestId",
    "time": "$context.requestTimeEpoch",
    "ip": "$context.identity.sourceIp",
    "caller": "$context.identity.caller",
    "status": "$context.status",
    "latencyMs": "$context.responseLatency",
    "integrationMs": "$context.integration.latency",
    "integrationError": "$context.integration.error",
    "error": "$context.error.message",
    "bytes": "$context.responseLength",
    "trace": "$context.xrayTraceId",
}
_INSIDE = "The API is imported from a document, in which this is said; the rule looks at separate resources only"


class PredictionApi(Construct):
    """Defines a REST API from an OpenAPI document, in front of an alias: nobody asks it without being known.

    Requests are limited, logged without their bodies, traced by X-Ray for a sample, and refused by the gateway where
    they are none at all.

    Args:
        name: Name of the API and of its access log.
        api: What the workload says of it.
        document: The OpenAPI document that callers read.
        alias: What answers.
        latency_ms: Milliseconds that the slowest hundredth of the requests may take inside the model.
        alarms: Whom to tell.
        log_key: Encrypts the access log.
        log_retention_days: How long it is kept, in days.

    Attributes:
        rest_api_id: Of the API.
        url: Where requests are posted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        api: Api,
        document: Mapping[str, Any],
        alias: ShiftedAlias,
        latency_ms: int,
        alarms: FailureAlarms,
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._name, self._alarms = name, alarms
        function = f"arn:{PARTITION}:apigateway:{REGION}:lambda:path/2015-03-31/functions/{alias.ref}/invocations"
        pool = None if api.user_pool is None else arn("cognito-idp", f"userpool/{api.user_pool}")
        tokens = (
            TokenAuthorizer(
                self,
                "Authorizer",
                name=name,
                tokens=api.tokens,
                scopes=api.scopes,
                log_key=log_key,
                log_retention_days=log_retention_days,
            )
            if api.tokens is not None
            else None
        )
        body = deployed(
            document,
            integration_uri=function,
            header=api.sticky_header,
            user_pool_arn=pool,
            checked_by=None if tokens is None else tokens.checked,
        )
        made = apigateway.CfnRestApi(
            self,
            "Api",
            name=name,
            description=str(document["info"]["description"]),
            body=body,
            endpoint_configuration=apigateway.CfnRestApi.EndpointConfigurationProperty(types=["REGIONAL"]),
            minimum_compression_size=1024,
            policy=_own_account_only() if api.authorizer == "iam" else None,
        )
        self.rest_api_id: str = made.ref
        self._method = arn("execute-api", f"{made.ref}/{STAGE}/POST{PATH}")
        self.url = f"https://{made.ref}.execute-api.{REGION}.{URL_SUFFIX}/{STAGE}{PATH}"
        permission = lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=alias.ref,
            principal="apigateway.amazonaws.com",
            source_arn=self._method,
        )
        # The account's role that writes it is made before, in another stack, and knows it by its name.
        log = logs.CfnLogGroup(
            self, "Log", log_group_name=name, kms_key_id=log_key.key_arn, retention_in_days=log_retention_days
        )
        # A deployment is a picture of the API: another API needs another one, and so another id.
        digest = hashlib.sha256(json.dumps([document, api.model_dump(mode="json")], sort_keys=True).encode())
        deployment = apigateway.CfnDeployment(
            self, f"Deployment{digest.hexdigest()[:10]}", rest_api_id=made.ref, description=name
        )
        stage = apigateway.CfnStage(
            self,
            "Stage",
            rest_api_id=made.ref,
            deployment_id=deployment.ref,
            stage_name=STAGE,
            tracing_enabled=True,
            access_log_setting=apigateway.CfnStage.AccessLogSettingProperty(
                destination_arn=arn("logs", f"log-group:{log.ref}"), format=json.dumps(_LOGGED)
            ),
            method_settings=[
                apigateway.CfnStage.MethodSettingProperty(
                    resource_path="/*",
                    http_method="*",
                    metrics_enabled=True,
                    logging_level="OFF",
                    data_trace_enabled=False,
                    throttling_rate_limit=api.rate,
                    throttling_burst_limit=api.burst,
                )
            ],
        )
        stage.node.add_dependency(permission)
        if tokens is not None:
            stage.node.add_dependency(tokens.permit(made.ref))
        self._define_alarms(latency_ms)
        if api.waf:
            stage_arn = f"arn:{PARTITION}:apigateway:{REGION}::/restapis/{made.ref}/stages/{stage.ref}"
            WebFirewall(self, "Firewall", name=name, stage_arn=stage_arn, rate=api.waf_rate, alarms=alarms)
        _acknowledge(made, stage, waf=api.waf)

    def _define_alarms(self, latency_ms: int) -> None:
        of_stage = {"ApiName": self._name, "Stage": STAGE}
        alarm(
            self,
            "Failed",
            alarms=self._alarms,
            metric=Metric("AWS/ApiGateway", "5XXError", of_stage, statistic="Average"),
            threshold=_FAILED_SHARE,
            description=f"API {self._name} fails: share of answers that are errors of ours",
            runbook="Look for the status in the access log, then for the request id in the function's log",
        )
        alarm(
            self,
            "Refused",
            alarms=self._alarms,
            metric=Metric("AWS/ApiGateway", "4XXError", of_stage, statistic="Average"),
            threshold=_REFUSED_SHARE,
            evaluation_periods=3,
            description=f"API {self._name} refuses much of what it is asked",
            runbook="Look for the status in the access log: 400 a caller has changed, 403 may not, 429 wants more",
        )
        alarm(
            self,
            "Slow",
            alarms=self._alarms,
            metric=Metric("AWS/ApiGateway", "Latency", of_stage, statistic="p99"),
            threshold=latency_ms + _ON_TOP_MS,
            evaluation_periods=3,
            description=f"API {self._name} answers slowly: p99, in milliseconds",
            runbook="Compare with the endpoint's latency: the rest is the function's, or its cold starts",
        )

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody ask for predictions."""
        grant(grantee, ["execute-api:Invoke"], self._method)


def _own_account_only() -> dict[str, Any]:
    """Refuses whoever is not of this account, whatever is granted elsewhere; nothing is granted here."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "execute-api:Invoke",
                "Resource": "execute-api:/*",
                "Condition": {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}},
            }
        ],
    }


def _acknowledge(made: apigateway.CfnRestApi, stage: apigateway.CfnStage, *, waf: bool) -> None:
    acknowledge(made, {"AwsSolutions-APIG2": _INSIDE})
    off = "Access log and traces say what went wrong; execution logs would have no key and no retention of ours"
    acknowledge(stage, {"AwsSolutions-APIG6": off})
    if not waf:
        acknowledge(stage, {"AwsSolutions-APIG3": "The workload has not asked for a firewall, which costs while idle"})
