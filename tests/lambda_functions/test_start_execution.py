"""One execution per batch and per approval: whatever arrives twice, at once, in another order, or dies half way."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from gapless_lambda import clients
from gapless_lambda.s3 import Address
from gapless_lambda.settings import BadSettings, read_settings
from start_execution import handler as starter
from start_execution.batches import batch_key
from start_execution.decision import decided_by
from start_execution.record import BadEvent, Start, StartRecord

LANDING, ARTEFACTS, TABLE = "landing", "artefacts", "runs"
POINTER_KEY = "flight_delays/bundles/current.json"
BUNDLE = {"bundle": "b" * 64, "uri": "s3://artefacts/flight_delays/bundles/b/sourcedir.tar.gz", "commit": "c0ffee"}
FILES = [
    {"source": "flights", "key": "flights.csv.gz", "bytes": 3, "sha256": "aa"},
    {"source": "weather", "key": "weather.csv", "bytes": 5, "sha256": "bb"},
]
BATCH = {"workload": "flight_delays", "as_of": "2013-05-01T02:00:00+02:00", "files": FILES}
TIME = "2026-11-22T13:00:00Z"
SERVICES = ("s3", "dynamodb", "stepfunctions", "sagemaker")
AUDIT = "audit"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/dev-flight-delays-models/3"


class Died(Exception):
    """The process ended in the middle of a call."""


class World:
    """An account with the starter in it: what lies in S3, and what was started."""

    def __init__(self, aws: dict[str, Any]) -> None:
        self.s3, self.dynamodb, self.states, self.sagemaker = (aws[service] for service in SERVICES)
        for bucket in (LANDING, ARTEFACTS):
            self.s3.create_bucket(Bucket=bucket)
        self.dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.dynamodb.create_table(
            TableName=AUDIT,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("workload", "event")],
            KeySchema=[
                {"AttributeName": "workload", "KeyType": "HASH"},
                {"AttributeName": "event", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        self.sagemaker.create_model_package_group(ModelPackageGroupName="dev-flight-delays-models")
        for _ in range(3):
            self.sagemaker.create_model_package(ModelPackageGroupName="dev-flight-delays-models")
        self.machines = {name: self.create_machine(name) for name in ("loop", "deployment")}
        self.publish(BUNDLE)

    def create_machine(self, name: str) -> str:
        definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
        role = "arn:aws:iam::123456789012:role/machine"
        made = self.states.create_state_machine(name=name, definition=definition, roleArn=role)
        return str(made["stateMachineArn"])

    def publish(self, bundle: Any) -> None:
        self.s3.put_object(Bucket=ARTEFACTS, Key=POINTER_KEY, Body=json.dumps(bundle).encode())

    def land(self, body: bytes | dict[str, Any], key: str = "flight_delays/2013-05/_batch.json", **event: str) -> Any:
        """Put a batch file into the landing zone; give the event that S3 sends."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.s3.put_object(Bucket=LANDING, Key=key, Body=raw)
        detail = {"bucket": {"name": LANDING}, "object": {"key": key, "size": len(raw)}}
        return {
            "id": "e1",
            "source": "aws.s3",
            "detail-type": "Object Created",
            "time": TIME,
            "detail": detail,
            **event,
        }

    def started(self, machine: str = "loop") -> dict[str, dict[str, Any]]:
        """Give the input of every execution by its name."""
        listed = self.states.list_executions(stateMachineArn=self.machines[machine])["executions"]
        arns = {execution["name"]: execution["executionArn"] for execution in listed}
        return {
            name: json.loads(self.states.describe_execution(executionArn=arn)["input"]) for name, arn in arns.items()
        }

    def item(self, key: str) -> dict[str, Any]:
        return dict(self.dynamodb.get_item(TableName=TABLE, Key={"run": {"S": f"start#{key}"}})["Item"])


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, Any]]:
    """The test's own clients; made once, as are the function's, since that is what takes the time."""
    clients.client.cache_clear()
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for service in SERVICES:
            clients.client(service)
        own = {service: boto3.client(service) for service in SERVICES}
    yield own
    clients.client.cache_clear()


