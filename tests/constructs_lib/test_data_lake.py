from typing import Any, cast

import pytest
from aws_cdk import App, CfnElement, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from constructs_lib.data_lake import DataLake


def any_role(stack: Stack, name: str = "Role") -> iam.Role:
    return iam.Role(stack, name, assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))


def statements(template: Template) -> list[dict[str, Any]]:
    policies = template.find_resources("AWS::IAM::Policy").values()
    return [each for policy in policies for each in policy["Properties"]["PolicyDocument"]["Statement"]]


def actions(template: Template) -> set[str]:
    found: set[str] = set()
    for statement in statements(template):
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


@pytest.fixture
def lake(stack: Stack) -> DataLake:
    return DataLake(stack, "Lake", stage="dev")


def test_every_zone_is_encrypted_closed_versioned_and_logged(stack: Stack, lake: DataLake) -> None:
    template = Template.from_stack(stack)
    for bucket in (*lake.buckets.values(), lake.query_results):
        name = stack.get_logical_id(cast(CfnElement, bucket.node.default_child))
        properties = template.to_json()["Resources"][name]["Properties"]
        encryption = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert properties["LoggingConfiguration"]["LogFilePrefix"] == f"{bucket.node.id.lower()}/"
        assert properties["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_access_logs_come_from_buckets_of_the_account_only(stack: Stack, lake: DataLake) -> None:
    Template.from_stack(stack).has_resource_properties(
        "AWS::S3::BucketPolicy",
        {
            "Bucket": {"Ref": Match.string_like_regexp("AccessLogs")},
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Principal": {"Service": "logging.s3.amazonaws.com"},
                                "Action": "s3:PutObject",
                                "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
                            }
                        )
                    ]
                )
            },
        },
    )


