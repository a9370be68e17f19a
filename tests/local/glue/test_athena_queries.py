"""Athena runs queries over registered partitions, with the rights of whoever asks."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from tests.local.glue.conftest import Lake, allow, wait_for

REGION = "us-east-1:000000000000"
CATALOGUE = f"arn:aws:glue:{REGION}"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


class Workspace(Lake):
    """A lake with a database, a key and a workgroup whose results are encrypted under it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.athena = self.server.client("athena")
        self.database = f"curated_{uuid.uuid4().hex[:8]}"
        self.glue.create_database(DatabaseInput={"Name": self.database})
        self.key = self.server.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.group = f"group-{uuid.uuid4().hex[:8]}"
        encryption = {"EncryptionOption": "SSE_KMS", "KmsKey": self.key}
        self.athena.create_work_group(
            Name=self.group,
            Configuration={
                "EnforceWorkGroupConfiguration": True,
                "ResultConfiguration": {
                    "OutputLocation": f"s3://{self.bucket}/results/",
                    "EncryptionConfiguration": encryption,
                },
            },
        )

    def table(self, name: str, columns: dict[str, str], keys: tuple[str, ...] = ("version",)) -> None:
        """Make a table over Parquet files."""
        self.glue.create_table(
            DatabaseName=self.database,
            TableInput={
                "Name": name,
                "TableType": "EXTERNAL_TABLE",
                "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
                "StorageDescriptor": {
                    "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
                    "Location": f"s3://{self.bucket}/{name}/",
                    "InputFormat": f"{PARQUET}.MapredParquetInputFormat",
                    "OutputFormat": f"{PARQUET}.MapredParquetOutputFormat",
                    "SerdeInfo": {"SerializationLibrary": f"{PARQUET}.serde.ParquetHiveSerDe"},
                },
            },
        )

    def write(self, key: str, **columns: Any) -> None:
        """Write a Parquet file."""
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        self.put(key, buffer.getvalue())

    def register(self, table: str, value: str, folder: str) -> None:
        """Register a partition."""
        self.glue.create_partition(
            DatabaseName=self.database,
            TableName=table,
            PartitionInput={
                "Values": [value],
                "StorageDescriptor": {"Location": f"s3://{self.bucket}/{folder}", "Columns": []},
            },
        )

    def query(self, text: str, client: Any = None, **options: Any) -> dict[str, Any]:
        """Run a query to its end; returns its record."""
        athena = client or self.athena
        query_id = athena.start_query_execution(
            QueryString=text, WorkGroup=self.group, QueryExecutionContext={"Database": self.database}, **options
        )["QueryExecutionId"]

        def ended() -> dict[str, Any] | None:
            record: dict[str, Any] = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return record if record["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

        record: dict[str, Any] = wait_for(ended)
        return record

    def rows(self, text: str, **options: Any) -> list[list[str | None]]:
        """The rows of a query's result, without the header."""
        record = self.query(text, **options)
        assert record["Status"]["State"] == "SUCCEEDED", record["Status"]
        result = self.athena.get_query_results(QueryExecutionId=record["QueryExecutionId"])["ResultSet"]
        return [[value.get("VarCharValue") for value in row["Data"]] for row in result["Rows"][1:]]

    def reason(self, text: str, **options: Any) -> str:
        """Why a query failed."""
        status = self.query(text, **options)["Status"]
        assert status["State"] == "FAILED", status
        return str(status["StateChangeReason"])

    def reader(self, *without: str) -> Any:
        """A client of somebody who may run queries and read the table ``rows``, apart from some actions."""
        grants = [
            allow(
                ["athena:StartQueryExecution", "athena:GetQueryExecution"],
                f"arn:aws:athena:{REGION}:workgroup/{self.group}",
            ),
            allow("glue:GetTable", *self._catalogue()),
            allow("glue:GetPartitions", *self._catalogue()),
            allow("s3:GetObject", f"arn:aws:s3:::{self.bucket}/rows/*"),
            allow("s3:ListBucket", f"arn:aws:s3:::{self.bucket}"),
            allow("s3:PutObject", f"arn:aws:s3:::{self.bucket}/results/*"),
            allow("kms:GenerateDataKey", self.key),
        ]
        keys = self.server.user(*(grant for grant in grants if grant["Action"] not in without))
        return self.server.client_as("athena", *keys)

    def _catalogue(self) -> list[str]:
        return [
            f"{CATALOGUE}:catalog",
            f"{CATALOGUE}:database/{self.database}",
            f"{CATALOGUE}:table/{self.database}/rows",
        ]


@pytest.fixture
def workspace(local_server: Any) -> Workspace:
    """A database and a workgroup of the test's own."""
    return Workspace(local_server)


@pytest.fixture
def versioned(workspace: Workspace) -> Workspace:
    """A table ``rows`` with two versions."""
    workspace.table("rows", {"name": "string", "n": "bigint"})
    for version, names in (("v1", ["a", "b"]), ("v2", ["c"])):
        folder = f"rows/version={version}/attempt=1/"
        workspace.write(f"{folder}part-0.parquet", name=names, n=list(range(len(names))))
        workspace.write(f"{folder}_hidden.parquet", name=["hidden"], n=[9])
        workspace.register("rows", version, folder)
    return workspace


def test_reads_one_version(versioned: Workspace) -> None:
    text = "SELECT name, n, version FROM {}.rows WHERE version = 'v1' ORDER BY n"

    assert versioned.rows(text.format(versioned.database)) == [["a", "0", "v1"], ["b", "1", "v1"]]


def test_reads_registered_partitions_only(versioned: Workspace) -> None:
    versioned.write("rows/version=v3/attempt=1/part-0.parquet", name=["unpublished"], n=[1])

    assert versioned.rows("SELECT version, count(*) FROM rows GROUP BY 1 ORDER BY 1") == [["v1", "2"], ["v2", "1"]]


def test_reads_a_partition_outside_of_the_tables_location(versioned: Workspace) -> None:
    versioned.write("elsewhere/x/part-0.parquet", name=["far"], n=[7])
    versioned.register("rows", "v3", "elsewhere/x/")

    assert versioned.rows("SELECT name FROM rows WHERE version IN ('v3')") == [["far"]]


def test_reads_no_more_than_the_versions_asked_for(versioned: Workspace) -> None:
    everything = versioned.query("SELECT * FROM rows")["Statistics"]["DataScannedInBytes"]
    one = versioned.query("SELECT * FROM rows WHERE version = 'v2' AND n >= 0")["Statistics"]["DataScannedInBytes"]

    assert 0 < one < everything


@pytest.mark.parametrize(
    "text",
    [
        'SELECT count(*) FROM "AwsDataCatalog"."{database}"."rows"',
        "WITH rows AS (SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 3) SELECT count(*) FROM rows",
        "SELECT count(*) FROM (SELECT DISTINCT r.name FROM rows r JOIN {database}.rows s ON r.name = s.name) t",
    ],
)
def test_finds_tables_however_they_are_named(versioned: Workspace, text: str) -> None:
    assert versioned.rows(text.format(database=versioned.database)) == [["3"]]


def test_a_table_without_partitions_has_its_columns_and_no_rows(workspace: Workspace) -> None:
    workspace.table("rows", {"name": "string"})

    assert workspace.rows("SELECT count(name), count(version) FROM rows") == [["0", "0"]]


def test_fills_columns_that_a_file_does_not_have(workspace: Workspace) -> None:
    workspace.table("rows", {"name": "string", "added": "double"})
    workspace.write("rows/1/part.parquet", name=["a"])
    workspace.register("rows", "v1", "rows/1/")

    assert workspace.rows("SELECT * FROM rows") == [["a", None, "v1"]]


def test_a_type_that_does_not_fit_the_table_fails_the_query(workspace: Workspace) -> None:
    workspace.table("rows", {"name": "bigint"})
    workspace.write("rows/1/part.parquet", name=["a"])
    workspace.register("rows", "v1", "rows/1/")

    assert workspace.reason("SELECT * FROM rows").startswith("HIVE_BAD_DATA: Field name's type string")


def test_writes_the_result_encrypted_to_the_workgroups_location(versioned: Workspace) -> None:
    record = versioned.query(
        "SELECT name, CAST(NULL AS int) AS nothing FROM rows WHERE n = 0 ORDER BY 1",
        ResultConfiguration={"OutputLocation": "s3://elsewhere/"},
    )

    key = f"results/{record['QueryExecutionId']}.csv"
    assert record["ResultConfiguration"]["OutputLocation"] == f"s3://{versioned.bucket}/{key}"
    assert versioned.read(key).decode() == '"name","nothing"\n"a",\n"c",\n'
    head = versioned.s3.head_object(Bucket=versioned.bucket, Key=key)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", versioned.key)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT count(*), name, n AS number, n + 1 FROM rows GROUP BY 2, 3, 4", ["_col0", "name", "number", "_col3"]),
        ("SELECT 1 UNION ALL SELECT 2 AS two", ["_col0"]),
        ("SELECT * FROM rows", ["name", "n", "version"]),
    ],
)
def test_names_columns_as_athena_does(versioned: Workspace, text: str, names: list[str]) -> None:
    record = versioned.query(text)

    result = versioned.athena.get_query_results(QueryExecutionId=record["QueryExecutionId"])["ResultSet"]
    assert [value["VarCharValue"] for value in result["Rows"][0]["Data"]] == names


