"""What is found out about a deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from delivery.smoke_test import alarm_findings, bucket_findings, main, starter_findings, watch

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class CloudWatch:
    """Alarms: name to state and when it came to it."""

    def __init__(self, **alarms: tuple[str, datetime]) -> None:
        self._alarms = alarms

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        return {
            "MetricAlarms": [
                {"AlarmName": name, "StateValue": state, "StateTransitionedTimestamp": at, "StateReason": "too many"}
                for name, (state, at) in self._alarms.items()
                if name in AlarmNames
            ]
        }


def test_an_alarm_that_goes_off_is_a_finding() -> None:
    alarms = CloudWatch(errors=("ALARM", NOW), slow=("OK", NOW))
    found = alarm_findings(alarms, ["errors", "slow"], NOW - timedelta(hours=1))
    assert found == ["alarm errors went off at 2026-01-01T00:00:00+00:00: too many"]


def test_an_alarm_that_was_on_long_before_is_not_the_deployments() -> None:
    alarms = CloudWatch(errors=("ALARM", NOW - timedelta(days=2)))
    assert alarm_findings(alarms, ["errors"], NOW - timedelta(hours=1)) == []


def test_an_alarm_that_does_not_exist_is_a_finding() -> None:
    assert alarm_findings(CloudWatch(), ["errors"], NOW) == ["alarm errors does not exist"]


def test_watches_until_the_time_is_over_and_stops_at_the_first_finding() -> None:
    looks: list[int] = []

    def look() -> list[str]:
        looks.append(1)
        return ["went off"] if len(looks) == 3 else []

    assert watch(look, 60, pause=lambda _: None) == ["went off"]
    assert len(looks) == 3
    assert watch(list, 0, pause=lambda _: None) == []


@mock_aws
def test_a_bucket_without_versions_or_own_encryption_is_a_finding() -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="landing")
    encrypt(s3, "AES256")
    assert bucket_findings(s3, "landing") == [
        "bucket landing has versioning None",
        "bucket landing encrypts by AES256",
    ]
    s3.put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
    encrypt(s3, "aws:kms")
    assert bucket_findings(s3, "landing") == []


def encrypt(s3: Any, algorithm: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}
    s3.put_bucket_encryption(Bucket="landing", ServerSideEncryptionConfiguration={"Rules": [rule]})


def test_a_front_door_that_cannot_be_called_is_a_finding() -> None:
    class Functions:
        def __init__(self, state: str, answer: int) -> None:
            self.state, self.answer = state, answer

        def get_function_configuration(self, FunctionName: str) -> dict[str, str]:
            return {"State": self.state}

        def invoke(self, FunctionName: str, InvocationType: str) -> dict[str, int]:
            assert InvocationType == "DryRun"
            return {"StatusCode": self.answer}

    assert starter_findings(Functions("Active", 204), "start") == []
    assert starter_findings(Functions("Failed", 204), "start") == ["function start is Failed"]
    assert starter_findings(Functions("Active", 202), "start") == ["function start answers a dry run with 202"]


def test_a_variable_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ROLE", raising=False)
    assert main() == 1
    assert capsys.readouterr().err == "the build needs the environment variable ROLE\n"
