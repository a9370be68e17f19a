"""SageMaker's own monitors: schedules become what they are wanted to be, and what they found is told as our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from read_monitors.handler import NoResult, folder_of, read, state_of, told
from set_monitors.handler import Event, MonitorBusy, digest_of, set_monitors

PREFIX = "dev-orders-monitor-"
NAMES = "artefacts/orders/monitors/definitions/names.json"
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


class Killed(Exception):
    """The function dies."""


class NoSuchKey(ClientError):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "NoSuchKey", "Message": "it is not there"}}, "GetObject")


class Calls:
    """Counts the calls of all clients, and kills whoever makes a certain one, before it has any effect."""

    def __init__(self, *, killed_at: int | None = None) -> None:
        self.made, self._killed_at = 0, killed_at

    def count(self) -> None:
        self.made += 1
        if self.made == self._killed_at:
            raise Killed


class Body:
    def __init__(self, content: Any) -> None:
        self._text = json.dumps(content)

    def read(self) -> bytes:
        return self._text.encode()


def etag(content: Any) -> str:
    return hashlib.md5(json.dumps(content).encode(), usedforsecurity=False).hexdigest()


class S3:
    class exceptions:
        NoSuchKey = NoSuchKey

    def __init__(self, **objects: Any) -> None:
        self.objects: dict[str, Any] = objects
        self.before_put: Callable[[str], None] = lambda _path: None
        self.calls = Calls()

    def put_object(
        self, Bucket: str, Key: str, Body: bytes, IfMatch: str | None = None, IfNoneMatch: str | None = None
    ) -> Any:
        self.calls.count()
        path = f"{Bucket}/{Key}"
        self.before_put(path)
        there = path in self.objects
        if (IfNoneMatch is not None and there) or (IfMatch is not None and IfMatch != etag(self.objects.get(path))):
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "it is another"}}, "PutObject")
        self.objects[path] = json.loads(Body)
        return {"ETag": etag(self.objects[path])}

    def get_object(self, Bucket: str, Key: str) -> Any:
        self.calls.count()
        if f"{Bucket}/{Key}" not in self.objects:
            raise NoSuchKey
        content = self.objects[f"{Bucket}/{Key}"]
        return {"Body": Body(content), "ETag": etag(content)}


class SageMaker:
    """Keeps definitions and schedules, and judges each request by SageMaker's own service model."""

    class exceptions:
        ResourceNotFound = Missing
        ResourceInUse = InUse

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.definitions: set[str] = set()
        self.calls: list[str] = []
        self.counted = Calls()

    def __getattr__(self, method: str) -> Any:
        operation = "".join(word.capitalize() for word in method.split("_"))

        def call(**request: Any) -> Any:
            report = ParamValidator().validate(request, SERVICE.operation_model(operation).input_shape)
            assert report.generate_report() == ""
            self.counted.count()
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
                if name not in self.definitions:
                    raise Missing
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
    return {
        "prefix": PREFIX,
        "every": every,
        "configs_uri": "s3://artefacts/orders/monitors/configs/",
        "definitions_uri": f"s3://{NAMES}",
        "monitors": list(monitors),
    }


def referred(sagemaker: SageMaker) -> set[str]:
    """The definitions that schedules refer to."""
    configs = [each["MonitoringScheduleConfig"] for each in sagemaker.schedules.values()]
    return {each["MonitoringJobDefinitionName"] for each in configs}


# --- schedules -------------------------------------------------------------------------------------------------------


def test_makes_schedules_and_leaves_alone_what_is_there() -> None:
    sagemaker, s3 = SageMaker(), S3()
    event = wanted(data_quality(), bias(label="late"))
    assert set_monitors(sagemaker, s3, event) == {"schedules": [f"{PREFIX}data", f"{PREFIX}bias"], "removed": []}
    schedule = sagemaker.schedules[f"{PREFIX}data"]["MonitoringScheduleConfig"]
    assert schedule["MonitoringType"] == "DataQuality"
    assert schedule["ScheduleConfig"] == {"ScheduleExpression": "cron(0 0 ? * * *)"}
    names = s3.objects.pop(NAMES)
    assert {name for each in names.values() for name in each} == sagemaker.definitions == referred(sagemaker)
    assert s3.objects == {f"artefacts/orders/monitors/configs/{digest_of({'label': 'late'})}.json": {"label": "late"}}
    s3.objects[NAMES] = names
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


BEFORE = (data_quality(), bias(label="late"))
AFTER = {
    "the first": ((), (data_quality(), bias(label="late"))),
    "changed": (BEFORE, (data_quality("newer"), bias(label="early"))),
    "one fewer": (BEFORE, (data_quality("newer"),)),
    "none": (BEFORE, ()),
}


@pytest.mark.parametrize("change", AFTER)
def test_leaves_nothing_behind_wherever_a_run_dies(change: str) -> None:
    before, after = AFTER[change]

    def world(killed_at: int | None) -> tuple[SageMaker, S3, Calls]:
        sagemaker, s3 = SageMaker(), S3()
        set_monitors(sagemaker, s3, wanted(*before))
        calls = sagemaker.counted = s3.calls = Calls(killed_at=killed_at)
        return sagemaker, s3, calls

    sagemaker, s3, calls = world(None)
    set_monitors(sagemaker, s3, wanted(*after))
    goal, most = sagemaker.schedules, calls.made
    assert most > len(before) + len(after)
    for call in range(1, most + 1):
        for then in (after, (data_quality("newest"),), ()):
            sagemaker, s3, _ = world(call)
            with pytest.raises(Killed):
                set_monitors(sagemaker, s3, wanted(*after))
            set_monitors(sagemaker, s3, wanted(*then))
            assert sagemaker.definitions == referred(sagemaker), f"killed at call {call}, then {len(then)} wanted"
            assert {name for each in s3.objects.get(NAMES, {}).values() for name in each} == sagemaker.definitions
            assert len(sagemaker.schedules) == len(then)
            assert then is not after or sagemaker.schedules == goal


def test_a_definition_from_before_names_were_kept_is_deleted_too() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(data_quality()))
    del s3.objects[NAMES]
    set_monitors(sagemaker, s3, wanted(data_quality("newer")))
    assert sagemaker.definitions == referred(sagemaker)


def test_two_runs_at_once_do_not_forget_each_others_definitions() -> None:
    sagemaker, s3 = SageMaker(), S3()
    set_monitors(sagemaker, s3, wanted(data_quality()))

    def other_run(path: str) -> None:
        if path == NAMES:
            s3.before_put = lambda _path: None
            set_monitors(sagemaker, s3, wanted(data_quality("other")))

    s3.before_put = other_run
    with pytest.raises(MonitorBusy, match=r"definitions/names\.json was written by another run"):
        set_monitors(sagemaker, s3, wanted(data_quality("newer")))
    set_monitors(sagemaker, s3, wanted(data_quality("newer")))
    assert sagemaker.definitions == referred(sagemaker)


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
    assert found["folders"] == {name: f"s3://{FOLDER}/{PREFIX}{name}/2026/03/02/00/" for name in ("data", "bias")}


def test_a_clean_window_counts_as_looked_at() -> None:
    sagemaker = SageMaker()
    sagemaker.schedules = {f"{PREFIX}data": ended("Completed"), f"{PREFIX}bias": ended("InProgress")}
    found = read(sagemaker, S3(), ASKED)
    assert found["families"] == {family: {"violations": 0} for family in ("schema", "completeness", "drift")}
    assert found["waiting"] == [f"{PREFIX}bias"]
    assert list(found["folders"]) == ["data"]


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