def test_zones_refuse_requests_without_tls(stack: Stack, lake: DataLake) -> None:
    template = Template.from_stack(stack)
    policies = template.find_resources("AWS::S3::BucketPolicy").values()
    assert len(policies) == len(lake.buckets) + 2
    for policy in policies:
        denied = [each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [each["Condition"] for each in denied]


def test_tags_remove_nothing_unless_somebody_retires_datasets(stack: Stack, lake: DataLake) -> None:
    assert "TagFilters" not in str(Template.from_stack(stack).to_json())


def test_needs_no_custom_resource(stack: Stack, lake: DataLake) -> None:
    types = {each["Type"] for each in Template.from_stack(stack).to_json()["Resources"].values()}
    assert not {each for each in types if each.startswith(("Custom::", "AWS::Lambda::"))}


def test_data_stays_when_the_stack_goes(stack: Stack, lake: DataLake) -> None:
    template = Template.from_stack(stack)
    for kind in ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::DynamoDB::Table", "AWS::Glue::Database"):
        template.all_resources(kind, {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"})
    template.all_resources_properties("AWS::DynamoDB::Table", {"DeletionProtectionEnabled": True})


def test_data_goes_with_the_stack_when_told_so(stack: Stack) -> None:
    DataLake(stack, "Lake", stage="dev", removal_policy=RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    for kind in ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::DynamoDB::Table", "AWS::Glue::Database"):
        template.all_resources(kind, {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"})
    template.all_resources_properties("AWS::DynamoDB::Table", {"DeletionProtectionEnabled": False})


def test_a_database_for_each_zone_of_the_catalogue(stack: Stack, lake: DataLake) -> None:
    assert lake.databases == {
        "landing": "dev_landing",
        "validated": "dev_validated",
        "quarantine": "dev_quarantine",
        "curated": "dev_curated",
    }
    template = Template.from_stack(stack)
    for name in lake.databases.values():
        template.has_resource_properties("AWS::Glue::Database", {"DatabaseInput": {"Name": name}})


def test_queries_cannot_choose_where_their_results_go(stack: Stack, lake: DataLake) -> None:
    Template.from_stack(stack).has_resource_properties(
        "AWS::Athena::WorkGroup",
        {
            "Name": lake.athena_workgroup_name,
            "WorkGroupConfiguration": {
                "EnforceWorkGroupConfiguration": True,
                "ResultConfiguration": {"EncryptionConfiguration": {"EncryptionOption": "SSE_KMS"}},
            },
        },
    )


def test_the_security_configuration_encrypts_output_logs_and_bookmarks(stack: Stack, lake: DataLake) -> None:
    Template.from_stack(stack).has_resource_properties(
        "AWS::Glue::SecurityConfiguration",
        {
            "Name": lake.security_configuration_name,
            "EncryptionConfiguration": {
                "S3Encryptions": [{"S3EncryptionMode": "SSE-KMS"}],
                "CloudWatchEncryption": {"CloudWatchEncryptionMode": "SSE-KMS"},
                "JobBookmarksEncryption": {"JobBookmarksEncryptionMode": "CSE-KMS"},
            },
        },
    )


def test_tables_can_be_restored_and_leases_expire(stack: Stack, lake: DataLake) -> None:
    template = Template.from_stack(stack)
    template.all_resources_properties(
        "AWS::DynamoDB::Table",
        {
            "BillingMode": "PAY_PER_REQUEST",
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": Match.object_like({"SSEEnabled": True, "SSEType": "KMS"}),
        },
    )
    template.has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "KeySchema": [{"AttributeName": "lease", "KeyType": "HASH"}],
            "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        },
    )


def test_a_reader_lists_and_reads_one_prefix_and_nothing_else(stack: Stack, lake: DataLake) -> None:
    lake.grant_read(any_role(stack), "validated", "flight_delays/")
    template = Template.from_stack(stack)
    assert actions(template) == {
        "s3:GetObject",
        "s3:ListBucket",
        "s3:GetBucketLocation",
        "kms:Decrypt",
        "kms:DescribeKey",
    }
    objects = {
        "Fn::Join": ["", [{"Fn::GetAtt": [Match.string_like_regexp("LakeValidated"), "Arn"]}, "/flight_delays/*"]]
    }
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with([Match.object_like({"Action": "s3:GetObject", "Resource": objects})])
            }
        },
    )
    listing = next(each for each in statements(template) if "s3:ListBucket" in each["Action"])
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": ["flight_delays/*", "flight_delays"]}}


def test_a_writer_can_neither_read_nor_delete(stack: Stack, lake: DataLake) -> None:
    lake.grant_write(any_role(stack), "curated", "flight_delays/")
    assert actions(Template.from_stack(stack)) == {
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
    }


def test_who_lands_files_writes_to_the_landing_zone_only(stack: Stack, lake: DataLake) -> None:
    lake.grant_land(any_role(stack), "flight_delays")
    writing = next(each for each in statements(Template.from_stack(stack)) if "s3:PutObject" in each["Action"])
    assert "LakeLanding" in str(writing["Resource"])
    assert "/flight_delays/*" in str(writing["Resource"])


def test_deleting_is_a_grant_of_its_own(stack: Stack, lake: DataLake) -> None:
    lake.grant_delete(any_role(stack), "curated", "flight_delays/")
    assert actions(Template.from_stack(stack)) == {"s3:DeleteObject"}


def test_spark_finds_its_markers_beside_the_prefix_and_nothing_else_there(stack: Stack, lake: DataLake) -> None:
    lake.grant_spark(any_role(stack), "curated", "flights/april/")
    found = [each for each in statements(Template.from_stack(stack)) if "s3:PutObject" in each["Action"]]
    beside = next(each for each in found if "_$folder$" in str(each["Resource"]))
    assert set(beside["Action"]) == {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    names = {resource["Fn::Join"][1][-1] for resource in beside["Resource"]}
    assert names == {"/flights_$folder$", "/flights/april_$folder$"}
    assert "s3:ListBucketMultipartUploads" in actions(Template.from_stack(stack))


@pytest.mark.parametrize("policy", [RemovalPolicy.DESTROY, RemovalPolicy.RETAIN])
def test_queries_that_ran_keep_only_a_kept_workgroup_from_going(stack: Stack, policy: RemovalPolicy) -> None:
    DataLake(stack, "Other", stage="other", removal_policy=policy)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Athena::WorkGroup", {"Name": "other-lake", "RecursiveDeleteOption": policy == RemovalPolicy.DESTROY}
    )


def test_a_reader_of_the_catalogue_cannot_change_it(stack: Stack, lake: DataLake) -> None:
    lake.grant_catalog(any_role(stack), "curated", "flight_delays")
    template = Template.from_stack(stack)
    assert {each.split(":")[1][:3] for each in actions(template)} == {"Get", "Bat"}
    resources = str(statements(template)[0]["Resource"])
    assert ":database/dev_curated" in resources
    assert ":table/dev_curated/flight_delays_*" in resources


def test_a_writer_of_the_catalogue_defines_tables_and_partitions_and_deletes_none(stack: Stack, lake: DataLake) -> None:
    lake.grant_catalog(any_role(stack), "curated", "flight_delays", write=True)
    granted = actions(Template.from_stack(stack))
    assert {"glue:CreateTable", "glue:UpdateTable", "glue:CreatePartition", "glue:UpdatePartition"} <= granted
    assert not {each for each in granted if "Delete" in each}


def test_who_points_partitions_at_files_cannot_change_tables(stack: Stack, lake: DataLake) -> None:
    lake.grant_partitions(any_role(stack), "curated", "flight_delays")
    template = Template.from_stack(stack)
    assert actions(template) == {"glue:GetTable", "glue:CreatePartition", "glue:UpdatePartition"}
    assert ":table/dev_curated/flight_delays_*" in str(statements(template)[0]["Resource"])


def test_a_table_is_granted_action_by_action(stack: Stack, lake: DataLake) -> None:
    lake.grant_table(any_role(stack), lake.runs_table, "dynamodb:PutItem", "dynamodb:UpdateItem")
    granted = {each for each in actions(Template.from_stack(stack)) if each.startswith("dynamodb:")}
    assert granted == {"dynamodb:PutItem", "dynamodb:UpdateItem"}


@pytest.mark.parametrize("prefix", ["", "flight_delays", "/flight_delays/", "/"])
def test_refuses_a_prefix_that_would_reach_further(stack: Stack, lake: DataLake, prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix must end in '/' and not start with it"):
        lake.grant_read(any_role(stack), "curated", prefix)


def test_reaches_other_stacks_without_exports(app: App, stack: Stack, lake: DataLake) -> None:
    other = Stack(app, "Other")
    lake.grant_read(any_role(other), "datasets", "flight_delays/")
    assert "Fn::ImportValue" not in str(Template.from_stack(other).to_json())
    assert "Export" not in str(Template.from_stack(stack).to_json().get("Outputs", {}))


def test_two_lakes_live_in_one_stack(stack: Stack) -> None:
    DataLake(stack, "One", stage="dev")
    DataLake(stack, "Two", stage="test")
    Template.from_stack(stack)