@pytest.fixture
def world(aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with mock_aws():
        made = World(aws)
        for name, value in {
            "STAGE": "dev",
            "WORKLOAD": "flight_delays",
            "RUNS_TABLE": TABLE,
            "AUDIT_TABLE": AUDIT,
            "LOOP_MACHINE_ARN": made.machines["loop"],
            "DEPLOYMENT_MACHINE_ARN": made.machines["deployment"],
            "BUNDLE_POINTER": f"s3://{ARTEFACTS}/{POINTER_KEY}",
        }.items():
            monkeypatch.setenv(name, value)
        yield made


def approval(status: str = "Approved", **event: str) -> Any:
    detail = {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": status, "ModelPackageStatus": "Completed"}
    kind = "SageMaker Model Package State Change"
    return {"id": "e2", "source": "aws.sagemaker", "detail-type": kind, "time": TIME, "detail": detail, **event}


def rerun(key: str, event_id: str, workload: str = "flight_delays") -> Any:
    detail = {"workload": workload, "run_key": key}
    return {"id": event_id, "source": "gapless", "detail-type": "Re-run Requested", "time": TIME, "detail": detail}


def deliver(*events: Any) -> list[str]:
    """Hand events to the handler as SQS does; give the ids of the messages that failed, their positions."""
    records = [{"messageId": str(position), "body": json.dumps(event)} for position, event in enumerate(events)]
    response = starter.handler({"Records": records}, None)
    return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]


def key_of(batch: dict[str, Any]) -> str:
    return batch_key(json.dumps(batch).encode())


# --- what starts -----------------------------------------------------------------------------------------------------


def test_a_landed_batch_starts_the_loop_with_its_instant_and_bundle(world: World) -> None:
    assert deliver(world.land(BATCH)) == []
    key = key_of(BATCH)
    assert world.started() == {
        f"{key[:16]}-1": {
            "run_id": f"{key[:16]}-1",
            "run_key": key,
            "workload": "flight_delays",
            "batch_uri": "s3://landing/flight_delays/2013-05/_batch.json",
            "as_of": "2013-05-01T00:00:00Z",
            "bundle": BUNDLE,
            "triggered_by": {"event": "e1", "source": "aws.s3", "detail_type": "Object Created"},
        }
    }
    assert world.item(key)["status"] == {"S": "started"}
    assert world.started("deployment") == {}


def test_an_approved_model_package_starts_the_deployment(world: World) -> None:
    assert deliver(approval()) == []
    key = hashlib.sha256(f"{PACKAGE}\ne2".encode()).hexdigest()
    started = world.started("deployment")
    assert list(started) == [f"{key[:16]}-1"]
    assert started[f"{key[:16]}-1"]["model_package_arn"] == PACKAGE
    assert started[f"{key[:16]}-1"]["as_of"] == TIME
    assert world.started() == {}


def test_a_package_that_is_approved_again_is_deployed_again_and_an_event_that_comes_twice_is_not(world: World) -> None:
    assert deliver(approval(), approval(), approval(id="e3"), approval(id="e3")) == []
    assert len(world.started("deployment")) == 2


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_other_changes_of_a_model_package_start_nothing(world: World, status: str) -> None:
    assert deliver(approval(status)) == []
    assert world.started("deployment") == {}


def test_who_decided_on_a_model_is_on_record_once_per_event(world: World) -> None:
    world.sagemaker.update_model_package(
        ModelPackageArn=PACKAGE, ModelApprovalStatus="Rejected", ApprovalDescription="Too slow for the evening"
    )
    assert deliver(approval("Rejected"), approval("Rejected"), approval(id="e3")) == []
    trail = {each["event"]["S"]: each for each in world.dynamodb.scan(TableName=AUDIT)["Items"]}
    assert set(trail) == {
        "model-rejected#dev-flight-delays-models/3#e2",
        "model-approved#dev-flight-delays-models/3#e3",
    }
    rejected = trail["model-rejected#dev-flight-delays-models/3#e2"]
    assert (rejected["workload"], rejected["at"]) == ({"S": "flight_delays"}, {"S": TIME})
    assert rejected["description"] == {"S": "Too slow for the evening"}
    assert rejected["model_package_arn"] == {"S": PACKAGE}


@pytest.mark.parametrize(
    ("package", "by"),
    [
        ({"CreatedBy": {"IamIdentity": {"Arn": "arn:role/machine"}}}, "arn:role/machine"),
        (
            {"CreatedBy": {"IamIdentity": {"Arn": "a"}}, "LastModifiedBy": {"IamIdentity": {"Arn": "arn:user/ann"}}},
            "arn:user/ann",
        ),
        ({"LastModifiedBy": {"UserProfileArn": "arn:profile", "IamIdentity": {"Arn": "arn:studio"}}}, "arn:profile"),
        ({"CreatedBy": {}}, "unknown"),
    ],
)
def test_who_decided_is_who_changed_the_package_last(package: dict[str, Any], by: str) -> None:
    assert decided_by(package) == by


def test_a_new_property_of_an_approved_package_is_no_approval(world: World) -> None:
    """Such as one that pins it; otherwise an old model would be deployed again."""
    pinned = approval()
    pinned["detail"]["UpdatedModelPackageFields"] = ["CustomerMetadataProperties"]
    approved = approval(id="e3")
    approved["detail"]["UpdatedModelPackageFields"] = ["ModelApprovalStatus", "ApprovalDescription"]
    assert deliver(pinned) == []
    assert world.started("deployment") == {}
    assert world.dynamodb.scan(TableName=AUDIT)["Items"] == []
    assert deliver(approved) == []
    assert len(world.started("deployment")) == 1


@pytest.mark.parametrize("folder", ["a b", "a+b", "a%20b", "Grüße 東京", "..", "a//b", "'quoted\"", "deep/er/still"])
def test_keys_are_used_exactly_as_the_event_gives_them(world: World, folder: str) -> None:
    key = f"flight_delays/{folder}/_batch.json"
    assert deliver(world.land(BATCH, key)) == []
    assert [run["batch_uri"] for run in world.started().values()] == [f"s3://landing/{key}"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"files": 3}', b'{"files": [1]}', b"null", b"[" * 100_000],
    ids=lambda body: repr(body[:9]),
)
def test_a_batch_file_that_does_not_parse_starts_all_the_same(world: World, body: bytes) -> None:
    assert deliver(world.land(body)) == []
    (run,) = world.started().values()
    assert run["run_key"] == hashlib.sha256(body).hexdigest()
    assert run["as_of"] == TIME


