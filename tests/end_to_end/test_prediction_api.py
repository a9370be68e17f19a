"""The API of a workload: asked from outside, and moved to a new version of its function by CodeDeploy."""

from __future__ import annotations

import datetime as dt
import json
import re
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.chain import Chain
from local.predict import api_url
from tests.end_to_end.grants import Roles
from tests.end_to_end.live import Live, eventually
from tests.end_to_end.triggers import message

ASSETS = "cdk-hnb659fds-assets-000000000000-us-east-1"
STACK = "every-LinearOrdersWorkload"
ORDER = {"amount": 12.5, "items": 8, "channel": "web", "region": "south"}


def post(live: Live, content: Any, headers: Mapping[str, str] = MappingProxyType({})) -> tuple[int, dict[str, Any]]:
    """Status and body of a signed request."""
    server = live.platform.aws.server
    url, body = api_url(server, live.outputs), json.dumps(content).encode()
    request = AWSRequest("POST", url, data=body, headers={"content-type": "application/json", **headers})
    SigV4Auth(Credentials(server.access_key, server.secret_key), "execute-api", "us-east-1").add_auth(request)
    context = ssl.create_default_context(cafile=str(server.ca_file))
    sent = urllib.request.Request(url, data=body, headers=dict(request.headers.items()))  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(sent, context=context, timeout=600) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def predicted(live: Live) -> tuple[int, int]:
    status, body = post(live, {"instances": [ORDER]})
    return status, len(body.get("predictions", []))


def test_a_signed_request_gets_a_prediction_and_a_bad_one_the_field_and_what_is_allowed(
    linear: Live, tuned: Chain
) -> None:
    assert tuned.outcome() == "deployed", tuned
    assert predicted(linear) == (200, 1)
    status, body = post(linear, {"instances": [{**ORDER, "channel": "fax"}]})
    assert (status, body["field"], body["given"]) == (400, "instances[0].channel", "fax")
    assert body["allowed"] == ["web", "shop", "phone", None]
    assert post(linear, {"instances": {}})[1]["field"] == "body"


def test_the_command_line_prints_how_curl_asks_and_the_document(linear: Live) -> None:
    assert api_url(linear.platform.aws.server, linear.outputs) in linear.command("predict", "--api")
    document = json.loads(linear.command("openapi"))
    assert set(document["components"]["schemas"]["Instance"]["properties"]) == set(ORDER)


