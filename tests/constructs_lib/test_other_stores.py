"""Warehouse, file system, Iceberg tables and materialised views: what their constructs promise."""

import json
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import NoAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.dataset_cache import DatasetCache
from constructs_lib.iceberg_table import IcebergTable
from constructs_lib.machines.jobs import LustrePlace, lustre_channel
from constructs_lib.materialised_views import MaterialisedViews
from constructs_lib.names.naming import history_table
from constructs_lib.names.stores_file import View
from constructs_lib.warehouse import Warehouse

KEY = "arn:aws:kms:us-east-1:000000000000:key/lake"
SUBNETS = ("subnet-1", "subnet-2", "subnet-3")
SILENCE = NoAlarms("nobody is on call for an example")


def any_key(stack: Stack) -> kms.IKey:
    return kms.Key.from_key_arn(stack, "GivenKey", KEY)


def any_warehouse(stack: Stack, name: str = "Warehouse", **changed: Any) -> Warehouse:
    arguments: dict[str, Any] = {
        "stage": "dev",
        "lake": DataLake(stack, f"{name}Lake", stage="dev"),
        "workloads": ["flights"],
        "key": any_key(stack),
        "vpc_id": "vpc-1",
        "subnet_ids": SUBNETS,
    }
    return Warehouse(stack, name, **{**arguments, **changed})


def any_cache(stack: Stack, **changed: Any) -> DatasetCache:
    arguments: dict[str, Any] = {
        "bucket_name": "datasets",
        "key": any_key(stack),
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-1",
        "client_group_id": "sg-jobs",
    }
    return DatasetCache(stack, "Cache", **{**arguments, **changed})


def statements(stack: Stack) -> list[dict[str, Any]]:
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    return [each for policy in policies for each in policy["Properties"]["PolicyDocument"]["Statement"]]


def test_a_warehouse_is_private_encrypted_and_speaks_tls_only(stack: Stack) -> None:
    any_warehouse(stack)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::RedshiftServerless::Workgroup",
        {
            "PubliclyAccessible": False,
            "ConfigParameters": [{"ParameterKey": "require_ssl", "ParameterValue": "true"}],
            "SubnetIds": list(SUBNETS),
        },
    )
    template.has_resource(
        "AWS::RedshiftServerless::Namespace",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {"ManageAdminPassword": True, "AdminUserPassword": Match.absent(), "KmsKeyId": KEY},
        },
    )
    (group,) = template.find_resources("AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group["Properties"]


def test_a_warehouse_writes_exports_only(stack: Stack) -> None:
    any_warehouse(stack)
    written = [each for each in statements(stack) if "s3:PutObject" in each["Action"]]
    assert [json.dumps(each["Resource"]).count("flights/exports/*") for each in written] == [1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base_rpu": 12}, "capacity must be a multiple of 8 from 8 to 512, got: 12"),
        ({"base_rpu": 16, "max_rpu": 8}, r"max_rpu must be at least base_rpu \(16\), got: 8"),
        ({"subnet_ids": SUBNETS[:2]}, "a warehouse needs at least 3 subnets, got: 2"),
    ],
)
def test_refuses_a_warehouse_that_redshift_does_not_offer(stack: Stack, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        any_warehouse(stack, **changed)


def test_people_see_statements_of_their_own_only(stack: Stack) -> None:
    any_warehouse(stack).grant_connect("ml_engineer", "arn:aws:iam::000000000000:role/ml")
    (own,) = [each for each in statements(stack) if "redshift-data:GetStatementResult" in each["Action"]]
    assert own["Condition"] == {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}}


def test_a_file_system_shows_the_datasets_and_writes_nothing_back(stack: Stack) -> None:
    any_cache(stack)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::FSx::DataRepositoryAssociation",
        {
            "FileSystemPath": "/datasets",
            "DataRepositoryPath": "s3://datasets/",
            "S3": {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}, "AutoExportPolicy": Match.absent()},
        },
    )


def test_a_file_system_is_reached_by_jobs_only(stack: Stack) -> None:
    any_cache(stack)
    rules = Template.from_stack(stack).find_resources("AWS::EC2::SecurityGroupIngress").values()
    sources = {json.dumps(rule["Properties"]["SourceSecurityGroupId"]) for rule in rules}
    assert len(rules) == 4
    assert '"sg-jobs"' in sources
    assert len(sources) == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"capacity_gb": 3600}, "capacity_gb must be 1200 or a multiple of 2400, got: 3600"),
        ({"throughput": 100}, "throughput must be one of 125, 250, 500, 1000, got: 100"),
    ],
)
def test_refuses_a_file_system_that_fsx_does_not_offer(stack: Stack, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        any_cache(stack, **changed)


def test_a_channel_reads_a_split_beside_its_manifest() -> None:
    place = LustrePlace("fs-1", "/mount/datasets", "datasets")
    channel: Any = lustre_channel("train", "$m", place)
    source = channel["DataSource"]["FileSystemDataSource"]
    assert source["FileSystemAccessMode"] == "ro"
    assert source["DirectoryPath"] == (
        "{% '/mount/datasets' & $substringBefore($substringAfter($m, 's3://datasets'), '.manifest') %}"
    )


def test_an_iceberg_table_is_partitioned_by_version_and_stays(stack: Stack) -> None:
    columns = {"amount": "bigint", "late": "boolean", "_event_time": "timestamp"}
    IcebergTable(stack, "History", database="dev_curated", name="t_1", location="s3://curated/t", columns=columns)
    (table,) = Template.from_stack(stack).find_resources("AWS::Glue::Table").values()
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    given = table["Properties"]["OpenTableFormatInput"]["IcebergInput"]["IcebergTableInput"]
    assert [(field["Id"], field["Name"], field["Type"]) for field in given["Schema"]["Fields"]] == [
        (1, "amount", "long"),
        (2, "late", "boolean"),
        (3, "_event_time", "timestamptz"),
        (4, "version", "string"),
    ]
    assert given["PartitionSpec"]["Fields"] == [{"Name": "version", "SourceId": 4, "Transform": "identity"}]


def test_other_columns_are_another_iceberg_table() -> None:
    before, after = (history_table("flights", columns) for columns in ({"a": "int"}, {"a": "bigint"}))
    assert before != after
    assert before.startswith("flights_history_")


def test_the_job_of_views_knows_iceberg_and_may_hand_its_role_to_the_catalogue_only(stack: Stack) -> None:
    MaterialisedViews(
        stack,
        "Views",
        name="dev-flights-views",
        table="flights_history_1",
        workload="flights",
        views={"by_carrier": View(sql="SELECT carrier FROM {features}")},
        lake=DataLake(stack, "Lake", stage="dev"),
        key=any_key(stack),
        alarms=SILENCE,
    )
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Glue::Job", {"DefaultArguments": Match.object_like({"--datalake-formats": "iceberg"})}
    )
    (passed,) = [each for each in statements(stack) if each["Action"] == "iam:PassRole"]
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