@pytest.mark.parametrize(
    "given",
    [None, 3, "", "soon", "2013-05-01", "2013-05-01T00:00:00", "2013-13-01T00:00:00Z", "0001-01-01T00:00:00+05:00"],
)
def test_an_instant_that_is_not_valid_gives_way_to_the_time_of_the_event(world: World, given: object) -> None:
    assert deliver(world.land({**BATCH, "as_of": given})) == []
    assert [run["as_of"] for run in world.started().values()] == [TIME]


def test_a_file_whose_name_only_ends_alike_starts_nothing(world: World) -> None:
    assert deliver(world.land(BATCH, "flight_delays/x/not_batch.json")) == []
    assert world.started() == {}


def test_one_bad_message_fails_alone(world: World) -> None:
    unknown = {"id": "e9", "source": "aws.ec2", "detail-type": "Stopped", "detail": {}}
    outside = world.land(BATCH, "other_workload/x/_batch.json")
    absent = world.land(BATCH, "flight_delays/gone/_batch.json")
    world.s3.delete_object(Bucket=LANDING, Key="flight_delays/gone/_batch.json")
    assert deliver(unknown, outside, world.land(BATCH), absent, "not an event") == ["0", "1", "3", "4"]
    assert len(world.started()) == 1


@pytest.mark.parametrize("pointer", [None, [], {"bundle": "b"}, {**BUNDLE, "commit": None}])
def test_without_a_bundle_the_message_fails_with_its_reason_and_starts_later(world: World, pointer: object) -> None:
    world.publish(pointer)
    if pointer is None:
        world.s3.delete_object(Bucket=ARTEFACTS, Key=POINTER_KEY)
    event = world.land(BATCH)
    settings = read_settings(starter.Settings)
    with pytest.raises(starter.MissingBundle, match=r"s3://artefacts/flight_delays/bundles/current\.json"):
        starter.start(event, settings)
    assert deliver(event) == ["0"]
    world.publish(BUNDLE)
    assert deliver(event) == []
    assert len(world.started()) == 1


