"""SageMaker's own monitors: schedules become what they are wanted to be, and what they found is told as our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from read_monitors.handler import NoResult, folder_of, read, state_of, told
from set_monitors.handler import Event, MonitorBusy, digest_of, set_monitors

PREFIX = "dev-orders-monitor-"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVICE = botocore.session.get_session().get_service_model("sagemaker")
JOB: dict[str, Any] = {
    "JobResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}},
    "RoleArn": "arn:aws:iam::000000000000:role/monitors",
}
ENDPOINT = {"EndpointName": "dev-orders-live", "LocalPath": "/opt/ml/processing/input/endpoint"}
OUTPUT = {"MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://artefacts/o", "LocalPath": "/opt/ml/processing/output"}}]}


class Missing(Exception):
    pass


class InUse(Exception):
    pass


class NoSuchKey(Exception):
    pass


class Body:
    def __init__(self, content: Any) -> None:
        self._text = json.dumps(content)

    def read(self) -> bytes:
        return self._text.encode()


class S3:
    class exceptions:
        NoSuchKey = NoSuchKey

    def __init__(self, **objects: Any) -> None:
        self.objects: dict[str, Any] = objects

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[f"{Bucket}/{Key}"] = json.loads(Body)

    def get_object(self, Bucket: str, Key: str) -> Any:
        if f"{Bucket}/{Key}" not in self.objects:
            raise NoSuchKey
        return {"Body": Body(self.objects[f"{Bucket}/{Key}"])}


class SageMaker:
    """Keeps definitions and schedules, and judges each request by SageMaker's own service model."""

    class exceptions:
        ResourceNotFound = Missing
        ResourceInUse = InUse

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.definitions: set[str] = set()
        self.calls: list[str] = []

    def __getattr__(self, method: str) -> Any:
        operation = "".join(word.capitalize() for word in method.split("_"))

        def call(**request: Any) -> Any:
            report = ParamValidator().validate(request, SERVICE.operation_model(operation).input_shape)
            assert report.generate_report() == ""
            self.calls.append(operation)
            return self._answer(operation, request)

        return call

    def _answer(self, operation: str, request: dict[str, Any]) -> Any:
        name: str = request.get("MonitoringScheduleName") or request["JobDefinitionName"]
        match operation:
            case "DescribeMonitoringSchedule":
                if name not in self.schedules:
                    raise Missing
                return self.schedules[name]
            case "CreateMonitoringSchedule" | "UpdateMonitoringSchedule":
                assert request["MonitoringScheduleConfig"]["MonitoringJobDefinitionName"] in self.definitions
                assert (name in self.schedules) == operation.startswith("Update")
                self.schedules[name] = {**request, "MonitoringScheduleStatus": "Scheduled", "CreationTime": NOON}
            case "DeleteMonitoringSchedule":
                del self.schedules[name]
            case _ if operation.startswith("Create"):
                if name in self.definitions:
                    raise InUse
                self.definitions.add(name)
            case _:
                used = [each["MonitoringScheduleConfig"] for each in self.schedules.values()]
                assert name not in [each["MonitoringJobDefinitionName"] for each in used]
                self.definitions.remove(name)
        return {}


def data_quality(image: str = "image") -> Any:
    return {
        "kind": "DataQuality",
        "definition": {
            "DataQualityAppSpecification": {"ImageUri": image},
            "DataQualityJobInput": {"EndpointInput": ENDPOINT},
            "DataQualityJobOutputConfig": OUTPUT,
            **JOB,
        },
    }


def bias(**config: Any) -> Any:
    return {
        "kind": "ModelBias",
        "config": config,
        "definition": {
            "ModelBiasAppSpecification": {"ImageUri": "clarify"},
            "ModelBiasJobInput": {"EndpointInput": ENDPOINT, "GroundTruthS3Input": {"S3Uri": "s3://artefacts/t"}},
            "ModelBiasJobOutputConfig": OUTPUT,
            **JOB,
        },
    }