class Versions:
    """The stack of the workload, changed by hand so that another version of the function is published."""

    def __init__(self, live: Live) -> None:
        self.formation, self.stack = live.client("cloudformation"), STACK
        self.s3 = live.client("s3")
        template = self.formation.get_template(StackName=self.stack)["TemplateBody"]
        self.template: dict[str, Any] = json.loads(template) if isinstance(template, str) else template
        resources = self.template["Resources"]
        self.function = next(
            name for name in resources if name.startswith("ServingFunction") and self.is_function(name)
        )
        self.alias = next(name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Alias")

    def is_function(self, name: str) -> bool:
        return bool(self.template["Resources"][name]["Type"] == "AWS::Lambda::Function")

    def change(self, suffix: str, **environment: str) -> str:
        """Publish a version of the function with another environment; give the stack's state afterwards."""
        text = json.dumps(self.template)
        version = next(
            name for name, each in self.template["Resources"].items() if each["Type"] == "AWS::Lambda::Version"
        )
        changed = json.loads(text.replace(version, f"{version}{suffix}"))
        variables = changed["Resources"][self.function]["Properties"]["Environment"]["Variables"]
        variables |= {"PUBLISHED_AS": suffix, **environment}
        self.s3.put_object(Bucket=ASSETS, Key=f"{suffix}.json", Body=json.dumps(changed).encode())
        self.formation.update_stack(
            StackName=self.stack,
            TemplateURL=f"https://s3.us-east-1.amazonaws.com/{ASSETS}/{suffix}.json",
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )

        def settled() -> str | None:
            state: str = self.formation.describe_stacks(StackName=self.stack)["Stacks"][0]["StackStatus"]
            return None if state.endswith("IN_PROGRESS") else state

        return eventually(settled, "the stack's update")

    def served(self, live: Live) -> str:
        found = self.formation.describe_stack_resources(StackName=self.stack)["StackResources"]
        arn = next(each["PhysicalResourceId"] for each in found if each["LogicalResourceId"] == self.alias)
        name, _, alias = arn.removeprefix("arn:aws:lambda:us-east-1:000000000000:function:").partition(":")
        version: str = live.client("lambda").get_alias(FunctionName=name, Name=alias)["FunctionVersion"]
        return version


@pytest.fixture(scope="session")
def versions(linear: Live, tuned: Chain) -> Versions:
    assert tuned.outcome() == "deployed", tuned
    return Versions(linear)


def test_a_version_that_cannot_answer_never_meets_a_caller(linear: Live, versions: Versions) -> None:
    before = versions.served(linear)
    assert versions.change("Bad", DOCUMENT_URI="s3://nowhere/document.json") == "UPDATE_ROLLBACK_COMPLETE"
    assert versions.served(linear) == before
    assert predicted(linear) == (200, 1)


def test_callers_meet_a_new_version_once_both_hooks_have_asked_it(linear: Live, versions: Versions) -> None:
    before = versions.served(linear)
    assert versions.change("Good") == "UPDATE_COMPLETE"
    assert versions.served(linear) != before
    assert predicted(linear) == (200, 1)


def test_the_judge_of_experiments_reads_what_was_captured_and_told_and_keeps_its_judgement(
    linear: Live, tuned: Chain
) -> None:
    assert tuned.outcome() == "deployed", tuned
    begun = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    inference_id = post(linear, {"instances": [ORDER]})[1]["inference_id"]
    truth = {"groundTruthData": {"data": "true", "encoding": "CSV"}, "eventMetadata": {"eventId": inference_id}}
    linear.write(f"{linear.zone('artefacts')}outcomes/{inference_id}.jsonl", json.dumps(truth).encode())
    experiment = {"id": "e-1", "champion": "primary", "challenger": "other", "started_at": begun.isoformat()}
    stack = linear.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    judge = next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "ExperimentJudgeArn")

    def judged() -> dict[str, Any] | None:
        as_of = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
        event = {"workload": "linear_orders", "experiment": experiment, "as_of": as_of.isoformat()}
        answer = linear.client("lambda").invoke(FunctionName=judge, Payload=json.dumps(event).encode())
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "errorMessage" not in found, found
        return found if found["figures"]["outcomes"]["champion"] else None

    found = eventually(judged, "the captured exchange")
    assert (found["decision"], found["figures"]["exposures"]["challenger"]) == ("continue", 0)
    assert found["figures"]["exposures"]["champion"] >= 1, "requests of the same second count as well"
    assert linear.read_json(found["judgement_uri"])["reason"] == found["reason"]


# --- grants of the API and of the figures, taken away ----------------------------------------------------------------

FIGURES = "every-Figures"


@dataclass(frozen=True)
class Missed:
    """Actions of a role, and the function that misses them when it gets an event."""

    stack: str
    function: str
    role: str
    actions: tuple[str, ...]
    event: Callable[[], Mapping[str, Any]]

    def __str__(self) -> str:
        return f"{self.role}-{'+'.join(self.actions)}"


def asked() -> Mapping[str, Any]:
    body = json.dumps({"instances": [ORDER]})
    return {"httpMethod": "POST", "headers": {"content-type": "application/json"}, "body": body, "requestContext": {}}


def hooked() -> Mapping[str, Any]:
    return {"DeploymentId": "d-NOBODY", "LifecycleEventHookExecutionId": "nobody"}


def told_of_a_run() -> Mapping[str, Any]:
    """A pipeline's, of which nobody else hears."""
    detail = {"pipeline": "nobody", "execution-id": uuid.uuid4().hex, "state": "FAILED"}
    return message("aws.codepipeline", "CodePipeline Pipeline Execution State Change", detail)


def told_of_a_deployment() -> Mapping[str, Any]:
    package = "arn:aws:sagemaker:us-east-1:000000000000:model-package/every-linear-orders-denied/1"
    machine = "arn:aws:states:us-east-1:000000000000:stateMachine:every-linear-orders-deploy"
    detail = {
        "stateMachineArn": machine,
        "executionArn": f"{machine}:{uuid.uuid4().hex}",
        "status": "SUCCEEDED",
        "startDate": 1_700_000_000_000,
        "stopDate": 1_700_000_060_000,
        "input": json.dumps({"model_package_arn": package}),
    }
    return message("aws.states", "Step Functions Execution Status Change", detail)


