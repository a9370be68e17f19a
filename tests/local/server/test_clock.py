"""The clock of an account: it is set once, only goes forward, and dates what services date."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.server import clock
from local.server.clock import NAME, Clock, WentBackwards
from local.server.sagemaker.endpoints.capture import Capture, Exchange

MAY = dt.datetime(2013, 5, 1, 4, tzinfo=dt.UTC)
JUNE = dt.datetime(2013, 6, 1, 4, tzinfo=dt.UTC)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets what the machine's clock says."""

    class Time:
        said = 1_700_000_000.0

        def time(self) -> float:
            return self.said

    found = Time()
    monkeypatch.setattr(clock, "time", found)

    def say(seconds: float) -> None:
        found.said = seconds

    return say


def test_without_a_file_it_is_the_machines(machine: Callable[[float], None], tmp_path: Path) -> None:
    machine(1_700_000_123.0)
    assert Clock().now() == 1_700_000_123.0
    assert Clock(tmp_path / NAME).now() == 1_700_000_123.0


def test_goes_on_from_where_it_was_set_also_after_a_restart(machine: Callable[[float], None], tmp_path: Path) -> None:
    Clock(tmp_path / NAME).begin(MAY)
    machine(1_700_000_090.0)
    again = Clock(tmp_path / NAME)
    again.begin(JUNE)
    assert again.now() == MAY.timestamp() + 90


def test_moves_forward_for_all_who_follow_it_and_never_back(machine: Callable[[float], None], tmp_path: Path) -> None:
    ours, theirs = Clock(tmp_path / NAME), Clock(tmp_path / NAME)
    ours.begin(MAY)
    ours.move(JUNE)
    assert theirs.now() == JUNE.timestamp()
    machine(1_700_000_030.0)
    with pytest.raises(WentBackwards, match=r"says 2013-06-01T04:00:30Z and cannot be set to 2013-05-01T04:00:00Z"):
        ours.move(MAY)
    assert theirs.now() == JUNE.timestamp() + 30


class Bucket:
    """Stands for S3."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: bytes, **_: object) -> None:
        self.objects[Key] = Body


def test_requests_are_captured_under_its_hour_also_where_it_is_set_between_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_clock, bucket = Clock(tmp_path / NAME), Bucket()
    set_clock.begin(MAY)
    monkeypatch.setattr(clock, "_clock", set_clock)
    asked = {
        "DestinationS3Uri": "s3://bucket/capture",
        "InitialSamplingPercentage": 100,
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    }
    capture = Capture(bucket, asked, "live", "main")
    capture.add(Exchange(b"{}", "application/json", b"{}", "application/json", "one", None))
    set_clock.move(JUNE)
    capture.add(Exchange(b"{}", "application/json", b"{}", "application/json", "two", None))
    capture.close()
    (may, first), (june, second) = sorted(bucket.objects.items())
    assert may.startswith("capture/live/main/2013/05/01/04/00-")
    assert june.startswith("capture/live/main/2013/06/01/04/00-")
    for body, name, minute in ((first, "one", "2013-05-01T04:00:"), (second, "two", "2013-06-01T04:00:")):
        metadata = json.loads(body)["eventMetadata"]
        assert (metadata["inferenceId"], metadata["inferenceTime"][:17]) == (name, minute)


def is_within_an_hour_of(moment: dt.datetime, text: str | dt.datetime) -> bool:
    found = dt.datetime.fromisoformat(text) if isinstance(text, str) else text
    return dt.timedelta(0) <= found - moment < dt.timedelta(hours=1)


def test_services_date_by_it_and_signatures_do_not(
    tmp_path: Path, start_local_server: Callable[..., Any], machines_of: Callable[[Any], Any]
) -> None:
    server = start_local_server(tmp_path / "state", "--clock", MAY.isoformat())
    sqs, events, cloudwatch = (server.client(name) for name in ("sqs", "events", "cloudwatch"))
    url = sqs.create_queue(QueueName="dated")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "*", "Resource": arn}
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [policy]})}
    )
    events.put_rule(Name="alarms", EventPattern=json.dumps({"source": ["aws.cloudwatch"]}))
    events.put_targets(Rule="alarms", Targets=[{"Id": "it", "Arn": arn}])
    cloudwatch.put_metric_alarm(
        AlarmName="found",
        Namespace="Own",
        MetricName="Found",
        Statistic="Maximum",
        Period=86_400,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )

    def gone_off() -> dict[str, Any]:
        """The next event of the alarm going off; what it says in between is thrown away."""
        cloudwatch.put_metric_data(Namespace="Own", MetricData=[{"MetricName": "Found", "Value": 2}])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found: dict[str, Any] = json.loads(message["Body"])
                if found["detail"]["state"]["value"] == "ALARM":
                    return found
        raise AssertionError("the alarm has not gone off")

    first = gone_off()
    assert is_within_an_hour_of(MAY, first["time"])
    assert is_within_an_hour_of(MAY, first["detail"]["state"]["timestamp"])

    Clock(server.state_dir / NAME).move(JUNE)
    quiet = {"AlarmNames": ["found"], "StateValue": "OK"}
    deadline = time.monotonic() + 30
    while not cloudwatch.describe_alarms(**quiet)["MetricAlarms"]:
        assert time.monotonic() < deadline, "what a month ago was found still counts"
        time.sleep(0.1)
    assert is_within_an_hour_of(JUNE, gone_off()["time"])

    server.client("s3").create_bucket(Bucket="dated-bucket")
    server.client("s3").put_object(Bucket="dated-bucket", Key="it", Body=b"it")
    assert is_within_an_hour_of(JUNE, server.client("s3").head_object(Bucket="dated-bucket", Key="it")["LastModified"])
    said = {"Type": "Pass", "Output": "{% $states.context %}", "End": True}
    ended = machines_of(server).run({"Say": said})
    assert is_within_an_hour_of(JUNE, ended["startDate"])
    assert is_within_an_hour_of(JUNE, ended["output"]["Execution"]["StartTime"])
    assert is_within_an_hour_of(JUNE, ended["output"]["State"]["EnteredTime"])
