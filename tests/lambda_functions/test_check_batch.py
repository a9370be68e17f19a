"""What a landed batch must be before anything is started, and how the dataset made of it is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from check_batch.handler import decide_as_of, handler
from constructs_lib.names.batch import BadBatch, batch_folder
from constructs_lib.names.relabelled import Answer, written
from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue import batch as job
from gapless_glue.contract import parse_contract
from gapless_lambda.clients import client
from gapless_lambda.s3 import parse_uri

FLIGHTS = Path(__file__).parents[2] / "workloads" / "flight_delays" / "workload.yaml"
CONTRACT = WorkloadFile.load(FLIGHTS).contract()
SOURCES = list(CONTRACT["sources"])
BUNDLE = "b" * 64
FOLDER = "flight_delays/2013/april #1+"


class Landing:
    """A landing bucket with a good batch of one small file per source."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.batch: dict[str, Any] = {"workload": "flight_delays", "files": []}
        for source in SOURCES:
            self.add(source, f"{source}.csv", source.encode())

    def add(self, source: str, key: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self.batch["files"].append({"source": source, "key": key, "bytes": len(content), "sha256": digest})
        self.s3.put_object(Bucket="landing", Key=f"{FOLDER}/{key}", Body=content)

    def file(self, source: str) -> dict[str, Any]:
        found: dict[str, Any] = next(file for file in self.batch["files"] if file["source"] == source)
        return found

    def check(self, as_of: str = "2013-05-01T00:00:00Z") -> Any:
        self.s3.put_object(Bucket="landing", Key=f"{FOLDER}/_batch.json", Body=json.dumps(self.batch).encode())
        event = {"batch_uri": f"s3://landing/{FOLDER}/_batch.json", "as_of": as_of, "bundle": {"bundle": BUNDLE}}
        return handler(event, None)


@pytest.fixture
def landing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Landing]:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CONTRACT_URI": "s3://assets/contract.json",
        "ENGINE": "engine-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client.cache_clear()
        s3 = boto3.client("s3")
        for bucket in ("landing", "assets"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_object(Bucket="assets", Key="contract.json", Body=json.dumps(CONTRACT).encode())
        yield Landing(s3)
    client.cache_clear()


def test_accepts_a_complete_batch(landing: Landing) -> None:
    checked = landing.check()
    assert [file["source"] for file in checked["inputs"]] == sorted(SOURCES)
    assert checked["as_of"] == "2013-05-01T00:00:00Z"
    assert len(checked["version"]) == 32


def test_the_result_is_json(landing: Landing) -> None:
    checked = landing.check()
    assert json.loads(json.dumps(checked)) == checked


def test_the_batch_says_as_of_better_than_its_event(landing: Landing) -> None:
    landing.batch["as_of"] = "2013-06-01T02:00:00+02:00"
    assert landing.check()["as_of"] == "2013-06-01T00:00:00Z"


def test_order_and_keys_of_files_do_not_change_the_version(landing: Landing) -> None:
    first = landing.check()["version"]
    landing.batch["files"].reverse()
    for file in landing.batch["files"]:
        landing.s3.copy_object(
            Bucket="landing",
            Key=f"{FOLDER}/moved/{file['key']}",
            CopySource={"Bucket": "landing", "Key": f"{FOLDER}/{file['key']}"},
        )
        file["key"] = f"moved/{file['key']}"
    assert landing.check()["version"] == first


@pytest.mark.parametrize("key", ["with space.csv", "a+b.csv", "grüße/日本.csv", "per%20cent.csv", "?a=b&c.csv"])
def test_finds_files_under_unusual_keys(landing: Landing, key: str) -> None:
    landing.batch["files"] = [file for file in landing.batch["files"] if file["source"] != "flights"]
    landing.add("flights", key, b"rows")
    assert key in [file["key"] for file in landing.check()["inputs"]]


@pytest.mark.parametrize(
    "key", ["../secret", "/abs", "a/../b", "a//b", "a/./b", "a/", "", ".", "a\x00", "a\nb", "a\\b", "\ud800"]
)
def test_refuses_keys_that_leave_the_folder(landing: Landing, key: str) -> None:
    landing.file("flights")["key"] = key
    with pytest.raises(BadBatch, match="must be relative to the folder, without empty"):
        landing.check()


def test_refuses_a_file_that_is_absent(landing: Landing) -> None:
    landing.s3.delete_object(Bucket="landing", Key=f"{FOLDER}/planes.csv")
    with pytest.raises(BadBatch, match=r"planes\.csv: named by _batch\.json and absent"):
        landing.check()


def test_refuses_another_size(landing: Landing) -> None:
    landing.file("planes")["bytes"] = 7
    with pytest.raises(BadBatch, match=r"planes\.csv: has 6 bytes, _batch\.json says 7"):
        landing.check()


def test_refuses_an_empty_file(landing: Landing) -> None:
    landing.batch["files"] = [file for file in landing.batch["files"] if file["source"] != "planes"]
    landing.add("planes", "planes.csv", b"")
    with pytest.raises(BadBatch, match=r"planes\.csv: is empty"):
        landing.check()


def test_refuses_a_batch_without_one_of_the_sources(landing: Landing) -> None:
    landing.batch["files"] = [file for file in landing.batch["files"] if file["source"] != "weather"]
    with pytest.raises(BadBatch, match="no file of source weather"):
        landing.check()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("source", "hotels", "unknown source 'hotels' (allowed: flights, weather"),
        ("source", None, "unknown source None"),
        ("key", 7, "key 7 of source flights"),
        ("bytes", -1, "must be a number of bytes, was -1"),
        ("bytes", "12", "must be a number of bytes, was '12'"),
        ("bytes", True, "must be a number of bytes, was True"),
        ("sha256", "ABC", "must be 64 lower-case hex digits, was 'ABC'"),
        ("sha256", None, "must be 64 lower-case hex digits, was None"),
    ],
)
def test_refuses_a_malformed_entry(landing: Landing, field: str, value: object, message: str) -> None:
    landing.file("flights")[field] = value
    with pytest.raises(BadBatch) as error:
        landing.check()
    assert message in str(error.value)


