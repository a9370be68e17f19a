"""Streams: records are parted, turned into Parquet by a table, and delivered under the stream's role."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from tests.local.server.conftest import ANYTHING, any_name, wait_until

COLUMNS = {"id": "bigint", "page": "string", "at": "timestamp", "price": "double", "sold": "boolean"}


@dataclass
class Stream:
    """A stream into a bucket, by a table."""

    server: Any
    bucket: str
    database: str = field(default_factory=lambda: any_name("db").replace("-", "_"))
    name: str = field(default_factory=lambda: any_name("stream"))

    def __post_init__(self) -> None:
        self.s3, self.client = self.server.client("s3"), self.server.client("firehose")
        glue = self.server.client("glue")
        glue.create_database(DatabaseInput={"Name": self.database})
        columns = [{"Name": name, "Type": kind} for name, kind in COLUMNS.items()]
        glue.create_table(
            DatabaseName=self.database,
            TableInput={"Name": "clicks", "StorageDescriptor": {"Columns": columns}},
        )

    def create(
        self, role: str, *, parted: bool = False, seconds: int = 60, client: Any = None, table: str = "clicks"
    ) -> None:
        query = {"ParameterName": "MetadataExtractionQuery", "ParameterValue": "{page: .page}"}
        processor = {"Type": "MetadataExtraction", "Parameters": [query]}
        partition = "page=!{partitionKeyFromQuery:page}/" if parted else ""
        (client or self.client).create_delivery_stream(
            DeliveryStreamName=self.name,
            ExtendedS3DestinationConfiguration={
                "RoleARN": role,
                "BucketARN": f"arn:aws:s3:::{self.bucket}",
                "Prefix": f"in/{partition}!{{timestamp:yyyy/MM/dd}}/",
                "ErrorOutputPrefix": "failed/!{firehose:error-output-type}/!{timestamp:yyyy}/",
                "BufferingHints": {"IntervalInSeconds": seconds, "SizeInMBs": 64},
                "DynamicPartitioningConfiguration": {"Enabled": parted},
                "ProcessingConfiguration": {"Enabled": parted, "Processors": [processor] if parted else []},
                "DataFormatConversionConfiguration": {
                    "Enabled": True,
                    "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
                    "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}},
                    "SchemaConfiguration": {"RoleARN": role, "DatabaseName": self.database, "TableName": table},
                },
            },
        )

    def put(self, *records: Any) -> None:
        data = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
        answer = self.client.put_record_batch(DeliveryStreamName=self.name, Records=[{"Data": each} for each in data])
        assert answer["FailedPutCount"] == 0

    def keys(self, prefix: str) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in listed]

    def body(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def rows(self, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(io.BytesIO(self.body(key))).to_pylist()
        return found


@pytest.fixture
def stream(local_server: Any, bucket: str) -> Stream:
    return Stream(local_server, bucket)


@pytest.fixture
def role(local_server: Any) -> Callable[..., str]:
    return lambda *statements: str(local_server.role("firehose.amazonaws.com", *statements))


def click(number: int, page: str = "home", **changed: Any) -> dict[str, Any]:
    return {"id": number, "page": page, "at": "2024-03-01T10:00:00Z", "price": 1.5, "sold": True, **changed}


def test_many_records_become_one_file_with_the_tables_types(stream: Stream, role: Callable[..., str]) -> None:
    stream.create(role(ANYTHING))
    stream.put(*(click(number) for number in range(5)))
    stream.put(click(5, price=None), b'{"ID": 6, "other": 1}{"id": 7}')
    (key,) = wait_until(lambda: stream.keys("in/"))
    assert key.endswith(".parquet")
    rows = stream.rows(key)
    assert [each["id"] for each in rows] == list(range(8))
    schema = pq.read_schema(io.BytesIO(stream.body(key)))
    assert [str(kind) for kind in schema.types] == ["int64", "string", "timestamp[us]", "double", "bool"]
    assert rows[0]["at"].isoformat() == "2024-03-01T10:00:00"
    assert (rows[5]["price"], rows[6]["page"]) == (None, None)


def test_parts_records_by_the_value_that_the_query_finds(stream: Stream, role: Callable[..., str]) -> None:
    stream.create(role(ANYTHING), parted=True)
    stream.put(click(1, "home"), click(2, "cart"), click(3, "home"))
    keys = wait_until(lambda: len(found := stream.keys("in/")) == 2 and found)
    assert [key.split("/")[1] for key in keys] == ["page=cart", "page=home"]
    assert [each["id"] for each in stream.rows(keys[1])] == [1, 3]


def test_keeps_what_is_no_row_as_it_came_and_delivers_the_rest(stream: Stream, role: Callable[..., str]) -> None:
    stream.create(role(ANYTHING), parted=True)
    stream.put(click(1), click(2, id="many"), b"not json", {"id": 3})
    (key,) = wait_until(lambda: stream.keys("in/"))
    assert [each["id"] for each in stream.rows(key)] == [1]
    failed = wait_until(lambda: len(found := stream.keys("failed/")) == 2 and found)
    kinds = {key.split("/")[1]: stream.body(key).splitlines() for key in failed}
    raw = {kind: [base64.b64decode(json.loads(line)["rawData"]) for line in lines] for kind, lines in kinds.items()}
    assert raw == {
        "format-conversion-failed": [json.dumps(click(2, id="many")).encode()],
        "processing-failed": [b"not json", b'{"id": 3}'],
    }
    metric = stream.server.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Firehose",
        MetricName="FailedConversion.Records",
        Dimensions=[{"Name": "DeliveryStreamName", "Value": stream.name}],
        StartTime=0,
        EndTime=4_000_000_000,
        Period=4_000_000_000 // 60 * 60,
        Statistics=["Sum"],
    )
    assert [each["Sum"] for each in metric["Datapoints"]] == [1.0]


def test_says_that_the_table_is_not_there(stream: Stream, role: Callable[..., str]) -> None:
    stream.create(role(ANYTHING), table="gone")
    stream.put(click(1))
    (key,) = wait_until(lambda: stream.keys("failed/"))
    assert json.loads(stream.body(key))["ErrorCode"] == "DataFormatConversion.EntityNotFound"


@pytest.mark.parametrize("missing", ["s3:PutObject", "glue:GetTable"])
def test_waits_with_the_records_until_the_role_may_deliver_them(
    stream: Stream, role: Callable[..., str], missing: str
) -> None:
    denied = {"Effect": "Deny", "Action": missing, "Resource": "*"}
    arn = role(ANYTHING, denied)
    stream.create(arn)
    stream.put(click(1))
    wait_until(lambda: f"stream {stream.name} could not deliver 1 records" in stream.server.log)
    assert stream.keys("") == []
    allowed = json.dumps({"Version": "2012-10-17", "Statement": [ANYTHING]})
    iam = stream.server.client("iam")
    iam.put_role_policy(RoleName=arn.rpartition("/")[2], PolicyName="inline", PolicyDocument=allowed)
    (key,) = wait_until(lambda: stream.keys("in/"))
    assert len(stream.rows(key)) == 1


def test_a_role_that_does_not_trust_firehose_delivers_nothing(stream: Stream, local_server: Any) -> None:
    stream.create(local_server.role("lambda.amazonaws.com", ANYTHING))
    stream.put(click(1))
    wait_until(lambda: f"stream {stream.name} could not deliver" in stream.server.log)
    assert stream.keys("") == []


def test_whoever_makes_a_stream_must_be_allowed_to_pass_its_role(stream: Stream, role: Callable[..., str]) -> None:
    key, secret = stream.server.user({"Effect": "Allow", "Action": "firehose:*", "Resource": "*"})
    with pytest.raises(ClientError, match="iam:PassRole"):
        stream.create(role(ANYTHING), client=stream.server.client_as("firehose", key, secret))


def test_delivers_what_is_left_when_the_server_stops(own_server: Any, start_local_server: Any, tmp_path: Any) -> None:
    own_server.client("s3").create_bucket(Bucket="left")
    stream = Stream(own_server, "left")
    stream.create(own_server.role("firehose.amazonaws.com", ANYTHING), seconds=900)
    stream.put(click(1))
    own_server.stop()
    again = start_local_server(own_server.state_dir)
    listed = again.client("s3").list_objects_v2(Bucket="left", Prefix="in/")["Contents"]
    assert len(listed) == 1
