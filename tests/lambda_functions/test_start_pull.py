"""The job that pulls a database is started, one run at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from gapless_lambda import clients
from start_pull.handler import handler


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "JOB_NAME": "dev-shop-pull-shops",
    }.items():
        monkeypatch.setenv(name, value)
    clients.client.cache_clear()
    with mock_aws():
        yield clients.client("glue")
    clients.client.cache_clear()


def make_job(glue: Any) -> None:
    glue.create_job(
        Name="dev-shop-pull-shops",
        Role="arn:aws:iam::111122223333:role/job",
        Command={"Name": "glueetl"},
    )


def call() -> list[Any]:
    event = {"Records": [{"messageId": "m", "body": json.dumps({"time": "2024-03-01T00:00:00Z"})}]}
    return list(handler(event, None)["batchItemFailures"])


def test_starts_the_job(glue: Any) -> None:
    make_job(glue)
    assert call() == []
    assert len(glue.get_job_runs(JobName="dev-shop-pull-shops")["JobRuns"]) == 1


def test_has_nothing_to_do_while_a_run_is_going_on(glue: Any) -> None:
    with Stubber(glue) as stub:
        stub.add_client_error("start_job_run", "ConcurrentRunsExceededException")
        assert call() == []


def test_a_job_that_is_not_there_is_a_failure(glue: Any) -> None:
    assert call() == [{"itemIdentifier": "m"}]
