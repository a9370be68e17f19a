import json
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms, NoAlarms
from constructs_lib.grants import ServiceRole
from constructs_lib.spark_job import Capacity, SparkJob

KEY = "arn:aws:kms:us-east-1:000000000000:key/lake"


def any_job(stack: Stack, name: str = "Prepare", **changed: Any) -> SparkJob:
    arguments = {
        "name": f"dev-{name.lower()}",
        "script": "prepare_dataset.py",
        "description": "Prepares",
        "security_configuration": "dev-lake",
        "key": kms.Key.from_key_arn(stack, f"{name}Key", KEY),
        "alarms": NoAlarms("The state machine that starts it has an alarm"),
    }
    return SparkJob(stack, name, **{**arguments, **changed})


def test_is_bounded_in_time_runs_and_repetitions(stack: Stack) -> None:
    any_job(stack, capacity=Capacity("G.2X", workers=4, timeout_minutes=30, concurrent_runs=2))
    Template.from_stack(stack).has_resource_properties(
        "AWS::Glue::Job",
        {
            "GlueVersion": "5.1",
            "Timeout": 30,
            "MaxRetries": 0,
            "ExecutionProperty": {"MaxConcurrentRuns": 2},
            "WorkerType": "G.2X",
            "NumberOfWorkers": 4,
            "SecurityConfiguration": "dev-lake",
        },
    )


def test_brings_the_shared_package_and_no_bookmarks(stack: Stack) -> None:
    any_job(stack, arguments={"as_of": "2013-05-01"})
    Template.from_stack(stack).has_resource_properties(
        "AWS::Glue::Job",
        {
            "DefaultArguments": {
                "--extra-py-files": {"Fn::Sub": Match.string_like_regexp(r"^s3://.*\.zip$")},
                "--job-bookmark-option": "job-bookmark-disable",
                "--as_of": "2013-05-01",
            }
        },
    )


def test_takes_workers_as_it_needs_them_only_when_asked_to(stack: Stack) -> None:
    any_job(stack, "Fixed")
    any_job(stack, "Scaled", capacity=Capacity(workers=20, auto_scaling=True))
    template = Template.from_stack(stack)
    scaled = {"NumberOfWorkers": 20, "DefaultArguments": Match.object_like({"--enable-auto-scaling": "true"})}
    template.has_resource_properties("AWS::Glue::Job", {"Name": "dev-scaled", **scaled})
    fixed = {"DefaultArguments": Match.object_like({"--enable-auto-scaling": Match.absent()})}
    template.has_resource_properties("AWS::Glue::Job", {"Name": "dev-fixed", **fixed})


def test_may_read_its_own_code_and_no_other_object(stack: Stack) -> None:
    any_job(stack)
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    reading = [
        each for each in policy["Properties"]["PolicyDocument"]["Statement"] if "s3:" in json.dumps(each["Action"])
    ]
    (statement,) = reading
    assert statement["Action"] == "s3:GetObject"
    assert len(statement["Resource"]) == 2 and "*" not in json.dumps(statement["Resource"])


def test_may_do_under_the_key_what_a_security_configuration_asks_for(stack: Stack) -> None:
    any_job(stack)
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (statement,) = [each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Resource"] == KEY]
    assert {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"} <= set(statement["Action"])


def test_tells_somebody_when_a_run_fails(stack: Stack) -> None:
    any_job(stack, alarms=FailureAlarms(sns.Topic(stack, "Topic")))
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "Namespace": "Glue",
            "MetricName": "glue.error.ALL",
            "Dimensions": Match.array_with([{"Name": "JobName", "Value": "dev-prepare"}]),
        },
    )


def test_lets_others_start_watch_and_stop_its_runs(stack: Stack) -> None:
    machine = ServiceRole(stack, "Machine", service="states.amazonaws.com", description="A machine")
    any_job(stack).grant_run(machine)
    statement = {
        "Action": ["glue:BatchStopJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:StartJobRun"],
        "Effect": "Allow",
        "Resource": {"Fn::Join": ["", Match.array_with([":job/dev-prepare"])]},
    }
    policies = Template.from_stack(stack).find_resources(
        "AWS::IAM::Policy", {"Properties": {"PolicyName": Match.any_value()}}
    )
    statements = [each for policy in policies.values() for each in policy["Properties"]["PolicyDocument"]["Statement"]]
    (found,) = [each for each in statements if "glue:StartJobRun" in each["Action"]]
    assert sorted(found["Action"]) == statement["Action"]
    assert json.dumps(found["Resource"]).endswith(':job/dev-prepare"]]}')


def test_equal_code_is_an_equal_engine(stack: Stack) -> None:
    first, second = any_job(stack), any_job(stack, "Again")
    assert first.engine == second.engine
    assert first.engine.startswith("glue-5.1-")


@pytest.mark.parametrize("name", ["as-of", "AsOf", "1st"])
def test_refuses_an_argument_that_glue_would_rename(stack: Stack, name: str) -> None:
    with pytest.raises(ValueError, match=f"argument names must be lower_snake_case, got: {name}"):
        any_job(stack, arguments={name: "x"})


@pytest.mark.parametrize("capacity", [{"workers": 1}, {"timeout_minutes": 0}, {"concurrent_runs": 0}])
def test_refuses_a_capacity_that_cannot_run(capacity: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least two workers, one minute and one run"):
        Capacity(**capacity)  # type: ignore[arg-type]