MISSED_BY_THE_API = [
    Missed(STACK, "ServingFunction", "ServingFunction", ("s3:GetObject",), asked),
    Missed(STACK, "ServingFunction", "ServingFunction", ("sagemaker:InvokeEndpoint",), asked),
    *(
        Missed(STACK, f"Serving{hook}", f"Serving{hook}", (action,), hooked)
        for hook in ("Before", "After")
        for action in (
            "lambda:InvokeFunction",
            "codedeploy:PutLifecycleEventHookExecutionStatus",
            "s3:GetObject",
            "kms:Decrypt",
            "sagemaker:DescribeEndpoint",
        )
    ),
]
MISSED_BY_FIGURES = [
    *(
        Missed(FIGURES, "DeliveriesFunction", "DeliveriesFunction", (action,), told_of_a_run)
        for action in ("dynamodb:GetItem", "dynamodb:PutItem", "cloudwatch:PutMetricData")
    ),
    Missed(
        FIGURES, "DeliveriesFunction", "DeliveriesFunction", ("sagemaker:DescribeModelPackage",), told_of_a_deployment
    ),
]
UNSEEN = {
    "logs:CreateLogStream": "Lambda writes the function's log as the role",
    "logs:PutLogEvents": "Lambda writes the function's log as the role",
    "xray:PutTelemetryRecords": "Lambda traces calls as the role",
    "xray:PutTraceSegments": "Lambda traces calls as the role",
    "kms:DescribeKey": "asked for by SDKs before they use a key",
    "s3:GetBucketLocation": "SDKs ask in which region a bucket is; there is one region here",
    "s3:ListBucket": "S3 says of an absent object that it is absent, rather than forbidden, to those who may list",
}
UNSEEN_OF = {
    "ServingFunction": {
        "sagemaker:DescribeEndpoint": "asked where the variant is drawn by an attribute, as here it is not"
    },
    "DeliveriesFunction": {
        **dict.fromkeys(("kms:Decrypt", "kms:GenerateDataKey"), "tables are not encrypted here"),
        **dict.fromkeys(
            ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
            "asked when the mapping is made, by the intake's construct, whose grants another test takes away",
        ),
    },
}
"""What nothing on this server asks for, and why the roles have it all the same. The role by which CodeDeploy shifts is
tried with the local CodeDeploy."""


@pytest.fixture(scope="session")
def roles(linear: Live) -> Mapping[str, Roles]:
    return {stack: Roles(linear, stack) for stack in (STACK, FIGURES)}


def denied(live: Live, roles: Mapping[str, Roles], missed: Missed) -> None:
    """Take the actions away, call the function, and find an error in its log that names action and role."""
    client, function = live.client("lambda"), live.function(missed.function, missed.stack)
    variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    with roles[missed.stack].without(missed.role, missed.actions, ""):
        # Another environment is another process, which remembers nothing; callers ask the alias and do not meet it.
        anew = {"Variables": {**variables, "STARTED_AS": uuid.uuid4().hex}}
        client.update_function_configuration(FunctionName=function, Environment=anew)
        said = "\n".join(live.invoke(missed.function, missed.event(), missed.stack))
    assert re.search(roles[missed.stack].denial(missed.role, missed.actions), said), said


@pytest.mark.parametrize("missed", MISSED_BY_FIGURES, ids=str)
def test_a_grant_of_the_figures_that_is_taken_away_is_missed(
    linear: Live, roles: Mapping[str, Roles], missed: Missed
) -> None:
    denied(linear, roles, missed)


@pytest.mark.parametrize("missed", MISSED_BY_THE_API, ids=str)
def test_a_grant_of_the_api_that_is_taken_away_is_missed(
    linear: Live, roles: Mapping[str, Roles], tuned: Chain, missed: Missed
) -> None:
    assert tuned.outcome() == "deployed", tuned
    denied(linear, roles, missed)


def test_every_grant_of_these_roles_is_seen_to_be_needed_or_listed(roles: Mapping[str, Roles]) -> None:
    tried = [*MISSED_BY_THE_API, *MISSED_BY_FIGURES]
    missed = {(each.role, action) for each in tried for action in each.actions}
    watched = {each.role for each in tried}
    granted = {(each.role, each.action) for stack in roles.values() for each in stack.grants if each.role in watched}
    listed = {(role, action) for role in watched for action in (*UNSEEN, *UNSEEN_OF.get(role, ()))}
    assert granted - missed - listed == set()
    assert missed - granted == set()
