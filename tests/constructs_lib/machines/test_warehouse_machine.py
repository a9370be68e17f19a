from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.warehouse import WarehouseParts, warehouse_machine

GIVEN: dict[str, Any] = {
    "run_id": "0123456789abcdef-1",
    "workload": "flight_delays",
    "dataset": {
        "version": "v1",
        "tables": [
            {"zone": "validated", "table": "flight_delays_flights", "location": "s3://validated/f/"},
            {"zone": "curated", "table": "flight_delays_features", "location": "s3://curated/f/"},
        ],
    },
}


def parts(**changed: Any) -> WarehouseParts:
    values: dict[str, Any] = {
        "workgroup_name": "dev-lake",
        "database": "lake",
        "secret": "redshift!dev-lake-admin",
        "role_arn": "arn:aws:iam::000000000000:role/warehouse",
        "databases": {"curated": "dev_curated"},
        "account": "000000000000",
        "region": "us-east-1",
        "table": "flight_delays_features",
        "columns": {"carrier": "string", "late": "boolean"},
        "sensitive": (),
        "exports": {"shares": "SELECT carrier, avg(late::int) FROM loaded.flight_delays_features GROUP BY carrier"},
        "exports_uri": "s3://curated/flight_delays/exports/",
        "key_arn": "arn:aws:kms:us-east-1:000000000000:key/lake",
    }
    return WarehouseParts(**{**values, **changed})


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    return warehouse_machine(surroundings, parts())


def described(status: str, error: str = "") -> list[dict[str, Any]]:
    return [{"result": {"Status": status, **({"Error": error} if error else {})}}]


def any_answers(**changed: Any) -> dict[str, Any]:
    """Everything goes well."""
    return {
        "Statement": [{"result": {"Id": "s1"}}],
        "DescribeStatement": described("FINISHED"),
        "CancelStatement": [{"result": {"Status": True}}],
        "Load": [{"result": {"Id": "l1"}}],
        "DescribeLoad": described("FINISHED"),
        "CancelLoad": [{"result": {"Status": True}}],
        "RecordRun": [{"result": {}}],
        "RecordFailure": [{"result": {}}],
        "NotifyFailure": [{"result": {}}],
        **changed,
    }


def test_loads_in_one_transaction_and_exports_afterwards(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.status == "SUCCEEDED", done.cause
    loading = done.arguments("Load")["Sqls"]
    assert any(each.startswith("COPY incoming FROM 's3://curated/f/'") for each in loading)
    assert any("'v1'" in each for each in loading)
    last = done.arguments("Statement")["Sql"]
    assert last.startswith("UNLOAD ('SELECT carrier")
    assert "s3://curated/flight_delays/exports/shares/version=v1/" in last
    assert "{" not in last


def test_a_role_that_is_there_already_is_as_good_as_a_new_one(definition: dict[str, Any], walk: Any) -> None:
    there = described("FAILED", 'ERROR: role "data_engineer" already exists')
    assert walk(definition, GIVEN, any_answers(DescribeStatement=there)).status == "SUCCEEDED"


@pytest.mark.parametrize("state", ["DescribeStatement", "DescribeLoad"])
def test_a_statement_that_fails_fails_the_run_with_its_error(definition: dict[str, Any], walk: Any, state: str) -> None:
    done = walk(definition, GIVEN, any_answers(**{state: described("FAILED", "ERROR: permission denied")}))
    assert done.status == "FAILED"
    assert "permission denied" in done.cause
    assert "NotifyFailure" in done.path


def test_a_statement_that_does_not_end_is_cancelled(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(DescribeLoad=described("STARTED")))
    assert done.status == "FAILED"
    assert "CancelLoad" in done.path
    assert "did not end within 60 minutes" in done.cause


def test_a_call_that_is_tried_again_is_the_same_call(definition: dict[str, Any], walk: Any) -> None:
    token = walk(definition, GIVEN, any_answers()).arguments("Load")["ClientToken"]
    assert token == walk(definition, GIVEN, any_answers()).arguments("Load")["ClientToken"]
    assert len(token) == 64


def test_a_redriven_run_starts_its_statements_anew(definition: dict[str, Any], walk: Any) -> None:
    broken = any_answers(DescribeLoad=[*described("FAILED", "ERROR: disk full"), *described("FINISHED")])
    done = walk(definition, GIVEN, broken, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    first, second = (call["arguments"]["ClientToken"] for call in done.calls if call["state"] == "Load")
    assert first != second


def test_a_dataset_without_curated_rows_is_refused(definition: dict[str, Any], walk: Any) -> None:
    empty = {**GIVEN, "dataset": {"version": "v1", "tables": []}}
    done = walk(definition, empty, any_answers())
    assert (done.status, done.error) == ("FAILED", "NothingToLoad")


def test_a_warehouse_without_exports_is_only_loaded(surroundings: Surroundings, walk: Any) -> None:
    done = walk(warehouse_machine(surroundings, parts(exports={})), GIVEN, any_answers())
    assert done.status == "SUCCEEDED", done.cause
