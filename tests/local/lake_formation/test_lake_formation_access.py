"""What Lake Formation lets through, and what it refuses: catalogue calls and queries of roles."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
EVERYTHING = {"Effect": "Allow", "Action": ["glue:*", "athena:*", "lakeformation:*", "kms:*"], "Resource": "*"}
NO_S3 = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}


def wait_for(look: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing happened within {seconds} s")
        time.sleep(0.05)
    return found


class Lake:
    """A registered bucket, a tagged database, a table of passengers with a restricted column, and people."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.lf, self.glue, self.s3 = (server.client(name) for name in ("lakeformation", "glue", "s3"))
        self.name = f"lake{uuid.uuid4().hex[:8]}"
        self.location = f"arn:aws:s3:::{self.name}"
        self.s3.create_bucket(Bucket=self.name)
        allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": [self.location, f"{self.location}/*"]}
        self.registrar = server.role("lakeformation.amazonaws.com", allowed)
        self.lf.register_resource(ResourceArn=self.location, RoleArn=self.registrar)
        self.lf.create_lf_tag(TagKey=self.key("zone"), TagValues=["raw", "clean"])
        self.lf.create_lf_tag(TagKey=self.key("sensitivity"), TagValues=["internal", "restricted"])
        self.glue.create_database(DatabaseInput={"Name": self.name})
        self.tag({"Database": {"Name": self.name}}, zone="clean", sensitivity="internal")
        self.table("passengers")
        columns = {"DatabaseName": self.name, "Name": "passengers", "ColumnNames": ["name"]}
        self.tag({"TableWithColumns": columns}, sensitivity="restricted")
        server.client("athena").create_work_group(
            Name=self.name,
            Configuration={
                "EnforceWorkGroupConfiguration": True,
                "ManagedQueryResultsConfiguration": {"Enabled": True},
            },
        )

    def key(self, tag: str) -> str:
        return f"{self.name}-{tag}"

    def pairs(self, **tags: str | list[str]) -> list[dict[str, Any]]:
        return [
            {"TagKey": self.key(tag), "TagValues": values if isinstance(values, list) else [values]}
            for tag, values in tags.items()
        ]

    def tag(self, resource: dict[str, Any], **tags: str) -> None:
        answer = self.lf.add_lf_tags_to_resource(Resource=resource, LFTags=self.pairs(**tags))
        assert answer["Failures"] == []

    def table(self, name: str, glue: Any = None, folder: str = "") -> None:
        rows = pa.table({"name": ["Ada", "Bob"], "seat": [1, 2]})
        file = io.BytesIO()
        pq.write_table(rows, file)
        self.s3.put_object(Bucket=self.name, Key=f"{folder or name}/part.parquet", Body=file.getvalue())
        (glue or self.glue).create_table(
            DatabaseName=self.name, TableInput=self.table_input(name, f"s3://{self.name}/{folder or name}/")
        )

    def table_input(self, name: str, location: str) -> dict[str, Any]:
        return {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": {
                "Columns": [{"Name": "name", "Type": "string"}, {"Name": "seat", "Type": "bigint"}],
                "Location": location,
                "InputFormat": f"{PARQUET}.MapredParquetInputFormat",
                "OutputFormat": f"{PARQUET}.MapredParquetOutputFormat",
                "SerdeInfo": {"SerializationLibrary": f"{PARQUET}.serde.ParquetHiveSerDe"},
            },
        }

    def grant(self, person: Person, resource: dict[str, Any], *permissions: str) -> None:
        principal = {"DataLakePrincipalIdentifier": person.role}
        self.lf.grant_permissions(Principal=principal, Resource=resource, Permissions=list(permissions))

    def policy(self, kind: str = "TABLE", **tags: str | list[str]) -> dict[str, Any]:
        return {"LFTagPolicy": {"ResourceType": kind, "Expression": self.pairs(**tags)}}

    def person(self, *statements: dict[str, Any]) -> Person:
        return Person(self, *(statements or (EVERYTHING, NO_S3)))


class Person:
    """Somebody who took a role; without statements the role may do anything but with S3."""

    def __init__(self, lake: Lake, *statements: dict[str, Any]) -> None:
        self.lake = lake
        trust = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}
        self.role = lake.server.role("", *statements, trust=trust)
        found = lake.server.client("sts").assume_role(RoleArn=self.role, RoleSessionName="person")["Credentials"]
        self._keys = (found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def client(self, service: str) -> Any:
        return self.lake.server.client_as(service, *self._keys)

    def query(self, text: str) -> dict[str, Any]:
        athena = self.client("athena")
        context = {"Database": self.lake.name}
        query_id = athena.start_query_execution(
            QueryString=text, WorkGroup=self.lake.name, QueryExecutionContext=context
        )["QueryExecutionId"]

        def ended() -> Any:
            execution = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return execution if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

        return {**wait_for(ended), "id": query_id}

    def rows(self, text: str) -> list[list[str]]:
        execution = self.query(text)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        result = self.client("athena").get_query_results(QueryExecutionId=execution["id"])["ResultSet"]
        return [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in result["Rows"]]

    def reason(self, text: str) -> str:
        status = self.query(text)["Status"]
        assert status["State"] == "FAILED", status
        return str(status["StateChangeReason"])


@pytest.fixture
def lake(local_server: Any) -> Lake:
    return Lake(local_server)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value)


# Queries


def test_a_grant_by_tags_lets_a_role_read_without_any_permission_on_objects(lake: Lake) -> None:
    person = lake.person()
    lake.grant(person, lake.policy(zone="clean", sensitivity=["internal", "restricted"]), "SELECT")

    assert person.rows("SELECT * FROM passengers ORDER BY seat") == [["name", "seat"], ["Ada", "1"], ["Bob", "2"]]
    assert "AccessDenied" in refusal(lambda: person.client("s3").list_objects_v2(Bucket=lake.name))


def test_without_a_grant_a_query_is_refused(lake: Lake) -> None:
    assert "Insufficient Lake Formation permission(s)" in lake.person().reason("SELECT seat FROM passengers")


def test_a_column_that_is_tagged_otherwise_is_left_out_and_refused(lake: Lake) -> None:
    person = lake.person()
    lake.grant(person, lake.policy(zone="clean", sensitivity="internal"), "SELECT")

    assert person.rows("SELECT * FROM passengers ORDER BY 1") == [["seat"], ["1"], ["2"]]
    assert "name" in person.reason("SELECT name FROM passengers")
    columns = person.client("glue").get_table(DatabaseName=lake.name, Name="passengers")["Table"]["StorageDescriptor"]
    assert [column["Name"] for column in columns["Columns"]] == ["seat"]


def test_a_grant_for_another_zone_says_nothing_here(lake: Lake) -> None:
    person = lake.person()
    lake.grant(person, lake.policy(zone="raw"), "SELECT")
    assert "PERMISSION_DENIED" in person.reason("SELECT seat FROM passengers")


def test_who_may_only_describe_sees_all_columns_and_reads_no_row(lake: Lake) -> None:
    person = lake.person()
    lake.grant(person, lake.policy(zone="clean"), "DESCRIBE")

    table = person.client("glue").get_table(DatabaseName=lake.name, Name="passengers")["Table"]
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == ["name", "seat"]
    assert "Required Select" in person.reason("SELECT seat FROM passengers")


def test_iam_must_let_a_role_have_data_as_well(lake: Lake) -> None:
    person = lake.person({"Effect": "Allow", "Action": ["glue:*", "athena:*"], "Resource": "*"})
    lake.grant(person, lake.policy(zone="clean"), "SELECT")
    assert "lakeformation:GetDataAccess" in person.reason("SELECT seat FROM passengers")


def test_revoking_takes_effect(lake: Lake) -> None:
    person = lake.person()
    lake.grant(person, lake.policy(zone="clean"), "SELECT")
    assert person.rows("SELECT count(*) FROM passengers")[1] == ["2"]
    principal = {"DataLakePrincipalIdentifier": person.role}
    lake.lf.revoke_permissions(Principal=principal, Resource=lake.policy(zone="clean"), Permissions=["SELECT"])
    assert "PERMISSION_DENIED" in person.reason("SELECT count(*) FROM passengers")


def test_named_columns_can_be_granted_or_excluded(lake: Lake) -> None:
    one, all_but_one = lake.person(), lake.person()
    table = {"DatabaseName": lake.name, "Name": "passengers"}
    lake.grant(one, {"TableWithColumns": {**table, "ColumnNames": ["name"]}}, "SELECT")
    excluded = {"ColumnWildcard": {"ExcludedColumnNames": ["name"]}}
    lake.grant(all_but_one, {"TableWithColumns": {**table, **excluded}}, "SELECT")
    assert one.rows("SELECT * FROM passengers")[0] == ["name"]
    assert all_but_one.rows("SELECT * FROM passengers")[0] == ["seat"]


def test_tables_outside_of_registered_locations_are_left_to_iam(lake: Lake) -> None:
    lake.lf.deregister_resource(ResourceArn=lake.location)
    reader = {"Effect": "Allow", "Action": "s3:*", "Resource": [lake.location, f"{lake.location}/*"]}
    assert lake.person(EVERYTHING, reader).rows("SELECT count(*) FROM passengers")[1] == ["2"]


# The catalogue


def test_without_a_grant_the_catalogue_shows_neither_database_nor_table(lake: Lake) -> None:
    glue = lake.person().client("glue")
    assert "Required Describe" in refusal(lambda: glue.get_table(DatabaseName=lake.name, Name="passengers"))
    assert "Required Describe" in refusal(lambda: glue.get_database(Name=lake.name))
    assert glue.get_tables(DatabaseName=lake.name)["TableList"] == []
    assert lake.name not in [each["Name"] for each in glue.get_databases()["DatabaseList"]]


def test_making_a_table_needs_the_database_and_the_location(lake: Lake) -> None:
    person = lake.person()
    glue = person.client("glue")
    assert "Required Create Table" in refusal(lambda: lake.table("made", glue))
    lake.grant(person, lake.policy("DATABASE", zone="clean"), "CREATE_TABLE")
    assert "Required Data Location Access" in refusal(lambda: lake.table("made", glue))
    lake.grant(person, {"DataLocation": {"ResourceArn": lake.location}}, "DATA_LOCATION_ACCESS")
    lake.table("made", glue)
    assert person.rows("SELECT count(*) FROM made")[1] == ["2"]


def test_changing_a_table_needs_alter_and_removing_it_needs_drop(lake: Lake) -> None:
    person = lake.person()
    glue = person.client("glue")
    lake.grant(person, {"DataLocation": {"ResourceArn": lake.location}}, "DATA_LOCATION_ACCESS")
    lake.grant(person, lake.policy(zone="clean"), "DESCRIBE", "INSERT")
    changed = lake.table_input("passengers", f"s3://{lake.name}/passengers/")
    assert "Required Alter" in refusal(lambda: glue.update_table(DatabaseName=lake.name, TableInput=changed))
    lake.grant(person, lake.policy(zone="clean"), "ALTER")
    glue.update_table(DatabaseName=lake.name, TableInput=changed)
    assert "Required Drop" in refusal(lambda: glue.delete_table(DatabaseName=lake.name, Name="passengers"))


def test_an_administrator_does_everything_with_the_catalogue_and_reads_no_row(lake: Lake) -> None:
    person = lake.person()
    settings = lake.lf.get_data_lake_settings()["DataLakeSettings"]
    admins = [*settings["DataLakeAdmins"], {"DataLakePrincipalIdentifier": person.role}]
    lake.lf.put_data_lake_settings(DataLakeSettings={**settings, "DataLakeAdmins": admins})
    assert person.client("glue").get_table(DatabaseName=lake.name, Name="passengers")
    assert "Required Select" in person.reason("SELECT seat FROM passengers")


def test_only_administrators_grant(lake: Lake) -> None:
    person = lake.person()
    principal = {"DataLakePrincipalIdentifier": person.role}

    def grant() -> None:
        person.client("lakeformation").grant_permissions(
            Principal=principal, Resource=lake.policy(zone="clean"), Permissions=["SELECT"]
        )

    assert "no data lake administrator" in refusal(grant)
    lake.lf.put_data_lake_settings(DataLakeSettings={"DataLakeAdmins": [principal]})
    grant()


# Looking things up


def test_tags_of_tables_and_columns_are_inherited(lake: Lake) -> None:
    table = {"DatabaseName": lake.name, "Name": "passengers"}
    found = lake.lf.get_resource_lf_tags(Resource={"Table": table})
    on_table = {pair["TagKey"]: pair["TagValues"] for pair in found["LFTagsOnTable"]}
    assert on_table == {lake.key("zone"): ["clean"], lake.key("sensitivity"): ["internal"]}
    (column,) = found["LFTagsOnColumns"]
    assert column["Name"] == "name"
    assert {"restricted"} <= {pair["TagValues"][0] for pair in column["LFTags"]}


def test_says_who_may_do_what_with_the_tables_at_a_place(lake: Lake) -> None:
    reader, steward = lake.person(), lake.person()
    lake.grant(reader, lake.policy(zone="clean", sensitivity="internal"), "SELECT")
    lake.grant(steward, {"Table": {"DatabaseName": lake.name, "Name": "passengers"}}, "ALTER")
    found = lake.lf.get_effective_permissions_for_path(ResourceArn=f"{lake.location}/passengers/")["Permissions"]
    told = {each["Principal"]["DataLakePrincipalIdentifier"]: (each["Permissions"], each["Resource"]) for each in found}
    table = {"DatabaseName": lake.name, "Name": "passengers"}
    assert told == {
        reader.role: (["SELECT"], {"TableWithColumns": {**table, "ColumnNames": ["seat"]}}),
        steward.role: (["ALTER"], {"Table": table}),
    }
    assert lake.lf.get_effective_permissions_for_path(ResourceArn=f"{lake.location}/elsewhere")["Permissions"] == []


def test_permissions_can_be_listed_by_principal_and_granted_in_a_batch(lake: Lake) -> None:
    person = lake.person()
    principal = {"DataLakePrincipalIdentifier": person.role}
    entries: list[dict[str, Any]] = [
        {"Id": "good", "Principal": principal, "Resource": lake.policy(zone="clean"), "Permissions": ["SELECT"]},
        {"Id": "bad", "Principal": principal, "Resource": lake.policy(zone="unheard"), "Permissions": ["SELECT"]},
    ]
    failures = lake.lf.batch_grant_permissions(Entries=entries)["Failures"]
    assert [failure["RequestEntry"]["Id"] for failure in failures] == ["bad"]
    (found,) = lake.lf.list_permissions(Principal=principal)["PrincipalResourcePermissions"]
    assert found["Permissions"] == ["SELECT"]
    assert found["Resource"] == lake.policy(zone="clean")


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        (
            "grant_permissions",
            {"Principal": {"DataLakePrincipalIdentifier": f"arn:aws:iam::{ACCOUNT}:role/none"}},
            "role",
        ),
        ("add_lf_tags_to_resource", {"LFTags": [{"TagKey": "unheard", "TagValues": ["of"]}]}, "unheard"),
        (
            "register_resource",
            {"ResourceArn": "arn:aws:s3:::x", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/none"},
            "role",
        ),
        ("describe_resource", {"ResourceArn": "arn:aws:s3:::unheard-of"}, "not registered"),
        ("search_databases_by_lf_tags", {"Expression": [{"TagKey": "zone", "TagValues": ["raw"]}]}, "not available"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(
    lake: Lake, operation: str, request_: dict[str, Any], message: str
) -> None:
    defaults: dict[str, dict[str, Any]] = {
        "grant_permissions": {"Resource": lake.policy(zone="clean"), "Permissions": ["SELECT"]},
        "add_lf_tags_to_resource": {"Resource": {"Database": {"Name": lake.name}}},
    }
    call = getattr(lake.lf, operation)
    assert message in refusal(lambda: call(**defaults.get(operation, {}), **request_))


def test_a_request_that_aws_would_not_take_is_refused(lake: Lake) -> None:
    person = lake.person()
    with pytest.raises(ClientError, match="enum value set"):
        lake.grant(person, lake.policy(zone="clean"), "LOOK")


def test_grants_outlive_the_server(start_local_server: Callable[[Path], Any], tmp_path: Path) -> None:
    server = start_local_server(tmp_path / "state")
    lake = Lake(server)
    person = lake.person()
    lake.grant(person, lake.policy(zone="clean"), "SELECT")
    before = lake.lf.list_permissions()["PrincipalResourcePermissions"]
    server.stop()
    again = start_local_server(tmp_path / "state")
    lf = again.client("lakeformation")
    assert lf.list_permissions()["PrincipalResourcePermissions"] == before
    assert [each["ResourceArn"] for each in lf.list_resources()["ResourceInfoList"]] == [lake.location]
    assert json.loads((tmp_path / "state" / "lake_formation.json").read_text())["grants"]