def wanted(*monitors: Any, every: str = "day") -> Event:
    configs = "s3://artefacts/orders/monitors/configs/"
    return {"prefix": PREFIX, "every": every, "configs_uri": configs, "monitors": list(monitors)}


# --- schedules -------------------------------------------------------------------------------------------------------


def test_makes_schedules_and_leaves_alone_what_is_there() -> None:
    sagemaker, s3 = SageMaker(), S3()
    event = wanted(data_quality(), bias(label="late"))
    assert set_monitors(sagemaker, s3, event) == {"schedules": [f"{PREFIX}data", f"{PREFIX}bias"], "removed": []}
    schedule = sagemaker.schedules[f"{PREFIX}data"]["MonitoringScheduleConfig"]
    assert schedule["MonitoringType"] == "DataQuality"
    assert schedule["ScheduleConfig"] == {"ScheduleExpression": "cron(0 0 ? * * *)"}
    assert s3.objects == {f"artefacts/orders/monitors/configs/{digest_of({'label': 'late'})}.json": {"label": "late"}}
    sagemaker.calls.clear()
    set_monitors(sagemaker, s3, event)
    assert set(sagemaker.calls) == {"DescribeMonitoringSchedule"}


def test_points_a_schedule_at_another_definition_and_deletes_the_old_one() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(data_quality()))
    before = set(sagemaker.definitions)
    set_monitors(sagemaker, s3, wanted(data_quality("newer")))
    assert len(sagemaker.definitions) == 1
    assert sagemaker.definitions.isdisjoint(before)
    set_monitors(sagemaker, s3, wanted(data_quality("newer"), every="hour"))
    config = sagemaker.schedules[f"{PREFIX}data"]["MonitoringScheduleConfig"]
    assert config["ScheduleConfig"] == {"ScheduleExpression": "cron(0 * ? * * *)"}
    assert config["MonitoringJobDefinitionName"] in sagemaker.definitions


def test_an_analysis_that_has_changed_makes_another_definition() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(bias(label="late")))
    before = set(sagemaker.definitions)
    set_monitors(sagemaker, s3, wanted(bias(label="early")))
    assert sagemaker.definitions.isdisjoint(before)


def test_goes_on_where_an_earlier_try_broke_off() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(data_quality()))
    sagemaker.schedules.clear()
    assert set_monitors(sagemaker, s3, wanted(data_quality()))["schedules"] == [f"{PREFIX}data"]
    assert f"{PREFIX}data" in sagemaker.schedules


def test_removes_what_is_no_longer_wanted() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(data_quality(), bias(label="late")))
    assert set_monitors(sagemaker, s3, wanted())["removed"] == [f"{PREFIX}data", f"{PREFIX}bias"]
    assert (sagemaker.schedules, sagemaker.definitions) == ({}, set())


def test_waits_while_sagemaker_is_at_work() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(data_quality()))
    sagemaker.schedules[f"{PREFIX}data"]["MonitoringScheduleStatus"] = "Pending"
    with pytest.raises(MonitorBusy, match="is still Pending"):
        set_monitors(sagemaker, s3, wanted(data_quality("newer")))


def test_the_longest_names_fit() -> None:
    longest = f"{'s' * 8}-{'w' * 20}-monitor-"
    assert len(f"{longest}attributions-{digest_of({})}") <= 63


# --- results ---------------------------------------------------------------------------------------------------------

FOLDER = "artefacts/orders/monitors/results/dev-orders-live"
ASKED: Any = {
    "prefix": PREFIX,
    "results_uri": f"s3://{FOLDER}/",
    "kinds": ["DataQuality", "ModelBias"],
    "every": "day",
    "as_of": "2026-03-02T01:23:00Z",
}
DUE = datetime(2026, 3, 2, tzinfo=UTC)


def only(kind: str) -> Any:
    return {**ASKED, "kinds": [kind]}


def ended(status: str, *, due: datetime = DUE, **more: Any) -> dict[str, Any]:
    last = {"ScheduledTime": due, "MonitoringExecutionStatus": status, **more}
    return {"CreationTime": datetime(2026, 1, 1, tzinfo=UTC), "LastMonitoringExecutionSummary": last}


