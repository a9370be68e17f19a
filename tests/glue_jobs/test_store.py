"""Objects of S3 and files, through one interface."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from gapless_glue import store


@pytest.fixture(params=["s3", "file"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of an empty folder."""
    if request.param == "file":
        yield f"file://{tmp_path}/"
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        store.s3_store.cache_clear()
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket/deep/"
    store.s3_store.cache_clear()


@pytest.mark.parametrize("key", ["a.csv", "b c/d+e.csv", "grüße/日本.csv", "per%20cent.csv"])
def test_reads_back_what_was_written(root: str, key: str) -> None:
    store.store_of(root).write(root + key, b"text")
    assert store.read(root + key) == b"text"
    assert store.store_of(root).list(root) == [root + key]


def test_uploads_a_stream(root: str) -> None:
    store.store_of(root).upload(f"{root}a/b", io.BytesIO(b"x" * 1000))
    assert len(store.read(f"{root}a/b")) == 1000


def test_creates_an_object_once(root: str) -> None:
    where = store.store_of(root)
    assert where.create(f"{root}a/claim", b"first")
    assert not where.create(f"{root}a/claim", b"second")
    assert store.read(f"{root}a/claim") == b"first"


def test_says_that_an_object_is_absent(root: str) -> None:
    with pytest.raises(FileNotFoundError):
        store.read(f"{root}nothing")


def test_lists_in_order_and_removes_what_is_under_a_prefix_only(root: str) -> None:
    where = store.store_of(root)
    for key in ("b/2", "b/1", "bb/3"):
        where.write(root + key, b"")
    assert where.list(f"{root}b/") == [f"{root}b/1", f"{root}b/2"]
    where.remove(f"{root}b/")
    where.remove(f"{root}nothing/")
    assert where.list(root) == [f"{root}bb/3"]


def test_a_denied_read_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Denying:
        def get_object(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    with pytest.raises(ClientError, match="AccessDenied"):
        store.S3Store(Denying()).open("s3://bucket/key")


def test_refuses_other_schemes() -> None:
    with pytest.raises(ValueError, match=r"must start with s3:// or file://, was 'ftp://x/y'"):
        store.store_of("ftp://x/y")