def test_names_the_variables_that_are_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNS_TABLE")
    monkeypatch.setenv("STAGE", "")
    with pytest.raises(
        BadSettings, match="missing or empty: RUNS_TABLE, STAGE; Settings needs AUDIT_TABLE, BUNDLE_POINTER"
    ):
        deliver(world.land(BATCH))


# --- once ------------------------------------------------------------------------------------------------------------


def test_the_same_event_again_is_no_news(world: World) -> None:
    event = world.land(BATCH)
    assert deliver(event, event) == []
    assert deliver(event) == []
    assert len(world.started()) == 1


def test_the_same_batch_elsewhere_and_laid_out_otherwise_is_no_news(world: World) -> None:
    deliver(world.land(BATCH))
    other = json.dumps({**BATCH, "files": FILES[::-1]}, indent=3, sort_keys=True).encode()
    assert deliver(world.land(other, "flight_delays/again/_batch.json", id="e7", time="2027-01-01T00:00:00Z")) == []
    assert [run["batch_uri"] for run in world.started().values()] == ["s3://landing/flight_delays/2013-05/_batch.json"]


def test_an_event_that_comes_when_step_functions_has_forgotten_the_name_starts_nothing(world: World) -> None:
    event = world.land(BATCH)
    deliver(event)
    world.states.delete_state_machine(stateMachineArn=world.machines["loop"])
    assert world.create_machine("loop") == world.machines["loop"]
    assert deliver(event) == []
    assert world.started() == {}


def test_another_batch_is_another_run(world: World) -> None:
    changed = {**BATCH, "files": [{**FILES[0], "sha256": "cc"}, FILES[1]]}
    assert deliver(world.land(BATCH), world.land(changed, "flight_delays/2013-06/_batch.json")) == []
    assert len(world.started()) == 2


@given(st.permutations(FILES), st.permutations(list(BATCH)), st.sampled_from([None, 0, 2]))
def test_the_key_depends_on_the_content_only(files: list[object], members: list[str], indent: int | None) -> None:
    shuffled = {name: files if name == "files" else BATCH[name] for name in members}
    assert batch_key(json.dumps(shuffled, indent=indent).encode()) == key_of(BATCH)


class Calls:
    """Counts the function's calls to AWS, and does something at one of them, before it is sent or after its answer."""

    def __init__(self, at: int, when: str, what: Callable[[], None]) -> None:
        self.count = 0
        self._at, self._when, self._what = at, when, what

    def __enter__(self) -> Calls:
        for service in SERVICES:
            clients.client(service).meta.events.register("before-call", self._before, unique_id="test-before")
            clients.client(service).meta.events.register("after-call", self._after, unique_id="test-after")
        return self

    def __exit__(self, *_: object) -> None:
        for service in SERVICES:
            clients.client(service).meta.events.unregister("before-call", unique_id="test-before")
            clients.client(service).meta.events.unregister("after-call", unique_id="test-after")

    def _before(self, **_: Any) -> None:
        self.count += 1
        if self.count == self._at and self._when == "before":
            self._what()

    def _after(self, **_: Any) -> None:
        if self.count == self._at and self._when == "after":
            self._at = 0
            self._what()


def die() -> None:
    raise Died


