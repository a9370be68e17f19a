"""The four figures come out of events, once each, in whatever order and however often the events come."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from record_delivery import handler as module
from record_delivery.events import BadEvent, read_event, workload_of
from record_delivery.figures import Begun, Delivery, Health, History, Observation, observe
from record_delivery.handler import handler

TABLE = "runs"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:dev-late-orders-deploy"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/dev-late-orders-models/3"
HOUR = 3600.0
T0 = 1_700_000_000.0


def deployment(name: str, status: str, at: float, *, took: float = 60, error: str | None = None) -> dict[str, Any]:
    """The end of an execution of the deployment machine, or its begin where it is running."""
    ended = None if status == "RUNNING" else int(at * 1000)
    return {
        "id": f"{name}-{status}",
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": f"{MACHINE.replace('stateMachine', 'execution')}:{name}",
            "stateMachineArn": MACHINE,
            "status": status,
            "startDate": int((at if ended is None else at - took) * 1000),
            "stopDate": ended,
            "input": json.dumps({"model_package_arn": PACKAGE}),
            "error": error,
        },
    }


def alarm(state: str, at: float, name: str = "dev-late-orders-live-errors") -> dict[str, Any]:
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
    return {
        "id": f"{name}-{state}-{at}",
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "detail": {"alarmName": name, "state": {"value": state, "timestamp": stamp}},
    }


def pipeline(execution: str, state: str, at: float) -> dict[str, Any]:
    return {
        "id": f"{execution}-{state}",
        "source": "aws.codepipeline",
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "detail": {"pipeline": "gapless", "execution-id": execution, "state": state},
    }


class Sagemaker:
    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        assert ModelPackageName == PACKAGE
        return {"CustomerMetadataProperties": {"run_id": "run-1"}}


class Metrics:
    """CloudWatch; the given number of calls fail first."""

    def __init__(self) -> None:
        self.data: list[tuple[str, float, str]] = []
        self.failures = 0

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        assert Namespace == "Gapless"
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route")
        for each in MetricData:
            dimensions = " ".join(f"{one['Name']}={one['Value']}" for one in each["Dimensions"])
            self.data.append((each["MetricName"], each["Value"], dimensions))

    @property
    def figures(self) -> Counter[tuple[str, float]]:
        return Counter((name, value) for name, value, _ in self.data)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A table of records, for all tests of the file."""
    with mock_aws():
        made = boto3.client("dynamodb", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        made.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield made


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch, dynamodb: Any) -> Metrics:
    """What is published, by a function that knows nothing yet but one run."""
    published = Metrics()
    monkeypatch.setenv("STAGE", "dev")
    monkeypatch.setenv("RECORDS_TABLE", TABLE)
    for name in ("delivery#late-orders", "delivery#pipeline/gapless"):
        dynamodb.delete_item(TableName=TABLE, Key={"run": {"S": name}})
    started = datetime.fromtimestamp(T0, UTC).isoformat().replace("+00:00", "Z")
    dynamodb.put_item(TableName=TABLE, Item={"run": {"S": "loop#run-1"}, "started": {"S": started}})
    made = {"dynamodb": dynamodb, "sagemaker": Sagemaker(), "cloudwatch": published}
    monkeypatch.setattr(module, "client", made.__getitem__)
    return published


def send(*events: Mapping[str, Any]) -> int:
    """Hands events over in one delivery; gives how many come again."""
    records = [{"messageId": str(number), "body": json.dumps(each)} for number, each in enumerate(events)]
    return len(handler({"Records": records}, None)["batchItemFailures"])


# --- models ----------------------------------------------------------------------------------------------------------


def test_a_delivered_model_counts_with_its_lead_time_from_the_batch(metrics: Metrics) -> None:
    assert send(deployment("a", "SUCCEEDED", T0 + 600)) == 0
    assert metrics.data == [
        ("Deliveries", 1, "Stage=dev Workload=late_orders"),
        ("DeliveriesFailed", 0, "Stage=dev Workload=late_orders"),
        ("DeliveryLeadTime", 600, "Stage=dev Workload=late_orders"),
    ]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_deployment_that_does_not_succeed_has_failed_and_has_no_lead_time(metrics: Metrics, status: str) -> None:
    send(deployment("a", status, T0 + 600, error="SilentRollback"))
    assert metrics.figures == {("Deliveries", 1): 1, ("DeliveriesFailed", 1): 1}


