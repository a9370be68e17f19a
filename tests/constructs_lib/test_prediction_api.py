"""The API, its function, and the alias between them: who may ask, what is limited, and what takes a version back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.experiment_judge import Experimented, ExperimentJudge
from constructs_lib.names.api_file import Api
from constructs_lib.names.experiment_file import Experiment
from constructs_lib.names.openapi import PATH, Described, document
from constructs_lib.prediction_api import PredictionApi
from constructs_lib.serving_function import Serves, ServingFunction

TOKENS = {"issuer": "https://login.example.com", "audiences": ["orders"], "claims": {"team": ["sales"]}}
ORDERS = Described("orders", "", "binary_classification", {"amount": "double"}, takes_as_of=False)


class Served:
    """A stack with an API of these settings."""

    def __init__(self, stack: Stack, **settings: Any) -> None:
        self.stack = stack
        latency = settings.pop("latency_ms", 500)
        api, key = Api(**settings), kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:000000000000:key/k")
        topic = sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:us-east-1:000000000000:on-call")
        common: dict[str, Any] = {"alarms": FailureAlarms(topic), "log_key": key, "log_retention_days": 30}
        description = document(ORDERS, api)
        self.function = ServingFunction(
            stack,
            "Serving",
            application="dev-orders-serve",
            serves=Serves(
                stage="dev",
                workload="orders",
                endpoint="dev-orders-live",
                contract_uri="s3://bucket/contract.json",
                group_names={},
                read_features=(),
                key_columns=(),
                bundle_uri="s3://bucket/orders/bundles/current.json",
                latency_ms=latency,
            ),
            api=api,
            document=description,
            **common,
        )
        self.api = PredictionApi(
            stack,
            "Api",
            name="dev-orders-api",
            api=api,
            document=description,
            alias=self.function.alias,
            latency_ms=latency,
            **common,
        )


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Template]:
    """Stacks with APIs that differ, synthesised together."""
    app = App(
        outdir=str(tmp_path_factory.mktemp("apis")),
        analytics_reporting=False,
        context={"@aws-cdk/aws-iam:minimizePolicies": True},
    )
    settings: dict[str, dict[str, Any]] = {
        "Plain": {},
        "Same": {},
        "Walled": {"waf": True, "waf_rate": 300, "rate": 7, "burst": 9, "shift_minutes": 10},
        "Other": {"most_instances": 7},
        "Tokens": {"authorizer": "jwt", "tokens": TOKENS, "scopes": ["orders/ask"]},
    }
    served = {name: Served(Stack(app, name), **each) for name, each in settings.items()}
    plain = served["Plain"]
    plain.api.grant_invoke(iam.Role(plain.stack, "Caller", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")))
    return {name: Template.from_stack(each.stack) for name, each in served.items()}


@pytest.fixture(scope="module")
def plain(templates: Mapping[str, Template]) -> Template:
    """An API as it is where nothing is asked for."""
    return templates["Plain"]


@pytest.fixture(scope="module")
def walled(templates: Mapping[str, Template]) -> Template:
    """An API with a firewall and limits of its own."""
    return templates["Walled"]


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = template.find_resources(kind).values()
    return dict(found)


def test_the_gateway_may_call_the_alias_for_this_method_and_nothing_else(plain: Template) -> None:
    template = plain
    permission = only(template, "AWS::Lambda::Permission")["Properties"]
    (alias,) = template.find_resources("AWS::Lambda::Alias")
    assert permission["FunctionName"] == {"Ref": alias}
    assert json.dumps(permission["SourceArn"]).endswith(f'/v1/POST{PATH}"]]}}')


def test_whoever_is_granted_may_invoke_this_method(plain: Template) -> None:
    statements = [
        statement
        for policy in plain.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "execute-api:Invoke"
    ]
    assert len(statements) == 1
    assert json.dumps(statements[0]["Resource"]).endswith(f'/v1/POST{PATH}"]]}}')


def test_callers_of_other_accounts_are_refused_whatever_they_are_granted(plain: Template) -> None:
    (statement,) = only(plain, "AWS::ApiGateway::RestApi")["Properties"]["Policy"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"StringNotEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}


def test_tokens_are_judged_by_a_function_that_only_this_api_may_call_and_that_may_do_nothing(
    templates: Mapping[str, Template],
) -> None:
    template = templates["Tokens"]
    (judge,) = [
        name
        for name, each in template.find_resources("AWS::Lambda::Function").items()
        if each["Properties"]["Handler"] == "authorize_token.handler.handler"
    ]
    function = template.find_resources("AWS::Lambda::Function")[judge]
    assert json.loads(function["Properties"]["Environment"]["Variables"]["RULES"]) == {
        **TOKENS,
        "scopes": ["orders/ask"],
    }
    scheme = only(template, "AWS::ApiGateway::RestApi")["Properties"]["Body"]["components"]["securitySchemes"]["caller"]
    assert judge in json.dumps(scheme["x-amazon-apigateway-authorizer"]["authorizerUri"])
    (api,) = template.find_resources("AWS::ApiGateway::RestApi")
    (permission,) = [
        each["Properties"]
        for each in template.find_resources("AWS::Lambda::Permission").values()
        if judge in json.dumps(each["Properties"]["FunctionName"])
    ]
    assert (permission["Principal"], permission["SourceAccount"]) == (
        "apigateway.amazonaws.com",
        {"Ref": "AWS::AccountId"},
    )
    (arn,) = permission["SourceArn"].values()
    assert (arn[1][-2:]) == [{"Ref": api}, "/authorizers/*"]
    role = function["Properties"]["Role"]["Fn::GetAtt"][0]
    granted = {
        action.partition(":")[0]
        for policy in template.find_resources("AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }
    assert granted == {"logs", "xray"}
    assert function["Metadata"]["gapless:no-alarms"]


def test_only_tokens_have_a_judge(templates: Mapping[str, Template]) -> None:
    assert "authorize_token" not in json.dumps(templates["Walled"].to_json())


def test_requests_are_limited_logged_and_traced(walled: Template) -> None:
    stage = only(walled, "AWS::ApiGateway::Stage")["Properties"]
    (settings,) = stage["MethodSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (7, 9)
    assert (settings["HttpMethod"], settings["ResourcePath"], settings["DataTraceEnabled"]) == ("*", "/*", False)
    assert stage["TracingEnabled"] is True
    logged = json.loads(stage["AccessLogSetting"]["Format"])
    assert "status" in logged and not any("body" in value for value in logged.values())


def test_there_is_a_firewall_only_where_it_is_asked_for(plain: Template, walled: Template) -> None:
    plain.resource_count_is("AWS::WAFv2::WebACL", 0)
    rules = only(walled, "AWS::WAFv2::WebACL")["Properties"]["Rules"]
    assert [rule["Statement"]["RateBasedStatement"]["Limit"] for rule in rules if "Action" in rule] == [300]
    walled.resource_count_is("AWS::WAFv2::WebACLAssociation", 1)
    walled.has_resource_properties("AWS::CloudWatch::Alarm", {"MetricName": "BlockedRequests"})


@pytest.mark.parametrize("metric", ["5XXError", "4XXError", "Latency", "Errors", "Duration"])
def test_somebody_is_told_of_failures_refusals_and_slowness(plain: Template, metric: str) -> None:
    plain.has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": metric, "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:on-call"]}
    )


def test_the_alias_moves_by_a_canary_that_hooks_and_its_own_alarms_take_back(walled: Template) -> None:
    template = walled
    group = only(template, "AWS::CodeDeploy::DeploymentGroup")["Properties"]
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent10Minutes"
    watched = [alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]]
    alarms = template.find_resources("AWS::CloudWatch::Alarm")
    dimensions = [alarms[name]["Properties"]["Dimensions"] for name in watched]
    assert len(watched) == 2
    assert all(each[1]["Name"] == "Resource" for each in dimensions)
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    policy = only(template, "AWS::Lambda::Alias")["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    functions = template.find_resources("AWS::Lambda::Function")
    for hook in ("BeforeAllowTrafficHook", "AfterAllowTrafficHook"):
        assert functions[policy[hook]["Ref"]]["Properties"]["Handler"] == "check_serving.handler.handler"


def test_the_first_hook_may_call_the_new_version_and_the_second_one_the_alias(plain: Template) -> None:
    template = plain
    (version,) = template.find_resources("AWS::Lambda::Version")
    before, after = (
        [
            statement["Resource"]
            for name, policy in template.find_resources("AWS::IAM::Policy").items()
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if name.startswith(f"Serving{hook}") and statement["Action"] == "lambda:InvokeFunction"
        ]
        for hook in ("Before", "After")
    )
    assert before == [{"Ref": version}]
    assert json.dumps(after).endswith(':live"]]}]')


def test_other_settings_make_another_version_and_deployment_and_the_same_ones_the_same(
    templates: Mapping[str, Template],
) -> None:
    for kind in ("AWS::Lambda::Version", "AWS::ApiGateway::Deployment"):
        ids = {name: list(template.find_resources(kind)) for name, template in templates.items()}
        assert ids["Plain"] == ids["Same"] != ids["Other"]


def test_old_versions_stay_so_that_an_alias_can_be_taken_back(plain: Template) -> None:
    assert only(plain, "AWS::Lambda::Version")["DeletionPolicy"] == "Retain"


def test_the_judge_reads_metrics_and_nothing_that_the_lake_has_not_granted(stack: Stack) -> None:
    key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:000000000000:key/k")
    topic = sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:us-east-1:000000000000:on-call")
    ExperimentJudge(
        stack,
        "Judge",
        experimented=Experimented("orders", "regression", "dev-orders-live", "bucket", "orders/", "audit"),
        rules=Experiment(clip=5.0),
        alarms=FailureAlarms(topic),
        log_key=key,
        log_retention_days=30,
    )
    template = Template.from_stack(stack)
    variables = only(template, "AWS::Lambda::Function")["Properties"]["Environment"]["Variables"]
    assert variables["OUTCOMES_URI"] == "s3://bucket/orders/outcomes/"
    assert json.loads(variables["RULES"])["clip"] == 5.0
    statements = only(template, "AWS::IAM::Policy")["Properties"]["PolicyDocument"]["Statement"]
    allowed = [each["Action"] if isinstance(each["Action"], list) else [each["Action"]] for each in statements]
    assert {action for actions in allowed for action in actions} == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
        "cloudwatch:GetMetricData",
    }
    template.has_resource_properties("AWS::CloudWatch::Alarm", {"MetricName": "Errors", "Threshold": Match.any_value()})
