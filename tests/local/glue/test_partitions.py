"""Partitions are checked against their table and found by expression."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError


class Versions:
    """A table with a partition per version, and the calls on it."""

    def __init__(self, server: Any) -> None:
        self.glue = server.client("glue")
        self.where = {"DatabaseName": f"db_{uuid.uuid4().hex[:8]}", "TableName": "rows"}
        self.glue.create_database(DatabaseInput={"Name": self.where["DatabaseName"]})
        self.glue.create_table(
            DatabaseName=self.where["DatabaseName"],
            TableInput={
                "Name": "rows",
                "PartitionKeys": [{"Name": "version", "Type": "string"}, {"Name": "day", "Type": "int"}],
                "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://b/rows/"},
            },
        )

    def create(self, *values: str, location: str = "s3://b/rows/x/") -> None:
        """Make a partition."""
        self.glue.create_partition(**self.where, PartitionInput=partition(*values, location=location))

    def found(self, **options: Any) -> list[list[str]]:
        """The values of the partitions that GetPartitions finds."""
        pages = self.glue.get_paginator("get_partitions").paginate(**self.where, **options)
        return [one["Values"] for page in pages for one in page["Partitions"]]


def partition(*values: str, location: str = "s3://b/rows/x/") -> dict[str, Any]:
    """The input for a partition."""
    return {
        "Values": list(values),
        "StorageDescriptor": {"Location": location, "Columns": [{"Name": "a", "Type": "int"}]},
    }


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    """The error's code."""
    return str(error.value.response["Error"]["Code"])


@pytest.fixture
def versions(local_server: Any) -> Versions:
    """A table of the test's own."""
    return Versions(local_server)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("version = 'v1'", [["v1", "1"], ["v1", "10"]]),
        ("version = 'v1' AND day > 9", [["v1", "10"]]),
        ("day BETWEEN 2 AND 9", [["v2", "2"]]),
        ("version IN ('v2', 'v3')", [["v2", "2"]]),
        ("NOT version LIKE 'v1%'", [["v2", "2"]]),
        ("day = '10'", [["v1", "10"]]),
    ],
)
def test_finds_partitions_by_expression(versions: Versions, expression: str, expected: list[list[str]]) -> None:
    for values in (("v1", "1"), ("v1", "10"), ("v2", "2")):
        versions.create(*values)

    assert versions.found(Expression=expression) == expected


@pytest.mark.parametrize("expression", ["version = ", "colour = 'red'", "lower(version) = 'v1'", "1=1) OR (SELECT 1"])
def test_refuses_other_expressions(versions: Versions, expression: str) -> None:
    with pytest.raises(ClientError) as refused:
        versions.found(Expression=expression)

    assert code(refused) == "InvalidInputException"


def test_lists_partitions_in_pages(versions: Versions) -> None:
    for day in range(5):
        versions.create("v1", str(day))

    page = versions.glue.get_partitions(**versions.where, MaxResults=2, ExcludeColumnSchema=True)

    assert len(page["Partitions"]) == 2
    assert "Columns" not in page["Partitions"][0]["StorageDescriptor"]
    assert versions.found(PaginationConfig={"PageSize": 2}) == [["v1", str(day)] for day in range(5)]


def test_refuses_a_partition_that_exists(versions: Versions) -> None:
    versions.create("v1", "1")

    with pytest.raises(ClientError) as refused:
        versions.create("v1", "1")

    assert code(refused) == "AlreadyExistsException"


def test_refuses_values_that_do_not_fit_the_keys(versions: Versions) -> None:
    with pytest.raises(ClientError) as refused:
        versions.create("v1")

    assert code(refused) == "InvalidInputException"


def test_refuses_partitions_of_a_table_that_does_not_exist(versions: Versions) -> None:
    versions.where["TableName"] = "missing"

    with pytest.raises(ClientError) as refused:
        versions.create("v1", "1")

    assert code(refused) == "EntityNotFoundException"


def test_updates_a_partition(versions: Versions) -> None:
    versions.create("v1", "1")

    versions.glue.update_partition(
        **versions.where, PartitionValueList=["v1", "1"], PartitionInput=partition("v1", "1", location="s3://b/moved/")
    )

    found = versions.glue.get_partition(**versions.where, PartitionValues=["v1", "1"])["Partition"]
    assert found["StorageDescriptor"]["Location"] == "s3://b/moved/"


def test_an_update_of_a_partition_that_does_not_exist_is_refused(versions: Versions) -> None:
    with pytest.raises(ClientError) as refused:
        versions.glue.update_partition(
            **versions.where, PartitionValueList=["v1", "1"], PartitionInput=partition("v1", "1")
        )

    assert code(refused) == "EntityNotFoundException"


def test_makes_and_removes_many_and_tells_what_went_wrong(versions: Versions) -> None:
    versions.create("v1", "1")

    made = versions.glue.batch_create_partition(
        **versions.where, PartitionInputList=[partition("v1", "1"), partition("v2", "2")]
    )
    removed = versions.glue.batch_delete_partition(
        **versions.where, PartitionsToDelete=[{"Values": ["v1", "1"]}, {"Values": ["v9", "9"]}]
    )

    assert [error["ErrorDetail"]["ErrorCode"] for error in made["Errors"]] == ["AlreadyExistsException"]
    assert [error["PartitionValues"] for error in removed["Errors"]] == [["v9", "9"]]
    assert versions.found() == [["v2", "2"]]