def test_refuses_the_batch_of_another_workload(landing: Landing) -> None:
    landing.batch["workload"] = "churn"
    with pytest.raises(BadBatch, match="is for workload 'churn', this is 'flight_delays'"):
        landing.check()


def test_refuses_a_key_that_is_given_twice(landing: Landing) -> None:
    landing.batch["files"].append(landing.file("flights"))
    with pytest.raises(BadBatch, match=r"key 'flights\.csv' is given twice"):
        landing.check()


def test_refuses_what_is_not_json_or_not_there(landing: Landing) -> None:
    event = {"batch_uri": "s3://landing/flight_delays/_batch.json", "as_of": "x", "bundle": {"bundle": BUNDLE}}
    with pytest.raises(BadBatch, match=r"there is no batch at s3://landing/flight_delays/_batch\.json"):
        handler(event, None)
    landing.s3.put_object(Bucket="landing", Key="flight_delays/_batch.json", Body=b"{")
    with pytest.raises(BadBatch, match="is not JSON"):
        handler(event, None)


def test_a_failure_that_is_not_the_batch_s_is_not_called_bad_batch(landing: Landing) -> None:
    event = {"batch_uri": "s3://no-such-bucket/_batch.json", "as_of": "x", "bundle": {"bundle": BUNDLE}}
    with pytest.raises(ClientError, match="NoSuchBucket"):
        handler(event, None)


@pytest.mark.parametrize("text", ["yesterday", "2013-05-01T00:00:00", None, 5])
def test_refuses_an_instant_that_is_none(text: object) -> None:
    with pytest.raises(BadBatch, match="as_of must"):
        decide_as_of({"as_of": text}, "2013-05-01T00:00:00Z")


# --- keys relative to a folder further up


def test_finds_files_from_the_folder_that_above_says(landing: Landing) -> None:
    landing.batch["above"] = 1
    for file in landing.batch["files"]:
        file["key"] = f"{FOLDER.rpartition('/')[2]}/{file['key']}"
    assert len(landing.check()["inputs"]) == len(SOURCES)


