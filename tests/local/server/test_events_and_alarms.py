"""Events reach what lets them in; alarms see their own series, and tell the topic and the event bus."""

import json
import time
from typing import Any

import pytest

NAMESPACE = "Alarms"


def eventually(condition: Any, seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"nothing happened within {seconds} s")


def messages(server: Any, url: str) -> list[Any]:
    received = server.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in received.get("Messages", [])]


def rule(server: Any, pattern: dict[str, Any], target: str, **fields: Any) -> None:
    events, name = server.client("events"), f"rule-{time.time_ns()}"
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "it", "Arn": target, **fields}])


def test_an_object_reaches_the_rule_whose_wildcard_fits(local_server: Any, bucket: str, queue: tuple[str, str]) -> None:
    url, arn = queue
    s3 = local_server.client("s3")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    wanted = {"bucket": {"name": [bucket]}, "object": {"key": [{"wildcard": "flights/*_batch.json"}]}}
    rule(local_server, {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": wanted}, arn)
    for key in ("flights/data.csv", "other/_batch.json", "flights/2013 05/a+ü/_batch.json"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    found = eventually(lambda: messages(local_server, url))
    assert [event["detail"]["object"]["key"] for event in found] == ["flights/2013 05/a+ü/_batch.json"]


def test_an_event_goes_nowhere_without_the_queues_leave_and_to_the_dead_letter_queue(
    local_server: Any, queue: tuple[str, str]
) -> None:
    dead_url, dead_arn = queue
    sqs = local_server.client("sqs")
    closed = sqs.create_queue(QueueName=f"closed-{time.time_ns()}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=closed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule(local_server, {"source": ["closed"]}, arn, DeadLetterConfig={"Arn": dead_arn})
    local_server.client("events").put_events(
        Entries=[{"Source": "closed", "DetailType": "Tried", "Detail": '{"a": 1}'}]
    )
    assert eventually(lambda: messages(local_server, dead_url))[0]["detail"] == {"a": 1}
    assert messages(local_server, closed) == []


def test_a_machine_is_started_only_under_a_role_that_may(local_server: Any, machines: Any) -> None:
    machine = machines.create({"Done": {"Type": "Succeed"}})
    start = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    without, granted = (local_server.role("events.amazonaws.com", *statements) for statements in ([], [start]))
    rule(local_server, {"source": ["denied-start"]}, machine, RoleArn=without)
    rule(local_server, {"source": ["granted-start"]}, machine, RoleArn=granted)
    entries = [{"Source": source, "DetailType": "Go", "Detail": "{}"} for source in ("denied-start", "granted-start")]
    local_server.client("events").put_events(Entries=entries)
    found = eventually(lambda: machines.sfn.list_executions(stateMachineArn=machine)["executions"])
    given = machines.sfn.describe_execution(executionArn=found[0]["executionArn"])["input"]
    assert (len(found), json.loads(given)["source"]) == (1, "granted-start")


class Alarms:
    """Makes alarms on series of one metric."""

    def __init__(self, server: Any) -> None:
        self.cloudwatch = server.client("cloudwatch")

    def create(self, series: str, **fields: Any) -> str:
        name = f"alarm-{series}-{time.time_ns()}"
        self.cloudwatch.put_metric_alarm(
            **{
                "AlarmName": name,
                "Namespace": NAMESPACE,
                "MetricName": "Errors",
                "Dimensions": [{"Name": "Series", "Value": series}],
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 2,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "TreatMissingData": "notBreaching",
                **fields,
            }
        )
        return name

    def publish(self, series: str, value: float) -> None:
        datum = {"MetricName": "Errors", "Value": value, "Dimensions": [{"Name": "Series", "Value": series}]}
        self.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])

    def state(self, name: str) -> str:
        found: str = self.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]
        return found

    def wait(self, name: str, state: str) -> None:
        eventually(lambda: self.state(name) == state)


@pytest.fixture(scope="module")
def alarms(local_server: Any) -> Alarms:
    return Alarms(local_server)


def test_an_alarm_sees_its_own_series_only(alarms: Alarms) -> None:
    one, other = alarms.create("one"), alarms.create("other")
    alarms.publish("one", 2)
    alarms.wait(one, "ALARM")
    alarms.wait(other, "OK")


def test_an_alarm_adds_up_what_is_below_its_limit_alone(alarms: Alarms) -> None:
    name = alarms.create("sums")
    alarms.publish("sums", 1)
    alarms.wait(name, "OK")
    alarms.publish("sums", 1)
    alarms.wait(name, "ALARM")


def test_an_alarm_goes_off_although_nothing_is_published(alarms: Alarms) -> None:
    alarms.wait(alarms.create("silence", TreatMissingData="breaching"), "ALARM")


def test_missing_data_is_insufficient_by_default(alarms: Alarms) -> None:
    name = alarms.create("never", TreatMissingData="missing")
    assert alarms.state(name) == "INSUFFICIENT_DATA"


def test_one_bad_period_of_three_is_not_enough(alarms: Alarms) -> None:
    name = alarms.create("periods", EvaluationPeriods=3, DatapointsToAlarm=2)
    alarms.publish("periods", 9)
    alarms.wait(name, "OK")


def test_a_quiet_alarm_recovers(alarms: Alarms) -> None:
    name = alarms.create("recovers", Period=10)
    alarms.publish("recovers", 5)
    alarms.wait(name, "ALARM")
    alarms.wait(name, "OK")


def test_a_state_set_by_hand_stays_a_while(alarms: Alarms) -> None:
    name = alarms.create("by-hand")
    alarms.wait(name, "OK")
    alarms.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    alarms.publish("by-hand", 0)
    assert alarms.state(name) == "ALARM"


def topic(server: Any, queue_arn: str, *, open_to: str, key: str | None = None) -> str:
    sns = server.client("sns")
    arn = sns.create_topic(Name=f"topic-{time.time_ns()}")["TopicArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": open_to}, "Action": "sns:Publish", "Resource": arn}
    sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps({"Statement": [allow]}))
    if key:
        sns.set_topic_attributes(TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=key)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    return str(arn)


