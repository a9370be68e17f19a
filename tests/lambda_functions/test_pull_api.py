"""An API is pulled once and wholly: whatever its pages are like, however it stumbles, wherever a call dies."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from constructs_lib.names.ingestion_file import Api as ApiPath
from constructs_lib.names.pull_spec import pull_spec
from gapless_lambda import clients
from pull_api import handler as puller
from pull_api.api import ApiRefused, ApiUnavailable, Clock, address, linked, retry_after
from pull_api.handler import BadSecret, Settings, SweepTooLong, pull_once
from pull_api.spec import BadAnswer, Position, Pull
from pull_api.state import Overtaken
from tests.http_source import HttpSource, breaking_off, failing, hanging_up, reply, serving, too_many

LANDING, TABLE = "landing", "runs"
SERVICES = ("s3", "dynamodb", "secretsmanager")
COLUMNS = ["id", "updated_at", "price"]
WATERMARK = {"field": "updated_at", "parameter": "since", "start": "2024-01-01T00:00:00Z"}
PAGES: dict[str, dict[str, Any]] = {
    "page": {"rows": "data.items", "pagination": {"style": "page", "parameter": "page"}},
    "offset": {"pagination": {"style": "offset", "parameter": "skip", "size_parameter": "top", "size": 3}},
    "cursor": {"rows": "rows", "pagination": {"style": "cursor", "parameter": "cursor", "next": "meta.next"}},
    "link": {"pagination": {"style": "link"}},
    "all": {},
}


class Died(Exception):
    """The process ended in the middle."""


def row(number: int, minute: int | None = None) -> dict[str, Any]:
    moment = number if minute is None else minute
    return {"id": number, "updated_at": f"2024-03-01T{moment // 60:02}:{moment % 60:02}:00Z", "price": number + 0.5}


class World:
    """A landing bucket, the table, a clock that only counts, and an API."""

    def __init__(self, source: HttpSource) -> None:
        self.source = source
        self.s3, self.dynamodb = clients.client("s3"), clients.client("dynamodb")
        for bucket in (LANDING, "assets"):
            self.s3.create_bucket(Bucket=bucket)
        self.dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.slept: list[float] = []
        self.time = 1_000_000.0
        self.left = 300.0
        self.describe()

    def describe(self, style: str = "page", *, file_format: str = "json_lines", **members: Any) -> None:
        """Say what the API is like."""
        path = ApiPath.model_validate(
            {"url": f"{self.source.url}/{style}", "watermark": WATERMARK, **PAGES[style], **members}
        )
        spec = pull_spec(
            stage="dev", workload="orders", source="prices", file_format=file_format, columns=COLUMNS, api=path
        )
        self.s3.put_object(Bucket="assets", Key="pull.json", Body=json.dumps(spec).encode())

    def pull(self) -> int:
        settings = Settings("s3://assets/pull.json", LANDING, TABLE)
        clock = Clock(wall=lambda: self.time, now=lambda: self.time, sleep=self.sleep, jitter=lambda: 1.0)
        return pull_once(settings, clock, lambda: self.left)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.left -= seconds

    def keys(self, folder: str = "incoming") -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=LANDING, Prefix=f"orders/{folder}/").get("Contents", [])
        return [each["Key"] for each in listed]

    def text(self, key: str) -> str:
        return gzip.decompress(self.s3.get_object(Bucket=LANDING, Key=key)["Body"].read()).decode()

    def landed(self) -> list[dict[str, Any]]:
        """Every row of every incoming file."""
        return [json.loads(line) for key in self.keys() for line in self.text(key).splitlines()]

    def ids(self) -> list[int]:
        return [each["id"] for each in self.landed()]

    def take(self) -> None:
        """Move the incoming files among those of batches, as a batch does."""
        for key in self.keys():
            name = key.rpartition("/")[2].partition("-")[2]
            source = {"Bucket": LANDING, "Key": key}
            self.s3.copy_object(CopySource=source, Bucket=LANDING, Key=f"orders/files/prices/{name}")
            self.s3.delete_object(Bucket=LANDING, Key=key)


@pytest.fixture
def source() -> Iterator[HttpSource]:
    with serving(HttpSource(rows=[row(number) for number in range(8)])) as served:
        yield served


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Clients are made once, since that is what takes the time."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        clients.client.cache_clear()
        with mock_aws():
            for service in SERVICES:
                clients.client(service)
        yield
        clients.client.cache_clear()


@pytest.fixture
def world(aws: None, source: HttpSource) -> Iterator[World]:
    with mock_aws():
        yield World(source)


# --- pages


@pytest.mark.parametrize("style", PAGES)
def test_fetches_every_row_of_every_page(world: World, style: str) -> None:
    world.describe(style)
    assert world.pull() == 8
    assert world.landed() == world.source.rows


@pytest.mark.parametrize("style", PAGES)
def test_fetches_only_what_is_new_the_next_time(world: World, style: str) -> None:
    world.describe(style)
    world.pull()
    world.source.rows += [row(8, minute=7), row(9)]
    assert world.pull() == 2
    assert world.ids() == list(range(10))
    assert world.source.requests[-1]["since"] == "2024-03-01T00:07:00Z"


def test_a_pull_with_nothing_new_lands_nothing(world: World) -> None:
    world.pull()
    assert world.pull() == 0
    assert len(world.keys()) == 1


def test_without_a_watermark_lands_everything_when_anything_has_changed(world: World) -> None:
    world.describe(watermark=None)
    assert [world.pull(), world.pull()] == [8, 0]
    world.source.rows[0] = {**row(0), "price": 99}
    assert world.pull() == 8
    assert len(world.keys()) == 2
    assert "since" not in world.source.requests[-1]


def test_asks_with_the_given_parameters_and_headers(world: World) -> None:
    world.describe(parameters={"region": "a b&c"}, url=f"{world.source.url}/page?fixed=1")
    world.pull()
    assert world.source.requests[0] == {"fixed": "1", "region": "a b&c", "page": "1", "since": WATERMARK["start"]}


def test_a_long_sweep_lands_in_several_files_and_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puller, "MOST_ROWS", 3)
    world.left = 0
    for _ in range(4):
        world.pull()
    assert world.ids() == list(range(8))
    assert [request["page"] for request in world.source.requests] == ["1", "2", "3", "4"]
    assert {request["since"] for request in world.source.requests} == {WATERMARK["start"]}


def test_starts_the_sweep_again_when_the_api_has_forgotten_the_cursor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puller, "MOST_ROWS", 3)
    world.describe("cursor")
    world.left = 0
    world.pull()
    world.source.stumbles = [failing(410)]
    world.left = 300
    world.pull()
    assert sorted(set(world.ids())) == list(range(8))
    assert "cursor" not in world.source.requests[1]


def test_everything_or_nothing_without_a_watermark(world: World) -> None:
    world.describe(watermark=None)
    world.left = 0
    with pytest.raises(SweepTooLong, match="3 rows were fetched when time ran out; give prices a watermark"):
        world.pull()
    assert world.keys() == world.keys("pulled") == []


def test_compares_numbers_as_numbers(world: World) -> None:
    watermark = {"field": "id", "parameter": "after", "start": "0", "kind": "number"}
    world.describe("all", watermark=watermark)
    world.source.rows = [row(9), row(10)]
    world.pull()
    world.pull()
    assert world.source.requests[-1]["after"] == "10"


# --- files


def test_equal_rows_make_equal_files_under_equal_names(world: World) -> None:
    world.pull()
    (key,) = world.keys()
    first = world.s3.get_object(Bucket=LANDING, Key=key)["Body"].read()
    world.dynamodb.delete_item(TableName=TABLE, Key={"run": {"S": "pull#orders#prices"}})
    world.s3.delete_object(Bucket=LANDING, Key=key)
    world.pull()
    assert world.keys() == [key]
    assert world.s3.get_object(Bucket=LANDING, Key=key)["Body"].read() == first


def test_csv_has_the_declared_columns_and_then_whatever_else_came(world: World) -> None:
    world.describe(file_format="csv")
    world.source.rows = [{"updated_at": row(1)["updated_at"], "id": None, "new": {"a": [True]}, "note": 'say "é"\n'}]
    world.pull()
    (key,) = world.keys()
    assert key.endswith(".csv.gz")
    assert list(csv.reader(io.StringIO(world.text(key)))) == [
        ["id", "updated_at", "price", "new", "note"],
        ["", "2024-03-01T00:01:00Z", "", '{"a":[true]}', 'say "é"\n'],
    ]


def test_takes_values_from_where_the_fields_say(world: World) -> None:
    world.describe(fields={"id": "id", "updated_at": "updated_at", "price": "deep.price"})
    world.source.rows = [{**row(1), "deep": {"price": 7}, "extra": 1}, row(2)]
    world.pull()
    assert [(each["price"], "extra" in each) for each in world.landed()] == [(7, False), (None, False)]


# --- stumbles


@pytest.mark.parametrize(
    "stumble", [failing(500), failing(503), hanging_up, breaking_off], ids=["500", "503", "hang up", "break off"]
)
def test_tries_again_when_the_api_stumbles(world: World, stumble: Any) -> None:
    world.source.stumbles = [stumble, stumble]
    assert world.pull() == 8
    assert world.slept[:2] == [1.0, 2.0]


def test_waits_as_long_as_the_api_asks(world: World) -> None:
    world.source.stumbles = [too_many("7")]
    assert world.pull() == 8
    assert 7.0 in world.slept


def test_reads_when_to_come_again_as_a_date_too() -> None:
    assert retry_after("Thu, 01 Jan 1970 00:01:30 GMT", now=60.0) == 30.0
    assert retry_after("Thu, 01 Jan 1970 00:01:30 GMT", now=100.0) == 0.0
    assert retry_after("soon", now=0.0) is None


def test_gives_up_when_there_is_no_time_to_wait(world: World) -> None:
    world.source.stumbles = [too_many("86400")]
    with pytest.raises(ApiUnavailable, match="no time for another try after 86400 s"):
        world.pull()
    assert world.slept == []


def test_gives_up_after_six_tries_with_waits_that_grow(world: World) -> None:
    world.source.stumbles = [failing(502)] * 6
    with pytest.raises(ApiUnavailable, match="failed 6 times, at last with 502"):
        world.pull()
    assert [wait for wait in world.slept if wait >= 1] == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 301])
def test_does_not_try_again_what_no_try_changes(world: World, status: int) -> None:
    world.source.stumbles = [failing(status)]
    with pytest.raises(ApiRefused, match=f"answered {status}"):
        world.pull()
    assert world.source.asked == 1


def test_asks_no_faster_than_allowed(world: World) -> None:
    world.describe(requests_per_second=0.5)
    world.pull()
    assert world.slept == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "not JSON"),
        (b'{"rows": []}', "must be a list of objects"),
        (b"[1]", "must be a list of objects"),
        (b'[{"price": NaN}]', "has NaN"),
        (b'[{"id": 1}]', "updated_at: the watermark of a row must be a text or a number, was null"),
        (b'[{"id": 1, "updated_at": "yesterday"}]', "must be a time with an offset"),
    ],
)
def test_refuses_an_answer_that_is_not_what_was_agreed(world: World, body: bytes, problem: str) -> None:
    world.describe("all")
    world.source.stumbles = [lambda request: reply(request, 200, body)]
    with pytest.raises(BadAnswer, match=problem):
        world.pull()
    assert world.keys() == []


def test_never_follows_a_page_to_another_host(world: World) -> None:
    world.describe("link")
    elsewhere = '<https://elsewhere.example.com/steal?from=3>; rel="next"'
    world.source.stumbles = [lambda request: reply(request, 200, [row(1)], Link=elsewhere)]
    with pytest.raises(BadAnswer, match=r"must be one of http://127\.0\.0\.1"):
        world.pull()


def test_refuses_a_cursor_that_leads_back_to_the_same_page(world: World) -> None:
    world.describe("cursor")
    same = {"rows": [row(1)], "meta": {"next": "c1"}}
    world.source.stumbles = [lambda request: reply(request, 200, same)] * 2
    with pytest.raises(BadAnswer, match="the next page is the one that was asked for"):
        world.pull()


def test_finds_the_next_page_among_other_links() -> None:
    header = '<https://a/?p=1,2>; rel="prev start"; title="x, y", </b?p=3>; title="n"; rel=next'
    assert linked(header) == "/b?p=3"
    assert linked('<https://a>; rel="nextish"') is None


# --- secrets


def test_sends_the_secret_of_the_stage_and_workload(world: World) -> None:
    world.source.token = "s3cret"
    clients.client("secretsmanager").create_secret(Name="dev-orders-prices", SecretString='{"key": "s3cret"}')
    world.describe(secret={"name": "prices", "field": "key"})
    assert world.pull() == 8


def test_says_what_a_secret_lacks_without_showing_it(world: World) -> None:
    clients.client("secretsmanager").create_secret(Name="dev-orders-prices", SecretString='{"key": "s3cret"}')
    world.describe(secret={"name": "prices", "field": "token"})
    with pytest.raises(BadSecret, match="must be a JSON object with the key 'token'") as error:
        world.pull()
    assert "s3cret" not in str(error.value)


# --- dying, and two at once


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("service", "dies_at", "nth"),
    [
        ("s3", "upload_file", 1),
        ("dynamodb", "update_item", 1),
        ("s3", "copy", 1),
        ("dynamodb", "update_item", 2),
        ("s3", "delete_object", 1),
    ],
)
def test_dying_anywhere_it_hands_each_row_over_once(
    world: World, monkeypatch: pytest.MonkeyPatch, service: str, dies_at: str, nth: int, after: bool, taken: bool
) -> None:
    client = clients.client(service)
    original = getattr(client, dies_at)
    calls = 0

    def die(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != nth:
            return original(*arguments, **named)
        if after:
            original(*arguments, **named)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(client, dies_at, die)
        with pytest.raises(Died):
            world.pull()
    rows = world.ids()
    if taken:
        world.take()
    world.source.rows.append(row(8))
    world.pull()
    assert sorted(rows + world.ids() if taken else world.ids()) == list(range(9))


@pytest.mark.parametrize("earlier", [0, 3])
def test_of_two_at_once_only_one_counts(world: World, monkeypatch: pytest.MonkeyPatch, earlier: int) -> None:
    rows, world.source.rows = world.source.rows, world.source.rows[:earlier]
    world.pull()
    world.source.rows = rows
    client = clients.client("s3")
    original = client.upload_file

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(client, "upload_file", original)
        world.pull()
        world.source.rows.append(row(8))
        original(*arguments)

    monkeypatch.setattr(client, "upload_file", overtaken)
    with pytest.raises(Overtaken):
        world.pull()
    assert world.ids() == list(range(8))
    assert world.pull() == 1


def test_steps_that_were_done_stay_done_when_the_api_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puller, "MOST_ROWS", 3)
    original = world.source._page

    def page_and_then_fail(request: Any, rows: list[Any], query: dict[str, str]) -> None:
        world.source.stumbles = [failing(500)] * 6
        original(request, rows, query)

    monkeypatch.setattr(world.source, "_page", page_and_then_fail)
    with pytest.raises(ApiUnavailable):
        world.pull()
    assert world.ids() == [0, 1, 2]


# --- the record


def test_remembers_rows_at_the_watermark_through_the_record() -> None:
    position = Position(since="2", cursor="c", high="3", seen=("a",), edge=("b", "c"))
    assert Position.load(position.dump()) == position


def test_the_secret_is_in_no_address() -> None:
    spec = pull_spec(
        stage="dev",
        workload="orders",
        source="prices",
        file_format="csv",
        columns=COLUMNS,
        api=ApiPath.model_validate({"url": "https://api.example.com/v1", "secret": {"name": "prices"}}),
    )
    pull = Pull.parse(spec)
    assert address(pull, Position.first(pull)) == "https://api.example.com/v1"
    assert dataclasses.asdict(pull)["secret"]["secret"] == "dev-orders-prices"