@pytest.mark.parametrize("error", ["NotApproved", "EndpointBusy", "AlarmAlreadyOn"])
def test_what_was_not_attempted_is_no_delivery(metrics: Metrics, error: str) -> None:
    send(deployment("a", "FAILED", T0 + 600, error=error))
    assert metrics.data == []


def test_a_model_that_was_made_elsewhere_has_no_lead_time(metrics: Metrics, dynamodb: Any) -> None:
    dynamodb.delete_item(TableName=TABLE, Key={"run": {"S": "loop#run-1"}})
    send(deployment("a", "SUCCEEDED", T0 + 600))
    assert metrics.figures == {("Deliveries", 1): 1, ("DeliveriesFailed", 0): 1}


def test_a_failed_deployment_that_is_taken_up_again_is_two_attempts(metrics: Metrics) -> None:
    send(deployment("a", "FAILED", T0 + 600), deployment("a", "SUCCEEDED", T0 + 900))
    assert metrics.figures[("Deliveries", 1)] == 2


def test_time_to_restore_is_from_the_first_alarm_until_none_is_on(metrics: Metrics) -> None:
    latency = "dev-late-orders-live-latency"
    send(alarm("ALARM", T0), alarm("ALARM", T0 + 60, latency), alarm("OK", T0 + 120))
    assert metrics.data == []
    send(alarm("OK", T0 + 300, latency))
    assert metrics.figures == {("TimeToRestore", 300): 1}


def test_an_alarm_soon_after_a_delivery_is_the_deliverys_failure_once(metrics: Metrics) -> None:
    send(deployment("a", "SUCCEEDED", T0))
    send(alarm("ALARM", T0 + HOUR), alarm("OK", T0 + 2 * HOUR), alarm("ALARM", T0 + 3 * HOUR))
    assert metrics.figures[("DeliveriesFailed", 1)] == 1


def test_an_alarm_long_after_a_delivery_is_not(metrics: Metrics) -> None:
    send(deployment("a", "SUCCEEDED", T0), alarm("ALARM", T0 + 25 * HOUR))
    assert metrics.figures[("DeliveriesFailed", 1)] == 0


def test_an_alarm_during_the_next_rollout_is_not_blamed_on_the_model_before(metrics: Metrics) -> None:
    send(deployment("a", "SUCCEEDED", T0))
    send(deployment("b", "RUNNING", T0 + HOUR), alarm("ALARM", T0 + HOUR + 60), alarm("OK", T0 + HOUR + 120))
    send(deployment("b", "FAILED", T0 + HOUR + 180, took=180, error="SilentRollback"))
    assert metrics.figures[("DeliveriesFailed", 1)] == 1
    assert metrics.figures[("TimeToRestore", 60)] == 1


def rollback(name: str, status: str, at: float, *, took: float = 60) -> dict[str, Any]:
    event = deployment(name, status, at, took=took)
    asked = {"action": "rollback", "actor": "ada", "reason": "it reads ages wrongly", "model_package_arn": PACKAGE}
    event["detail"]["input"] = json.dumps(asked)
    return event


def test_taking_back_is_no_delivery_but_the_failure_of_the_last_one_and_its_repair(metrics: Metrics) -> None:
    send(deployment("a", "SUCCEEDED", T0), deployment("b", "SUCCEEDED", T0 + HOUR))
    at = T0 + 100 * HOUR
    send(rollback("c", "RUNNING", at), rollback("c", "SUCCEEDED", at + 120, took=120))
    assert metrics.figures[("Deliveries", 1)] == 2
    assert metrics.figures[("DeliveriesFailed", 1)] == 1
    assert metrics.figures[("TimeToRestore", 120)] == 1


def test_an_alarm_that_makes_somebody_take_back_is_one_failure_and_one_repair(metrics: Metrics) -> None:
    send(deployment("a", "SUCCEEDED", T0))
    send(alarm("ALARM", T0 + HOUR), alarm("OK", T0 + HOUR + 300))
    send(rollback("b", "SUCCEEDED", T0 + HOUR + 200, took=100))
    assert metrics.figures[("DeliveriesFailed", 1)] == 1
    assert metrics.figures[("TimeToRestore", 300)] == 1
    assert sum(number for (name, _), number in metrics.figures.items() if name == "TimeToRestore") == 1