def events_of(world: World, kind: str) -> tuple[Any, str, list[str]]:
    """Give an event, its machine, and the names of the executions that must exist when it has been dealt with."""
    key = key_of(BATCH)
    if kind == "batch":
        return world.land(BATCH), "loop", [f"{key[:16]}-1"]
    if kind == "approval":
        return approval(), "deployment", [hashlib.sha256(f"{PACKAGE}\ne2".encode()).hexdigest()[:16] + "-1"]
    deliver(world.land(BATCH))
    return rerun(key, "r1"), "loop", [f"{key[:16]}-1", f"{key[:16]}-2"]


CALLS = {"batch": 6, "approval": 5, "re-run": 5}
POINTS = [(kind, at, when) for kind in CALLS for at in range(1, CALLS[kind] + 1) for when in ("before", "after")]


@pytest.mark.parametrize("kind", CALLS)
def test_the_points_below_are_all_the_calls_that_there_are(world: World, kind: str) -> None:
    event, _, _ = events_of(world, kind)
    with Calls(0, "never", die) as calls:
        assert deliver(event) == []
    assert calls.count == CALLS[kind]


@pytest.mark.parametrize(("kind", "at", "when"), POINTS)
def test_an_event_survives_a_crash_at_any_call(world: World, kind: str, at: int, when: str) -> None:
    event, machine, expected = events_of(world, kind)
    with Calls(at, when, die):
        assert deliver(event) == ["0"]
    assert deliver(event) == []
    assert sorted(world.started(machine)) == expected
    assert deliver(event) == []
    assert sorted(world.started(machine)) == expected
    key = next(iter(world.started(machine)))[:16]
    items = world.dynamodb.scan(TableName=TABLE)["Items"]
    assert [item["status"]["S"] for item in items if item["run"]["S"].startswith(f"start#{key}")] == ["started"]


@pytest.mark.parametrize(("kind", "at", "when"), POINTS)
def test_two_functions_with_the_same_event_at_once_start_it_once(world: World, kind: str, at: int, when: str) -> None:
    event, machine, expected = events_of(world, kind)
    other: list[list[str]] = []
    with Calls(at, when, lambda: other.append(deliver(event))):
        assert deliver(event) == []
    assert other == [[]]
    assert deliver(event) == []
    assert sorted(world.started(machine)) == expected


def test_a_crash_before_the_start_keeps_the_first_input(world: World) -> None:
    event = world.land(BATCH)
    with Calls(5, "before", die):
        assert deliver(event) == ["0"]
    assert world.started() == {}
    world.publish({**BUNDLE, "commit": "newer"})
    assert deliver({**event, "time": "2027-01-01T00:00:00Z"}) == []
    assert [run["bundle"]["commit"] for run in world.started().values()] == [BUNDLE["commit"]]


# --- again -----------------------------------------------------------------------------------------------------------


def test_a_re_run_raises_the_attempt_and_takes_the_current_bundle(world: World) -> None:
    deliver(world.land(BATCH))
    newer = {**BUNDLE, "commit": "newer"}
    world.publish(newer)
    key = key_of(BATCH)
    assert deliver(rerun(key, "r1"), rerun(key, "r2"), rerun(key, "r1")) == []
    started = world.started()
    assert sorted(started) == [f"{key[:16]}-{attempt}" for attempt in (1, 2, 3)]
    first, second = started[f"{key[:16]}-1"], started[f"{key[:16]}-2"]
    assert (first["bundle"], second["bundle"]) == (BUNDLE, newer)
    asked = second.pop("asked")
    assert (asked["trigger"], asked["event"]) == ("manual", "r1")
    assert {**second, "run_id": first["run_id"], "bundle": first["bundle"]} == first


