import pytest
from aws_cdk import Stack
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import NO_ALARMS_METADATA, FailureAlarms, Metric, NoAlarms, alarm, record_silence


def any_alarms(stack: Stack) -> FailureAlarms:
    return FailureAlarms(topic=sns.Topic(stack, "Topic"))


def any_metric() -> Metric:
    return Metric("AWS/Lambda", "Errors", {"FunctionName": "judge"})


def test_an_alarm_tells_the_topic_when_it_goes_off_and_when_it_is_over(stack: Stack) -> None:
    alarm(
        stack,
        "Errors",
        alarms=any_alarms(stack),
        metric=any_metric(),
        threshold=1,
        description="The judge failed",
        runbook="Read its log",
    )
    topic = {"Ref": Match.string_like_regexp("Topic")}
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "AlarmDescription": "The judge failed\nRunbook: Read its log",
            "ActionsEnabled": True,
            "AlarmActions": [topic],
            "OKActions": [topic],
            "TreatMissingData": "notBreaching",
            "Statistic": "Sum",
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1,
            "EvaluationPeriods": 1,
            "Dimensions": [{"Name": "FunctionName", "Value": "judge"}],
        },
    )


def test_a_percentile_is_an_extended_statistic(stack: Stack) -> None:
    metric = Metric("AWS/SageMaker", "ModelLatency", {"EndpointName": "live"}, statistic="p99", period_seconds=60)
    alarm(
        stack,
        "Slow",
        alarms=any_alarms(stack),
        metric=metric,
        threshold=500_000,
        description="Slow",
        runbook="Scale out",
    )
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"ExtendedStatistic": "p99", "Statistic": Match.absent(), "Period": 60}
    )


@pytest.mark.parametrize(("description", "runbook"), [("", "Read its log"), ("It failed", " ")])
def test_refuses_an_alarm_that_does_not_say_what_to_do(stack: Stack, description: str, runbook: str) -> None:
    with pytest.raises(ValueError, match="alarm Errors needs a description and a runbook"):
        alarm(
            stack,
            "Errors",
            alarms=any_alarms(stack),
            metric=any_metric(),
            threshold=1,
            description=description,
            runbook=runbook,
        )


def test_writes_the_reason_for_silence_into_the_template(stack: Stack) -> None:
    queue = sqs.Queue(stack, "Queue")
    record_silence(queue, NoAlarms(reason="the queue's own dead-letter queue is watched"))
    Template.from_stack(stack).has_resource(
        "AWS::SQS::Queue", {"Metadata": {NO_ALARMS_METADATA: "the queue's own dead-letter queue is watched"}}
    )


def test_refuses_silence_without_a_reason() -> None:
    with pytest.raises(ValueError, match="reason for no alarms must be a sentence"):
        NoAlarms(reason="not needed")


def test_refuses_to_write_a_reason_where_there_is_no_resource(stack: Stack) -> None:
    with pytest.raises(TypeError, match="Test has no resource"):
        record_silence(stack, NoAlarms(reason="a stack is nothing that could fail"))