def test_what_could_not_be_taken_back_counts_for_nothing(metrics: Metrics) -> None:
    send(deployment("a", "SUCCEEDED", T0), rollback("b", "FAILED", T0 + HOUR))
    assert metrics.figures[("DeliveriesFailed", 1)] == 0


@pytest.mark.parametrize("asked", [{}, {"action": "stop", "model_package_arn": PACKAGE}])
def test_an_execution_that_asks_for_nothing_known_is_no_delivery(metrics: Metrics, asked: dict[str, str]) -> None:
    event = deployment("a", "FAILED", T0, error="BadRequest")
    event["detail"]["input"] = json.dumps(asked)
    assert send(event) == 0
    assert metrics.data == []


# --- the platform ----------------------------------------------------------------------------------------------------


def test_a_run_of_the_pipeline_counts_with_its_lead_time(metrics: Metrics) -> None:
    send(pipeline("1", "STARTED", T0), pipeline("1", "SUCCEEDED", T0 + 1200))
    assert metrics.data == [
        ("Deliveries", 1, "Pipeline=gapless"),
        ("DeliveriesFailed", 0, "Pipeline=gapless"),
        ("DeliveryLeadTime", 1200, "Pipeline=gapless"),
    ]


def test_a_failed_run_is_repaired_by_the_next_that_succeeds_and_not_blamed_on_the_one_before(metrics: Metrics) -> None:
    send(pipeline("1", "STARTED", T0), pipeline("1", "SUCCEEDED", T0 + 60))
    send(pipeline("2", "STARTED", T0 + 100), pipeline("2", "FAILED", T0 + 200))
    send(pipeline("3", "STARTED", T0 + 300), pipeline("3", "FAILED", T0 + 400))
    send(pipeline("4", "STARTED", T0 + 500), pipeline("4", "SUCCEEDED", T0 + 700))
    assert metrics.figures[("Deliveries", 1)] == 4
    assert metrics.figures[("DeliveriesFailed", 1)] == 2
    assert metrics.figures[("TimeToRestore", 500)] == 1


def test_a_run_that_gave_way_to_a_newer_one_is_neither(metrics: Metrics) -> None:
    send(pipeline("1", "STARTED", T0), pipeline("1", "SUPERSEDED", T0 + 60), pipeline("2", "STOPPED", T0 + 60))
    assert metrics.data == []


# --- duplicates, order, death ----------------------------------------------------------------------------------------

STORY = [
    deployment("a", "SUCCEEDED", T0),
    alarm("ALARM", T0 + HOUR),
    alarm("OK", T0 + 2 * HOUR),
    deployment("b", "FAILED", T0 + 30 * HOUR),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_any_order_and_any_number_of_times_gives_the_same_figures(metrics: Metrics, order: tuple[int, ...]) -> None:
    for number in order:
        assert send(STORY[number]) == 0
        assert send(*STORY[:2]) == 0 if number in (0, 1) else True
    for each in STORY:
        assert send(each, each) == 0
    assert metrics.figures == {
        ("Deliveries", 1): 2,
        ("DeliveriesFailed", 0): 1,
        ("DeliveriesFailed", 1): 2,
        ("DeliveryLeadTime", 0): 1,
        ("TimeToRestore", HOUR): 1,
    }


def test_what_could_not_be_published_is_published_when_the_event_comes_again(metrics: Metrics) -> None:
    metrics.failures = 1
    event = deployment("a", "SUCCEEDED", T0 + 600)
    assert send(event) == 1
    assert metrics.data == []
    assert send(deployment("b", "FAILED", T0 + 900)) == 0
    assert metrics.figures[("DeliveryLeadTime", 600)] == 0
    assert send(event) == 0
    assert send(event) == 0
    assert metrics.figures[("DeliveryLeadTime", 600)] == 1


def test_a_call_that_another_overtook_tries_again(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    read = module.Records.read

    def overtaken(self: module.Records, name: str) -> module.Item:
        item = read(self, name)
        monkeypatch.setattr(module.Records, "read", read)
        assert send(deployment("b", "FAILED", T0 + 900)) == 0
        return item

    monkeypatch.setattr(module.Records, "read", overtaken)
    event = deployment("a", "SUCCEEDED", T0 + 600)
    assert send(event) == 1
    assert send(event) == 0
    assert metrics.figures[("Deliveries", 1)] == 2


def test_events_of_other_stages_and_of_other_things_are_passed_over(metrics: Metrics) -> None:
    other = deployment("a", "SUCCEEDED", T0)
    other["detail"]["stateMachineArn"] = MACHINE.replace("dev-", "prod-")
    assert send(other, alarm("ALARM", T0, "prod-late-orders-live-errors"), alarm("INSUFFICIENT_DATA", T0)) == 0
    assert metrics.data == []


def test_an_event_of_an_unknown_kind_comes_again(metrics: Metrics) -> None:
    assert send({"id": "1", "source": "aws.s3", "detail-type": "Object Created", "detail": {}}) == 1
    with pytest.raises(BadEvent, match="allowed are executions, alarms and pipelines"):
        read_event({"source": "aws.s3", "detail-type": "Object Created"}, "dev")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dev-late-orders-deploy", "late-orders"),
        ("dev-deploy", None),
        ("prod-late-orders-deploy", None),
        ("dev-late-orders-data", None),
        ("devil-orders-deploy", None),
    ],
)
def test_names_tell_the_workload(name: str, expected: str | None) -> None:
    assert workload_of(name, "dev", "deploy") == expected


