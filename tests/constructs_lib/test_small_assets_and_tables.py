import json

from aws_cdk import Stack
from aws_cdk.assertions import Match, Template

from constructs_lib.catalogue_table import json_table, parquet_table
from constructs_lib.grants import ServiceRole
from constructs_lib.text_asset import TextAsset


def test_a_text_is_named_after_its_content(stack: Stack) -> None:
    first = TextAsset(stack, "First", text='{"a": 1}', suffix=".json")
    same = TextAsset(stack, "Same", text='{"a": 1}', suffix=".json")
    other = TextAsset(stack, "Other", text='{"a": 2}', suffix=".json")
    assert stack.resolve(first.uri) == stack.resolve(same.uri)
    assert stack.resolve(first.uri) != stack.resolve(other.uri)
    assert ".json" in json.dumps(stack.resolve(first.uri))


def test_exactly_this_text_may_be_read(stack: Stack) -> None:
    text = TextAsset(stack, "Text", text="x", suffix=".txt")
    text.grant_read(ServiceRole(stack, "Role", service="glue.amazonaws.com", description="A job"))
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "s3:GetObject"
    assert "*" not in json.dumps(statement["Resource"])


def test_a_table_is_partitioned_by_version_and_reads_parquet(stack: Stack) -> None:
    parquet_table(
        stack,
        "Features",
        database="dev_curated",
        name="flight_delays_features",
        location="s3://curated/flight_delays/features/",
        columns={"carrier": "string", "distance": "int"},
        description="Features",
    )
    Template.from_stack(stack).has_resource_properties(
        "AWS::Glue::Table",
        {
            "DatabaseName": "dev_curated",
            "TableInput": {
                "Name": "flight_delays_features",
                "PartitionKeys": [{"Name": "version", "Type": "string"}],
                "StorageDescriptor": {
                    "Columns": [{"Name": "carrier", "Type": "string"}, {"Name": "distance", "Type": "int"}],
                    "SerdeInfo": {"SerializationLibrary": Match.string_like_regexp("ParquetHiveSerDe$")},
                },
            },
        },
    )


def test_a_table_over_json_objects_has_no_partitions(stack: Stack) -> None:
    json_table(
        stack,
        "Datasets",
        database="dev_curated",
        name="orders_datasets",
        location="s3://datasets/orders/index/",
        columns={"version": "string"},
        description="Datasets",
    )
    (table,) = Template.from_stack(stack).find_resources("AWS::Glue::Table").values()
    made = table["Properties"]["TableInput"]
    assert "PartitionKeys" not in made
    assert made["StorageDescriptor"]["Location"] == "s3://datasets/orders/index/"
    assert made["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