def test_a_reader_needs_every_grant(versioned: Workspace) -> None:
    text = "SELECT count(*) FROM rows"

    assert versioned.query(text, versioned.reader())["Status"]["State"] == "SUCCEEDED"
    for action in ("glue:GetTable", "glue:GetPartitions", "s3:GetObject", "s3:ListBucket", "s3:PutObject"):
        reason = versioned.reason(text, client=versioned.reader(action))
        assert reason.startswith("PERMISSION_DENIED"), action
    assert "kms:GenerateDataKey" in versioned.reason(text, client=versioned.reader("kms:GenerateDataKey"))


def test_a_workgroup_of_somebody_else_is_refused(versioned: Workspace) -> None:
    keys = versioned.server.user(allow("athena:*", f"arn:aws:athena:{REGION}:workgroup/another"))

    with pytest.raises(ClientError) as refused:
        versioned.query("SELECT 1", versioned.server.client_as("athena", *keys))

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT * FROM missing", "TABLE_NOT_FOUND"),
        ("SELECT colour FROM rows", "SYNTAX_ERROR"),
        ("DROP TABLE rows", "NOT_SUPPORTED"),
        ("SELECT * FROM read_csv('/etc/passwd')", "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", "NOT_SUPPORTED"),
    ],
)
def test_says_why_a_query_fails(versioned: Workspace, text: str, reason: str) -> None:
    assert versioned.reason(text).startswith(reason)


