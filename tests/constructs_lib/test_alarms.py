from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import (
    NO_ALARMS_METADATA,
    FailureAlarms,
    Incident,
    Metric,
    NoAlarms,
    alarm,
    record_silence,
    unusual_alarm,
)
from constructs_lib.incidents import IncidentAlarms, serving_incident


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


def any_incident() -> Incident:
    return serving_incident("dev", "flight_delays")


def some_alarms(stack: Stack, alarms: FailureAlarms, *construct_ids: str, stays_on: bool = False) -> None:
    for construct_id in construct_ids:
        alarm(
            stack,
            construct_id,
            alarms=alarms,
            metric=any_metric(),
            threshold=1,
            description="It failed",
            runbook="Read its log",
            stays_on=stays_on,
        )


def alarms_of(stack: Stack) -> dict[str, dict[str, Any]]:
    found = Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm")
    return {name: each["Properties"] for name, each in found.items()}


def test_one_alarm_tells_of_an_incident_and_its_members_name_it(stack: Stack) -> None:
    alarms = FailureAlarms(sns.Topic(stack, "Topic"), any_incident())
    some_alarms(stack, alarms, "First", "Second")
    made = IncidentAlarms(stack, "Incidents", alarms=[alarms])
    assert made.names == ["dev-flight-delays-incident-serving"]
    first, second = alarms_of(stack).items()
    for _, each in (first, second):
        assert "AlarmActions" not in each
        assert "OKActions" not in each
        assert each["AlarmDescription"] == (
            "It failed\nSeverity: critical\nPage: docs/alarms.md#serving\n"
            "Told by: dev-flight-delays-incident-serving\nRunbook: Read its log"
        )
    topic = [{"Ref": Match.string_like_regexp("Topic")}]
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::CompositeAlarm",
        {
            "AlarmName": "dev-flight-delays-incident-serving",
            "AlarmActions": topic,
            "OKActions": topic,
            "AlarmRule": {
                "Fn::Join": ["", ['ALARM("', {"Ref": first[0]}, '") OR ALARM("', {"Ref": second[0]}, '")']],
            },
            "AlarmDescription": Match.string_like_regexp("Severity: critical\nPage: docs/alarms.md#serving"),
        },
    )


def test_an_incident_of_one_alarm_needs_no_second_one(stack: Stack) -> None:
    alarms = FailureAlarms(sns.Topic(stack, "Topic"), any_incident())
    some_alarms(stack, alarms, "Only")
    assert IncidentAlarms(stack, "Incidents", alarms=[alarms]).names == []
    [only] = alarms_of(stack).values()
    assert only["AlarmActions"] == only["OKActions"] != []
    Template.from_stack(stack).resource_count_is("AWS::CloudWatch::CompositeAlarm", 0)


def test_an_alarm_that_stays_on_hides_nothing_else(stack: Stack) -> None:
    alarms = FailureAlarms(sns.Topic(stack, "Topic"), any_incident())
    some_alarms(stack, alarms, "GivenUp", stays_on=True)
    IncidentAlarms(stack, "Incidents", alarms=[alarms])
    [given_up] = alarms_of(stack).values()
    assert given_up["AlarmActions"]
    assert "Severity: critical" in given_up["AlarmDescription"]
    assert "Told by" not in given_up["AlarmDescription"]


def test_refuses_more_alarms_than_a_rule_may_name(stack: Stack) -> None:
    alarms = FailureAlarms(sns.Topic(stack, "Topic"), any_incident())
    some_alarms(stack, alarms, "First")
    alarms.incident.members.extend(alarms.incident.members * 100)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"incident-serving may have at most 100 alarms, got: 101"):
        IncidentAlarms(stack, "Incidents", alarms=[alarms])


def test_what_has_no_right_value_is_compared_with_what_is_usual(stack: Stack) -> None:
    unusual_alarm(
        stack,
        "Traffic",
        alarms=any_alarms(stack),
        metric=any_metric(),
        description="More or less than usual",
        runbook="Ask who calls",
    )
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "ComparisonOperator": "LessThanLowerOrGreaterThanUpperThreshold",
            "ThresholdMetricId": "compared",
            "Threshold": Match.absent(),
            "TreatMissingData": "notBreaching",
            "EvaluationPeriods": 2,
            "Metrics": [
                {"Id": "compared", "Expression": "ANOMALY_DETECTION_BAND(watched, 3)", "ReturnData": True},
                {"Id": "watched", "ReturnData": True, "MetricStat": Match.any_value()},
            ],
        },
    )