def test_new_scripts_run_a_batch_once_more_with_each_bundle_however_often_they_are_told(world: World) -> None:
    deliver(world.land(BATCH))
    key = key_of(BATCH)
    world.publish({**BUNDLE, "bundle": "newer"})
    detail = {"workload": "flight_delays", "run_key": key, "bundle": "newer"}
    told = [{**rerun(key, event_id), "detail": detail} for event_id in ("e1", "e2", "e3")]
    assert deliver(*told, told[0]) == []
    world.publish({**BUNDLE, "bundle": "newest"})
    assert deliver(told[1]) == []
    ran = {name: each["bundle"]["bundle"] for name, each in world.started().items()}
    assert ran == {f"{key[:16]}-1": BUNDLE["bundle"], f"{key[:16]}-2": "newer", f"{key[:16]}-3": "newest"}


def test_a_re_run_of_a_deployment_keeps_its_input(world: World) -> None:
    deliver(approval())
    key = hashlib.sha256(f"{PACKAGE}\ne2".encode()).hexdigest()
    assert deliver(rerun(key, "r1")) == []
    first, second = (world.started("deployment")[f"{key[:16]}-{attempt}"] for attempt in (1, 2))
    assert {**second, "run_id": first["run_id"]} == first


def test_the_same_batch_landed_after_a_re_run_is_still_no_news(world: World) -> None:
    event = world.land(BATCH)
    deliver(event, rerun(key_of(BATCH), "r1"), event)
    assert len(world.started()) == 2


def test_refuses_to_re_run_what_never_ran(world: World) -> None:
    assert deliver(rerun("f" * 64, "r1")) == ["0"]
    with pytest.raises(BadEvent, match="nothing was started under the key 'fff"):
        starter.start(rerun("f" * 64, "r1"), read_settings(starter.Settings))


def test_leaves_the_re_runs_of_other_workloads_to_them(world: World) -> None:
    deliver(world.land(BATCH))
    assert deliver(rerun(key_of(BATCH), "r1", workload="other")) == []
    assert len(world.started()) == 1


def test_a_re_run_wished_for_during_the_first_start_is_not_taken_for_started(world: World) -> None:
    event, key = world.land(BATCH), key_of(BATCH)
    record = StartRecord(world.dynamodb, TABLE)
    wished: list[Start | None] = []
    with Calls(5, "before", lambda: wished.append(record.wish_again(key, "r1", BUNDLE))):
        assert deliver(event) == []
    assert [start.attempt for start in wished if start] == [2]
    assert sorted(world.started()) == [f"{key[:16]}-1"]
    assert deliver(rerun(key, "r1")) == []
    assert sorted(world.started()) == [f"{key[:16]}-1", f"{key[:16]}-2"]


def test_two_re_runs_at_once_both_happen(world: World) -> None:
    """Alarms of one incident go off together: neither waits until its message is delivered again."""
    deliver(world.land(BATCH))
    key, other = key_of(BATCH), list[list[str]]()
    with Calls(3, "before", lambda: other.append(deliver(rerun(key, "r2")))):
        assert deliver(rerun(key, "r1")) == []
    assert other == [[]]
    assert sorted(world.started()) == [f"{key[:16]}-{attempt}" for attempt in (1, 2, 3)]


def test_a_re_run_that_others_are_always_ahead_of_comes_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("start_execution.record._TRIES", 1)
    deliver(world.land(BATCH))
    key, other = key_of(BATCH), list[list[str]]()
    with Calls(3, "before", lambda: other.append(deliver(rerun(key, "r2")))):
        assert deliver(rerun(key, "r1")) == ["0"]
    assert deliver(rerun(key, "r1")) == []
    assert sorted(world.started()) == [f"{key[:16]}-{attempt}" for attempt in (1, 2, 3)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_arrival_does_not_matter(world: World, order: tuple[int, ...]) -> None:
    events = [world.land(BATCH), approval(), world.land(BATCH, "flight_delays/again/_batch.json")]
    assert deliver(*(events[position] for position in order)) == []
    assert (len(world.started()), len(world.started("deployment"))) == (1, 1)


def test_the_address_of_an_event_is_its_bucket_and_key() -> None:
    detail = {"bucket": {"name": "b"}, "object": {"key": "w/a+b c/_batch.json"}}
    assert starter.landing_address({"detail": detail}, "w") == Address("b", "w/a+b c/_batch.json")