def test_reads_csv_tables_that_a_crawler_made(versioned: Workspace) -> None:
    versioned.put("land/2013-01/flights.csv", "carrier,delay\nUA,2.5\nAA,NA\n")
    versioned.put("land/2013-01/planes.csv", "tailnum,engines\nN1,2\n")
    crawler = f"crawler-{uuid.uuid4().hex[:8]}"
    tables = [f"{CATALOGUE}:table/{versioned.database}/land_*"]
    grants = [allow("glue:*", f"{CATALOGUE}:catalog", f"{CATALOGUE}:database/{versioned.database}", *tables)]
    versioned.glue.create_crawler(
        Name=crawler,
        Role=versioned.server.role("glue.amazonaws.com", *versioned.read_grants("land/"), *grants),
        DatabaseName=versioned.database,
        TablePrefix="land_",
        Targets={"S3Targets": [{"Path": f"s3://{versioned.bucket}/land/"}]},
    )
    versioned.glue.start_crawler(Name=crawler)
    wait_for(lambda: versioned.glue.get_crawler(Name=crawler)["Crawler"]["State"] == "READY")

    assert versioned.rows("SELECT * FROM land_flights ORDER BY 1") == [
        ["AA", "NA", "2013-01"],
        ["UA", "2.5", "2013-01"],
    ]


def test_a_repeated_request_with_one_token_runs_once(versioned: Workspace) -> None:
    token = uuid.uuid4().hex * 2

    first = versioned.query("SELECT 1", ClientRequestToken=token)
    second = versioned.query("SELECT 1", ClientRequestToken=token)

    assert first["QueryExecutionId"] == second["QueryExecutionId"]
    assert json.loads(json.dumps(first["Statistics"])) == second["Statistics"]


def test_reads_json_objects_of_one_line_each(workspace: Workspace) -> None:
    """By the names of the columns, whatever else an object says; a table without partitions reads what is there."""
    workspace.glue.create_table(
        DatabaseName=workspace.database,
        TableInput={
            "Name": "entries",
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": {
                "Columns": [{"Name": "version", "Type": "string"}, {"Name": "rows", "Type": "bigint"}],
                "Location": f"s3://{workspace.bucket}/entries/",
                "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
                "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
            },
        },
    )
    assert workspace.rows("SELECT * FROM entries") == []
    workspace.put("entries/1.json", b'{"rows": 3, "version": "a", "more": {"x": 1}}')
    workspace.put("entries/2.json", b'{"version": "b"}')
    assert workspace.rows("SELECT version, rows FROM entries ORDER BY version") == [["a", "3"], ["b", None]]


def test_a_saved_query_belongs_to_its_workgroup(versioned: Workspace) -> None:
    ids = []
    for group in (versioned.group, "primary"):
        saved = {"Name": "ones", "Database": versioned.database, "QueryString": "SELECT 1", "WorkGroup": group}
        ids.append(versioned.athena.create_named_query(**saved)["NamedQueryId"])
    mine, others = ids
    keys = versioned.server.user(allow("athena:*", f"arn:aws:athena:{REGION}:workgroup/{versioned.group}"))
    athena = versioned.server.client_as("athena", *keys)
    assert athena.get_named_query(NamedQueryId=mine)["NamedQuery"]["Name"] == "ones"
    assert len(athena.batch_get_named_query(NamedQueryIds=[mine])["NamedQueries"]) == 1
    for asked in ([others], [mine, others]):
        with pytest.raises(ClientError, match="not authorized to perform: athena:BatchGetNamedQuery"):
            athena.batch_get_named_query(NamedQueryIds=asked)
    with pytest.raises(ClientError, match="not authorized to perform: athena:GetNamedQuery"):
        athena.get_named_query(NamedQueryId=others)