# --- the history -----------------------------------------------------------------------------------------------------

_TIMES = st.integers(0, 40).map(lambda tenth: T0 + tenth * HOUR)


@st.composite
def stories(draw: st.DrawFn) -> list[Observation]:
    """Attempts and turns of two alarms, each at a time of its own."""
    times = draw(st.lists(_TIMES, min_size=1, max_size=8, unique=True))
    made: list[Observation] = []
    for number, at in enumerate(times):
        kind = draw(st.sampled_from(["good", "bad", "on", "off"]))
        if kind in ("good", "bad"):
            made.append(Delivery(f"d{number}", at, f"d{number}", kind == "bad", at))
        else:
            made.append(Health(f"h{number}", at, draw(st.sampled_from("xy")), kind == "on"))
    return made


@given(stories(), st.randoms(use_true_random=False))
def test_deliveries_are_counted_once_in_every_order(story: list[Observation], random: Any) -> None:
    shuffled = [*story, *story]
    random.shuffle(shuffled)
    history, counted = History(), Counter[str]()
    for each in shuffled:
        history, figures = observe(History.of(json.loads(json.dumps(history.document()))), [each])
        counted.update({name: value for name, value in figures if name.startswith("Deliver")})
    deliveries = [each for each in story if isinstance(each, Delivery)]
    assert counted["Deliveries"] == len(deliveries)
    assert sum(each.failed for each in deliveries) <= counted["DeliveriesFailed"] <= len(deliveries)


@given(stories())
def test_told_in_order_every_repair_is_counted_once(story: list[Observation]) -> None:
    history, restored = History(), 0
    bad: set[str] = set()
    repairs = 0
    for each in sorted(story, key=lambda one: one.at):
        history, figures = observe(history, [each])
        restored += sum(name == "TimeToRestore" for name, _ in figures)
        if isinstance(each, Health):
            was = bool(bad)
            (bad.add if each.bad else bad.discard)(each.source)
            repairs += was and not bad
    assert restored == repairs


def test_a_history_forgets_what_no_event_can_be_about_any_more() -> None:
    history = History()
    for day in range(200):
        at = T0 + day * 24 * HOUR
        history, _ = observe(history, [Begun(f"b{day}", at, f"d{day}"), Delivery(f"d{day}", at, f"d{day}", False, at)])
    assert len(history.seen) == 44
    assert len(history.attempts) == len(history.deliveries) == 22


def test_a_history_does_not_forget_that_something_is_still_bad() -> None:
    history, _ = observe(History(), [Health("on", T0, "x", True)])
    history, _ = observe(history, [Delivery("d", T0 + 1000 * HOUR, "d", False, T0 + 1000 * HOUR)])
    _, figures = observe(history, [Health("off", T0 + 1001 * HOUR, "x", False)])
    assert ("TimeToRestore", 1001 * HOUR) in figures