def violation(check: str, **about: str) -> dict[str, str]:
    return {"constraint_check_type": check, "description": f"{check} is broken", **about}


def test_counts_violations_by_the_families_of_the_own_monitor() -> None:
    sagemaker = SageMaker()
    sagemaker.schedules = {
        f"{PREFIX}data": ended("CompletedWithViolations"),
        f"{PREFIX}bias": ended("CompletedWithViolations"),
    }
    columns = [
        violation("data_type_check", feature_name="amount"),
        violation("missing_column_check", feature_name="items"),
        violation("completeness_check", feature_name="items"),
        violation("baseline_drift_check", feature_name="amount"),
    ]
    facets = [violation("bias_drift_check", facet="region", facet_value="north", metric_name="DPPL")]
    s3 = S3(
        **{
            f"{FOLDER}/{PREFIX}data/2026/03/02/00/statistics.json": {"dataset": {"item_count": 900}},
            f"{FOLDER}/{PREFIX}data/2026/03/02/00/constraint_violations.json": {"violations": columns},
            f"{FOLDER}/{PREFIX}bias/2026/03/02/00/constraint_violations.json": {"violations": facets},
        }
    )
    found = read(sagemaker, s3, ASKED)
    counted = {family: each["violations"] for family, each in found["families"].items()}
    assert counted == {"schema": 2, "completeness": 1, "drift": 1, "bias": 1}
    assert (found["rows"], found["waiting"], found["failed"]) == (900, [], [])
    assert {each["column"] for each in found["violations"]} == {"amount", "items", "region"}


def test_a_clean_window_counts_as_looked_at() -> None:
    sagemaker = SageMaker()
    sagemaker.schedules = {f"{PREFIX}data": ended("Completed"), f"{PREFIX}bias": ended("InProgress")}
    found = read(sagemaker, S3(), ASKED)
    assert found["families"] == {family: {"violations": 0} for family in ("schema", "completeness", "drift")}
    assert found["waiting"] == [f"{PREFIX}bias"]


def test_a_result_that_is_not_there_is_an_error() -> None:
    sagemaker = SageMaker()
    sagemaker.schedules = {f"{PREFIX}data": ended("CompletedWithViolations")}
    with pytest.raises(NoResult, match="constraint_violations"):
        read(sagemaker, S3(), only("DataQuality"))


def test_a_failed_execution_is_named_with_its_reason() -> None:
    sagemaker = SageMaker()
    sagemaker.schedules = {f"{PREFIX}data": ended("Failed", FailureReason="ClientError: no permission")}
    found = read(sagemaker, S3(), only("DataQuality"))
    assert found["failed"] == [f"{PREFIX}data: ClientError: no permission"]
    assert found["families"] == {}


@pytest.mark.parametrize(
    ("schedule", "state"),
    [
        (ended("Failed", FailureReason="Job inputs had no data"), "nothing"),
        (ended("Stopped"), "failed"),
        (ended("Completed", due=datetime(2026, 2, 28, tzinfo=UTC)), "waiting"),
        ({"CreationTime": datetime(2026, 3, 1, 12, tzinfo=UTC)}, "nothing"),
        ({"CreationTime": datetime(2026, 2, 1, 12, tzinfo=UTC)}, "waiting"),
    ],
)
def test_knows_how_far_a_window_is(schedule: dict[str, Any], state: str) -> None:
    assert state_of(schedule, datetime(2026, 3, 1, 1, 23, tzinfo=UTC)) == state


def test_results_lie_in_the_folder_of_the_scheduled_hour() -> None:
    folder = folder_of("s3://bucket/results/endpoint/", "dev-orders-monitor-data", DUE)
    assert str(folder) == "s3://bucket/results/endpoint/dev-orders-monitor-data/2026/03/02/00/"


def test_answers_are_told_by_the_metric() -> None:
    (found,) = told("ModelQuality", [violation("LessThanThreshold", metric_name="auc")])
    assert (found["family"], found["column"]) == ("quality", "auc")
