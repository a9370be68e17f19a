"""An input of rows is checked before a job is started for it, and its predictions get their name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from check_scoring import handler as check
from constructs_lib.names.batch import BadBatch
from gapless_lambda import clients

FOLDER = "churn/scoring/may/"
MODEL = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/models/3"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    clients.client.cache_clear()
    for name, value in {"AWS_DEFAULT_REGION": "us-east-1", "WORKLOAD": "churn", "SCORING_DIGEST": "d" * 64}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        made = boto3.client("s3")
        made.create_bucket(Bucket="landing")
        yield made
    clients.client.cache_clear()


def deliver(s3: Any, bodies: dict[str, bytes], **changed: Any) -> dict[str, Any]:
    """Put an input; gives the event that the machine sends."""
    for name, body in bodies.items():
        s3.put_object(Bucket="landing", Key=FOLDER + name, Body=body)
    named = [
        {"source": "rows", "key": key, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for key, body in bodies.items()
    ]
    document = {"workload": "churn", "as_of": "2024-05-01T02:00:00+02:00", "files": named, **changed}
    s3.put_object(Bucket="landing", Key=f"{FOLDER}_score.json", Body=json.dumps(document).encode())
    uri = f"s3://landing/{FOLDER}_score.json"
    return {"batch_uri": uri, "as_of": "2026-01-01T00:00:00Z", "again": False, "model_package_arn": MODEL}


def test_predictions_are_named_by_rows_instant_and_model(s3: Any) -> None:
    event = deliver(s3, {"a.csv": b"x", "b.jsonl.gz": b"y"})
    found = check.handler(event, None)
    assert (found["as_of"], found["stamp"]) == ("2024-05-01T00:00:00Z", "20240501T000000.000000Z")
    assert (found["folder_uri"], found["files"]) == (f"s3://landing/{FOLDER}", 2)
    again = check.handler({**event, "again": True}, None)
    other = check.handler({**event, "model_package_arn": f"{MODEL}0"}, None)
    assert again["as_of"] == "2026-01-01T00:00:00Z"
    assert len({found["version"], again["version"], other["version"]}) == 3
    assert check.handler(event, None) == found


@pytest.mark.parametrize(
    ("files", "changed", "says"),
    [
        ({"a.txt": b"x"}, {}, "a.txt: how it is read is told by its suffix"),
        ({"a.csv": b""}, {}, "a.csv: is empty"),
        ({"a.csv": b"x"}, {"workload": "other"}, "_score.json, which has the form of _batch.json"),
        ({"a.csv": b"x"}, {"as_of": "yesterday"}, "as_of must be an ISO 8601 time"),
        ({"a.csv": b"x"}, {"files": []}, 'must be an object with a list "files" that is not empty'),
    ],
)
def test_refuses_what_could_not_be_scored(s3: Any, files: dict[str, bytes], changed: Any, says: str) -> None:
    with pytest.raises(BadBatch) as error:
        check.handler(deliver(s3, files, **changed), None)
    assert says in str(error.value)


def test_refuses_a_file_that_is_not_all_there(s3: Any) -> None:
    event = deliver(s3, {"a.csv": b"whole"})
    s3.put_object(Bucket="landing", Key=f"{FOLDER}a.csv", Body=b"half")
    with pytest.raises(BadBatch, match=r"a.csv: has 4 bytes, _score.json says 5"):
        check.handler(event, None)