def test_a_change_reaches_the_topic_and_the_event_bus(
    local_server: Any, alarms: Alarms, queue: tuple[str, str]
) -> None:
    url, arn = queue
    name = alarms.create("told", AlarmActions=[topic(local_server, arn, open_to="cloudwatch.amazonaws.com")])
    rule(local_server, {"source": ["aws.cloudwatch"], "detail": {"alarmName": [name]}}, arn)
    alarms.publish("told", 2)
    seen: list[Any] = []

    def both() -> bool:
        seen.extend(messages(local_server, url))
        return {"Notification", "CloudWatch Alarm State Change"} <= {
            message.get("Type") or message["detail-type"] for message in seen
        }

    eventually(both)
    event = next(message for message in seen if message.get("detail", {}).get("state", {}).get("value") == "ALARM")
    assert event["detail"]["alarmName"] == name


def test_an_incident_is_told_once_however_many_of_its_alarms_go_off(
    local_server: Any, alarms: Alarms, queue: tuple[str, str]
) -> None:
    url, arn = queue
    one, other = alarms.create("first"), alarms.create("second")
    incident = f"incident-{time.time_ns()}"
    alarms.cloudwatch.put_composite_alarm(
        AlarmName=incident,
        AlarmRule=f'ALARM("{one}") OR ALARM("{other}")',
        AlarmActions=[topic(local_server, arn, open_to="cloudwatch.amazonaws.com")],
    )
    for series, name in (("first", one), ("second", other)):
        alarms.publish(series, 2)
        alarms.wait(name, "ALARM")
    told = [*eventually(lambda: messages(local_server, url)), *messages(local_server, url)]
    assert [json.loads(each["Message"])["AlarmName"] for each in told] == [incident]


@pytest.mark.parametrize("closed_by", ["policy", "key"])
def test_a_topic_that_is_closed_to_cloudwatch_hears_nothing(
    local_server: Any, alarms: Alarms, queue: tuple[str, str], closed_by: str
) -> None:
    url, arn = queue
    key = local_server.client("kms").create_key()["KeyMetadata"]["Arn"] if closed_by == "key" else None
    open_to = "cloudwatch.amazonaws.com" if closed_by == "key" else "s3.amazonaws.com"
    name = alarms.create(f"closed-{closed_by}", AlarmActions=[topic(local_server, arn, open_to=open_to, key=key)])
    alarms.publish(f"closed-{closed_by}", 2)
    alarms.wait(name, "ALARM")
    assert messages(local_server, url) == []
    assert f"the alarm {name} did not reach" in local_server.log