@pytest.mark.parametrize("above", [-1, 3, True, "1", 1.0, None])
def test_refuses_to_leave_the_workload_by_above(landing: Landing, above: Any) -> None:
    landing.batch["above"] = above
    with pytest.raises(BadBatch, match="above must be a number of folders from 0 to 2"):
        landing.check()


@pytest.mark.parametrize("above", [0, 1, 2])
def test_check_and_job_read_above_alike(landing: Landing, above: int) -> None:
    uri, batch = f"s3://landing/{FOLDER}/_batch.json", {**landing.batch, "above": above}
    read = job.parse_batch(json.dumps(batch).encode(), uri, parse_contract(CONTRACT), needed=SOURCES)
    assert read.folder_uri == f"s3://landing/{batch_folder(batch, parse_uri(uri).key)}"


@pytest.mark.parametrize("above", [-1, 3, True, "1"])
def test_the_job_refuses_what_the_check_refuses(landing: Landing, above: Any) -> None:
    uri, batch = f"s3://landing/{FOLDER}/_batch.json", {**landing.batch, "above": above}
    with pytest.raises(BadBatch, match="above must be a number of folders"):
        job.parse_batch(json.dumps(batch).encode(), uri, parse_contract(CONTRACT), needed=SOURCES)


# --- answers of people ------------------------------------------------------------------------------------------------


def answered(landing: Landing, number: int, *answers: Answer) -> str:
    key = f"flight_delays/relabelling/answered/{number:08}.jsonl"
    landing.s3.put_object(Bucket="assets", Key=key, Body=written(answers))
    return f"s3://assets/{key}"


def any_answer(**changed: Any) -> Answer:
    given = {"inference_id": "any", "position": 0, "at": "2013-04-01T00:00:00Z", "asked": {}, "label": True, "run": "r"}
    return Answer(**{**given, "labelled_at": "2013-04-20T00:00:00Z", **changed})


@pytest.fixture
def relabelled(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> Landing:
    monkeypatch.setenv("ANSWERS_URI", "s3://assets/flight_delays/relabelling/answered/")
    landing.s3.put_object(
        Bucket="assets", Key="contract.json", Body=json.dumps({**CONTRACT, "relabelling": True}).encode()
    )
    return landing


def test_answers_that_hold_are_part_of_the_version(relabelled: Landing) -> None:
    before = relabelled.check()
    assert before["answers_uri"] == "none"
    first = answered(relabelled, 1, any_answer())
    after = relabelled.check()
    assert (after["answers_uri"], after["version"] != before["version"]) == (first, True)
    second = answered(relabelled, 2, any_answer(), any_answer(label=False, labelled_at="2013-04-21T00:00:00Z"))
    newest = relabelled.check()
    assert (newest["answers_uri"], newest["version"] != after["version"]) == (second, True)
    answered(
        relabelled,
        3,
        any_answer(),
        any_answer(label=False, labelled_at="2013-04-21T00:00:00Z"),
        any_answer(labelled_at="2013-05-02T00:00:00Z"),
    )
    assert relabelled.check()["version"] == newest["version"]  # what came after as_of says nothing


def test_answers_that_came_later_make_no_other_version(relabelled: Landing) -> None:
    before = relabelled.check()
    answered(relabelled, 1, any_answer(labelled_at="2013-05-01T00:00:01Z"))
    assert relabelled.check() == before


def test_a_replay_is_checked_with_the_answers_of_then(relabelled: Landing) -> None:
    before = relabelled.check()
    answered(relabelled, 1, any_answer())
    event = {
        "batch_uri": f"s3://landing/{FOLDER}/_batch.json",
        "as_of": "2013-05-01T00:00:00Z",
        "bundle": {"bundle": BUNDLE},
    }
    assert handler({**event, "answers_uri": "none"}, None)["version"] == before["version"]


def test_without_relabelling_nothing_is_said_of_answers(landing: Landing) -> None:
    assert "answers_uri" not in landing.check()
