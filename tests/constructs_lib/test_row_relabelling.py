"""Who may do what with rows that people label, when it happens, and who is told when it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.keys import EncryptionKey
from constructs_lib.labelling_jobs import LabellingJobs, categories_of, template_of
from constructs_lib.machines.common import Surroundings
from constructs_lib.names import metrics
from constructs_lib.names.relabelling_file import GroundTruth
from constructs_lib.on_call import OnCallTopic
from constructs_lib.row_relabelling import Endpoint, RowRelabelling
from gate.wildcards import as_list, as_text
from tests.constructs_lib.names.test_relabelling_file import JOB


def any_stack() -> Stack:
    return Stack(App(analytics_reporting=False, context={"@aws-cdk/aws-iam:minimizePolicies": True}), "Test")


def relabelling(stack: Stack, lake: DataLake, **more: Any) -> RowRelabelling:
    alarms = FailureAlarms(sns.Topic(stack, "Topic"))
    endpoint = Endpoint("dev", "orders", "dev-orders-live", "primary")
    return RowRelabelling(
        stack,
        "Relabelling",
        endpoint=endpoint,
        options={"max_rows": 5},
        lake=lake,
        alarms=alarms,
        found=alarms,
        log_retention_days=30,
        **more,
    )


@pytest.fixture(scope="module")
def template() -> Template:
    stack = any_stack()
    made = relabelling(stack, DataLake(stack, "Lake", stage="dev"))
    made.grant_answer(iam.Role(stack, "People", assumed_by=iam.AccountRootPrincipal()))
    return Template.from_stack(stack)


def places(template: Template, role: str, action: str) -> set[str]:
    """The folders of the artefacts on whose objects a role may do something."""
    found = set()
    for name, policy in template.find_resources("AWS::IAM::Policy").items():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"] if name.startswith(role) else ():
            if action in as_list(statement["Action"]):
                found |= {as_text(each).partition("/orders/")[2] for each in as_list(statement["Resource"])}
    return {each for each in found if each}


def test_each_reads_and_writes_its_folders_only(template: Template) -> None:
    assert places(template, "RelabellingChoose", "s3:GetObject") == {"capture/*", "outcomes/*", "relabelling/asked/*"}
    assert places(template, "RelabellingChoose", "s3:PutObject") == {"relabelling/asked/*", "relabelling/out/*"}
    read = {f"relabelling/{name}/*" for name in ("in", "labelled", "asked", "answered", "results")}
    assert places(template, "RelabellingTakeIn", "s3:GetObject") == read
    written = {f"relabelling/{name}/*" for name in ("answered", "quarantine", "results")}
    assert places(template, "RelabellingTakeIn", "s3:PutObject") == {*written, "outcomes/relabelling/*"}
    assert places(template, "People", "s3:GetObject") == {"relabelling/out/*"}
    assert places(template, "People", "s3:PutObject") == {"relabelling/in/*"}


def test_files_of_answers_are_taken_in_and_given_up_ones_are_told(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": Match.object_like(
                {"detail": Match.object_like({"object": {"key": [{"prefix": "orders/relabelling/in/"}]}})}
            )
        },
    )
    template.has_resource_properties("AWS::SQS::Queue", {"RedrivePolicy": Match.object_like({"maxReceiveCount": 5})})
    for metric in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "Errors"):
        template.has_resource_properties("AWS::CloudWatch::Alarm", {"MetricName": metric})
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm", {"Namespace": metrics.NAMESPACE, "MetricName": metrics.LABELS_REFUSED, "Threshold": 1}
    )


def test_rows_are_chosen_once_a_day(template: Template) -> None:
    template.has_resource_properties("AWS::Events::Rule", {"ScheduleExpression": "cron(23 4 * * ? *)"})
    template.has_resource_properties(
        "AWS::Lambda::Function", {"Environment": {"Variables": Match.object_like({"CHALLENGER": "none"})}}
    )


@pytest.fixture(scope="module")
def jobs() -> Template:
    stack = any_stack()
    lake = DataLake(stack, "Lake", stage="dev")
    key = EncryptionKey(stack, "Key", description="Any", publishers=["cloudwatch.amazonaws.com"])
    LabellingJobs(
        stack,
        "Jobs",
        around=Surroundings("dev", "orders", "dev-orders-", "1", "runs", "leases", "audit", "topic"),
        asked=GroundTruth.model_validate(JOB),
        labels=("true", "false"),
        relabelling=relabelling(stack, lake, scheduled=False),
        lake=lake,
        on_call=OnCallTopic(stack, "OnCall", key=key),
        alarms=FailureAlarms(sns.Topic(stack, "OtherTopic")),
        log_retention_days=30,
    )
    return Template.from_stack(stack)


def test_a_labelling_job_has_its_own_role_that_only_its_service_takes(jobs: Template) -> None:
    assert places(jobs, "JobsRole", "s3:GetObject") == {"relabelling/out/*", "relabelling/labelled/*"}
    assert places(jobs, "JobsRole", "s3:PutObject") == {"relabelling/labelled/*"}
    role = {"Fn::GetAtt": [Match.string_like_regexp("^JobsRole"), "Arn"]}
    passed = {
        "Action": "iam:PassRole",
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        "Resource": role,
    }
    statements = Match.array_with([Match.object_like(passed)])
    jobs.has_resource_properties("AWS::IAM::Policy", {"PolicyDocument": {"Statement": statements}})
    invoked = {"Action": "lambda:InvokeFunction", "Resource": sorted([JOB["prepares"], JOB["consolidates"]])}
    statements = Match.array_with([Match.object_like(invoked)])
    jobs.has_resource_properties("AWS::IAM::Policy", {"PolicyDocument": {"Statement": statements}})


def test_the_machine_touches_labelling_jobs_of_its_workload_only(jobs: Template) -> None:
    text = json.dumps(jobs.find_resources("AWS::IAM::Policy"))
    assert ":labeling-job/dev-orders-label-*" in text
    rules = jobs.find_resources("AWS::Events::Rule").values()
    scheduled = [rule for rule in rules if "ScheduleExpression" in rule["Properties"]]
    assert len(scheduled) == 1  # the machine's; rows are not chosen twice a day


def test_people_see_the_row_and_choose_from_the_labels() -> None:
    asked = GroundTruth.model_validate({**JOB, "title": 'Late "or" not', "instruction": "a < b"})
    shown = template_of(asked)
    assert 'header="Late &quot;or&quot; not"' in shown and "a &lt; b" in shown
    assert "{{ task.input.taskObject }}" in shown and "{{ task.input.labels | to_json | escape }}" in shown
    assert json.loads(categories_of(("a", "b")))["labels"] == [{"label": "a"}, {"label": "b"}]
