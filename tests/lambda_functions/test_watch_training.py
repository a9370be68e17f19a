"""One look at a training from outside of it."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from gapless_lambda import clients
from watch_training import handler as watching

JOB = "dev-orders-train-x-0-0"
STARTED = float(int(time.time()) - 3600)
"""CloudWatch Logs takes nothing that is two weeks old."""
PATTERNS = {"loss": r"train-logloss:(\S+)", "validation_loss": r"validation-logloss:(\S+)"}
RULES = {"exploding": {"times": 5}, "dead": {"minutes": 10}}


class SageMaker:
    """Says of the job what a test wants it to say."""

    def __init__(self) -> None:
        self.job: dict[str, Any] = {
            "TrainingJobStatus": "InProgress",
            "TrainingStartTime": datetime.fromtimestamp(STARTED, tz=UTC),
        }

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        assert TrainingJobName == JOB
        return self.job


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMaker]:
    """CloudWatch Logs as moto has it, and a job that runs."""
    told = SageMaker()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        clients.client.cache_clear()
        own = clients.client
        monkeypatch.setattr(watching, "client", lambda service: told if service == "sagemaker" else own(service))
        yield told
    clients.client.cache_clear()


def write(*lines: str, at: float = STARTED + 60, machine: str = "algo-1-1700000000") -> None:
    """Write into the log of the job, one line per second."""
    logs, stream = boto3.client("logs"), f"{JOB}/{machine}"
    groups = logs.describe_log_groups(logGroupNamePrefix=watching.LOG_GROUP)["logGroups"]
    if not groups:
        logs.create_log_group(logGroupName=watching.LOG_GROUP)
    if not logs.describe_log_streams(logGroupName=watching.LOG_GROUP, logStreamNamePrefix=stream)["logStreams"]:
        logs.create_log_stream(logGroupName=watching.LOG_GROUP, logStreamName=stream)
    events = [{"timestamp": int((at + n) * 1000), "message": line} for n, line in enumerate(lines)]
    logs.put_log_events(logGroupName=watching.LOG_GROUP, logStreamName=stream, logEvents=events)


def look(seen: Any = None, *, now: float = STARTED + 120, backend: str = "log", rules: Any = None) -> Any:
    """Look once; what comes back is JSON, as between function and machine."""
    event: Any = {
        "job_name": JOB,
        "backend": backend,
        "rules": RULES if rules is None else rules,
        "patterns": PATTERNS,
        "seen": seen or {},
        "now": now,
    }
    return json.loads(json.dumps(watching.handler(event, None), allow_nan=False))


@pytest.mark.usefixtures("sagemaker")
def test_a_training_that_learns_goes_on() -> None:
    write("[0]\ttrain-logloss:0.69\tvalidation-logloss:0.70", "[1]\ttrain-logloss:0.60\tvalidation-logloss:0.65")
    result = look()
    assert (result["verdict"], result["finding"]) == ("go_on", "")
    assert (result["seen"]["tracker"]["steps"], result["seen"]["tracker"]["best_validation"]) == (2, 0.65)


@pytest.mark.usefixtures("sagemaker")
def test_every_line_is_judged_once() -> None:
    write("train-logloss:0.69")
    first = look()
    write("train-logloss:0.50", at=STARTED + 61)
    second = look(first["seen"])
    third = look(second["seen"])
    assert [each["seen"]["tracker"]["steps"] for each in (first, second, third)] == [1, 2, 2]


@pytest.mark.usefixtures("sagemaker")
def test_a_training_that_explodes_is_to_be_stopped() -> None:
    write("train-logloss:0.5", "nothing to see", "train-logloss:oops", "train-logloss:nan")
    result = look()
    assert (result["verdict"], result["rule"]) == ("stop", "exploding")
    assert result["finding"] == "loss of point 2 is nan; allowed are finite numbers"


@pytest.mark.usefixtures("sagemaker")
def test_a_validation_loss_may_stand_on_a_line_of_its_own() -> None:
    write("train-logloss:0.5", "validation-logloss:0.6", "train-logloss:0.4")
    tracker = look()["seen"]["tracker"]
    assert (tracker["steps"], tracker["best_validation"], tracker["best_validation_step"]) == (2, 0.6, 1)


@pytest.mark.usefixtures("sagemaker")
def test_only_the_first_machine_is_listened_to() -> None:
    write("train-logloss:0.5")
    write("train-logloss:0.5", machine="algo-2-1700000000")
    assert look()["seen"]["tracker"]["steps"] == 1


@pytest.mark.usefixtures("sagemaker")
def test_silence_counts_from_the_start_of_the_job_when_there_is_no_log() -> None:
    quiet = look(now=STARTED + 599)
    assert quiet["verdict"] == "go_on"
    assert look(quiet["seen"], now=STARTED + 601)["rule"] == "dead"


def test_a_job_that_waits_for_machines_is_not_dead(sagemaker: SageMaker) -> None:
    del sagemaker.job["TrainingStartTime"]
    assert look(now=STARTED + 10_000)["verdict"] == "go_on"


def test_a_job_that_has_ended_is_over(sagemaker: SageMaker) -> None:
    write("train-logloss:nan")
    sagemaker.job["TrainingJobStatus"] = "Completed"
    assert look()["verdict"] == "over"


def test_the_verdict_of_debugger_is_taken_over(sagemaker: SageMaker) -> None:
    statuses = [
        {"RuleConfigurationName": "Overfit", "RuleEvaluationStatus": "InProgress"},
        {"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluationStatus": "NoIssuesFound"},
    ]
    sagemaker.job["DebugRuleEvaluationStatuses"] = statuses
    assert look(backend="debugger")["verdict"] == "go_on"
    statuses[0] |= {"RuleEvaluationStatus": "IssuesFound", "StatusDetails": "ratio 0.2 at step 500"}
    result = look(backend="debugger")
    assert (result["verdict"], result["rule"], result["finding"]) == ("stop", "Overfit", "ratio 0.2 at step 500")


def test_errors_of_the_log_are_not_swallowed(sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied:
        def describe_log_streams(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeLogStreams")

    monkeypatch.setattr(watching, "client", lambda service: sagemaker if service == "sagemaker" else Denied())
    with pytest.raises(ClientError):
        look()
