"""Of the archive of a version an archive of each model is made, and of no other archive."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gapless_lambda import clients
from gapless_sagemaker.artefact import UnsafeArtefact, open_artefact
from tests.local.sagemaker.conftest import archive
from unpack_models.archives import BadSet
from unpack_models.handler import handler

INDEX = {"segment": "shop", "models": {"north": "north", "new": "_fallback"}, "fallback": "_fallback"}
FILES: dict[str, str | bytes] = {
    "features.json": "{}",
    "segments.json": json.dumps(INDEX),
    "code/inference.py": "x = 1",
    "code/own.py": "y = 2",
    "segments/north/model.json": '{"of": "north"}',
    "segments/_fallback/model.json": '{"of": "all"}',
}
MODELS = "s3://artefacts/orders/models/"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MODELS_URI": MODELS,
        "SETS_URI": "s3://artefacts/orders/segments/",
        "ALLOW_PICKLE": "false",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        clients.client.cache_clear()
        client: Any = boto3.client("s3")
        client.create_bucket(Bucket="artefacts")
        yield client
        clients.client.cache_clear()


def sealed(s3: Any, folder: Path, files: dict[str, str | bytes]) -> Any:
    """Puts an archive where sealed ones lie; gives the event that asks for it."""
    file = folder / "model.tar.gz"
    file.write_bytes(archive(files))
    digest = open_artefact(file, folder / "opened").sha256
    s3.put_object(Bucket="artefacts", Key="orders/models/1/model.tar.gz", Body=file.read_bytes())
    return {"model_uri": f"{MODELS}1/model.tar.gz", "model_sha256": digest}


def content(s3: Any) -> dict[str, bytes]:
    listed = s3.list_objects_v2(Bucket="artefacts", Prefix="orders/segments/").get("Contents", [])
    keys = [each["Key"] for each in listed]
    return {key: s3.get_object(Bucket="artefacts", Key=key)["Body"].read() for key in keys}


def members(packed: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {each.name: tar.extractfile(each).read().decode() for each in tar}  # type: ignore[union-attr]


def test_a_version_becomes_an_archive_for_each_value_and_one_for_all_others(s3: Any, tmp_path: Path) -> None:
    event = sealed(s3, tmp_path, FILES)
    folder = f"orders/segments/{event['model_sha256']}/"
    assert handler(event, None) == {
        "models_uri": f"s3://artefacts/{folder}models/",
        "code_uri": f"s3://artefacts/{folder}code/sourcedir.tar.gz",
        "routing": {"feature": "shop", "values": ["north", "new"]},
        "objects": 4,
    }
    found = content(s3)
    marks = {"north": ("north", "north"), "new": ("all", "new"), "_fallback": ("all", None)}
    for name, (of, value) in marks.items():
        inside = members(found[f"{folder}models/{name}.tar.gz"])
        assert set(inside) == {"model.json", "segments.json", "segment.json", "code/inference.py", "code/own.py"}
        assert json.loads(inside["model.json"]) == {"of": of}
        assert json.loads(inside["segment.json"]) == {"value": value}
    assert set(members(found[f"{folder}code/sourcedir.tar.gz"])) == {"inference.py", "own.py"}
    assert len(found) == 4
    handler(event, None)
    assert content(s3) == found


def test_only_what_was_evaluated_is_unpacked(s3: Any, tmp_path: Path) -> None:
    event = sealed(s3, tmp_path, FILES)
    with pytest.raises(UnsafeArtefact, match="the evaluated model's is 0000"):
        handler({"model_uri": event["model_uri"], "model_sha256": "0" * 64}, None)
    elsewhere = "s3://artefacts/orders/training/1/model.tar.gz"
    with pytest.raises(BadSet, match="allowed is below s3://artefacts/orders/models/"):
        handler({"model_uri": elsewhere, "model_sha256": event["model_sha256"]}, None)
    assert content(s3) == {}


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (None, "missing, or is no index"),
        ({**INDEX, "models": {"south": "south"}}, "names the model 'south', of which there is no file"),
        ({**INDEX, "models": {"../north": "north"}}, "names models that cannot be names of files"),
        ({**INDEX, "models": {"north": ".."}}, "names models that cannot be names of files"),
        ({**INDEX, "models": []}, "missing, or is no index"),
    ],
)
def test_an_archive_that_is_no_set_is_refused(s3: Any, tmp_path: Path, index: Any, says: str) -> None:
    files = {**FILES, "segments.json": json.dumps(index)}
    if index is None:
        del files["segments.json"]
    with pytest.raises(BadSet, match=says):
        handler(sealed(s3, tmp_path, files), None)
