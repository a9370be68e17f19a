import json

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.intake import EventIntake
from constructs_lib.python_function import PythonFunction


@pytest.fixture
def template(stack: Stack) -> Template:
    alarms = FailureAlarms(sns.Topic(stack, "Topic"))
    starter = PythonFunction(
        stack,
        "Starter",
        folder="start_execution",
        description="Starts",
        timeout_seconds=60,
        alarms=alarms,
        log_key=kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:000000000000:key/k"),
        log_retention_days=30,
    )
    EventIntake(
        stack,
        "Intake",
        patterns={"Landed": {"source": ["aws.s3"]}, "Approved": {"source": ["aws.sagemaker"]}},
        starter=starter,
        starter_timeout_seconds=60,
        alarms=alarms,
    )
    return Template.from_stack(stack)


def queue_ids(template: Template) -> tuple[str, str]:
    """The logical ids of the queue and of its dead letters."""
    queues = template.find_resources("AWS::SQS::Queue")
    (queue,) = [name for name, each in queues.items() if "RedrivePolicy" in each["Properties"]]
    (dead,) = [name for name in queues if name != queue]
    return queue, dead


def test_hides_a_message_six_times_as_long_as_the_function_may_take(template: Template) -> None:
    template.has_resource_properties("AWS::SQS::Queue", {"VisibilityTimeout": 360})


def test_gives_a_message_up_after_five_tries_and_keeps_it_for_two_weeks(template: Template) -> None:
    _, dead = queue_ids(template)
    policy = {"deadLetterTargetArn": {"Fn::GetAtt": [dead, "Arn"]}, "maxReceiveCount": 5}
    template.has_resource_properties("AWS::SQS::Queue", {"RedrivePolicy": policy})
    template.has_resource_properties("AWS::SQS::Queue", {"MessageRetentionPeriod": 14 * 24 * 3600})


def test_every_rule_feeds_the_queue_and_loses_nothing(template: Template) -> None:
    queue, dead = queue_ids(template)
    rules = template.find_resources("AWS::Events::Rule")
    assert {json.dumps(each["Properties"]["EventPattern"]) for each in rules.values()} == {
        '{"source": ["aws.s3"]}',
        '{"source": ["aws.sagemaker"]}',
    }
    for rule in rules.values():
        (target,) = rule["Properties"]["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [dead, "Arn"]}}
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}


def test_only_these_rules_may_send_and_only_over_tls(template: Template) -> None:
    rules = [{"Fn::GetAtt": [name, "Arn"]} for name in template.find_resources("AWS::Events::Rule")]
    policies = template.find_resources("AWS::SQS::QueuePolicy")
    assert len(policies) == 2
    for policy in policies.values():
        allow, deny = policy["Properties"]["PolicyDocument"]["Statement"]
        assert allow["Principal"] == {"Service": "events.amazonaws.com"}
        assert sorted(allow["Condition"]["ArnEquals"]["aws:SourceArn"], key=str) == sorted(rules, key=str)
        assert deny["Effect"] == "Deny" and deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_messages_are_encrypted(template: Template) -> None:
    queues = template.find_resources("AWS::SQS::Queue")
    assert all(each["Properties"]["SqsManagedSseEnabled"] is True for each in queues.values())


def test_the_function_says_which_messages_failed(template: Template) -> None:
    queue, _ = queue_ids(template)
    template.has_resource_properties(
        "AWS::Lambda::EventSourceMapping",
        {
            "EventSourceArn": {"Fn::GetAtt": [queue, "Arn"]},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": 2},
        },
    )


def test_the_function_may_take_from_this_queue(template: Template) -> None:
    queue, _ = queue_ids(template)
    statement = {
        "Action": Match.array_with(["sqs:DeleteMessage", "sqs:ReceiveMessage"]),
        "Effect": "Allow",
        "Resource": {"Fn::GetAtt": [queue, "Arn"]},
    }
    template.has_resource_properties(
        "AWS::IAM::Policy", {"PolicyDocument": {"Statement": Match.array_with([statement])}}
    )


def test_tells_somebody_of_given_up_and_of_waiting_events(template: Template) -> None:
    queue, dead = queue_ids(template)
    for metric, watched in (("ApproximateNumberOfMessagesVisible", dead), ("ApproximateAgeOfOldestMessage", queue)):
        template.has_resource_properties(
            "AWS::CloudWatch::Alarm",
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": [watched, "QueueName"]}}],
            },
        )
