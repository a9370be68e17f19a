from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Match, Template

from constructs_lib.data_lake import DataLake
from constructs_lib.lake_governance import LakeGovernance
from constructs_lib.lake_grants import grant_location, grant_tagged
from constructs_lib.lake_locations import LakeLocations
from constructs_lib.lake_settings import LakeSettings
from constructs_lib.lake_tags import tag_columns, tag_database, tag_table
from constructs_lib.names.governance import MOST_VALUES, GovernedTable, tag_values
from constructs_lib.personas import Personas
from constructs_lib.workload_governance import WorkloadGovernance

ADMINISTRATOR = "arn:aws:iam::111122223333:role/deploys"
ACCOUNT = {"Ref": "AWS::AccountId"}
LAKE_FORMATION = "AWS::LakeFormation::"


def resources(stack: Stack, kind: str) -> dict[str, Any]:
    return dict(Template.from_stack(stack).find_resources(kind))


def test_settings_add_an_administrator_before_any_tag_key_is_made(stack: Stack) -> None:
    LakeSettings(stack, "Settings", administrator=ADMINISTRATOR, tags={"zone": ["a", "b"]})
    template = Template.from_stack(stack)
    template.has_resource(
        f"{LAKE_FORMATION}DataLakeSettings",
        {
            "DeletionPolicy": "Retain",
            "Properties": {
                "Admins": [{"DataLakePrincipalIdentifier": ADMINISTRATOR}],
                "CreateDatabaseDefaultPermissions": [],
                "CreateTableDefaultPermissions": [],
                "MutationType": "APPEND",
            },
        },
    )
    template.has_resource(
        f"{LAKE_FORMATION}Tag",
        {
            "DependsOn": list(resources(stack, f"{LAKE_FORMATION}DataLakeSettings")),
            "Properties": {"CatalogId": ACCOUNT, "TagKey": "zone", "TagValues": ["a", "b"]},
        },
    )


def test_a_location_is_read_with_a_role_that_only_lake_formation_of_this_account_takes(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    LakeLocations(
        stack,
        "Locations",
        bucket_arns={"raw": "arn:aws:s3:::raw"},
        datasets_arn="arn:aws:s3:::datasets",
        key=key,
        workloads=["one", "two"],
    )
    template = Template.from_stack(stack)
    template.has_resource_properties(
        f"{LAKE_FORMATION}Resource",
        {
            "ResourceArn": "arn:aws:s3:::raw",
            "RoleArn": {"Fn::GetAtt": [Match.string_like_regexp("LocationsRole"), "Arn"]},
            "UseServiceLinkedRole": False,
        },
    )
    template.has_resource_properties(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Statement": [
                    {
                        "Action": "sts:AssumeRole",
                        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
                        "Effect": "Allow",
                        "Principal": {"Service": "lakeformation.amazonaws.com"},
                    }
                ],
            }
        },
    )
    (policy,) = resources(stack, "AWS::IAM::Policy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    objects = next(each for each in statements if "s3:PutObject" in each["Action"])
    assert objects["Resource"] == ["arn:aws:s3:::raw/one/*", "arn:aws:s3:::raw/two/*"]
    indexes = next(each for each in statements if each["Action"] == "s3:GetObject")
    assert indexes["Resource"] == ["arn:aws:s3:::datasets/one/index/*", "arn:aws:s3:::datasets/two/index/*"]


def test_tags_go_onto_databases_tables_and_columns(stack: Stack) -> None:
    tag_database(stack, "OnDatabase", database="lake", tags={"zone": "raw"})
    tag_table(stack, "OnTable", database="lake", table="rows", tags={"zone": "raw"})
    tag_columns(stack, "OnColumns", database="lake", table="rows", columns=["a", "b"], tags={"sensitivity": "high"})
    found = [each["Properties"] for each in resources(stack, f"{LAKE_FORMATION}TagAssociation").values()]
    assert [each["Resource"] for each in found] == [
        {"Database": {"CatalogId": ACCOUNT, "Name": "lake"}},
        {"Table": {"CatalogId": ACCOUNT, "DatabaseName": "lake", "Name": "rows"}},
        {
            "TableWithColumns": {
                "CatalogId": ACCOUNT,
                "DatabaseName": "lake",
                "Name": "rows",
                "ColumnNames": ["a", "b"],
            }
        },
    ]
    assert found[2]["LFTags"] == [{"CatalogId": ACCOUNT, "TagKey": "sensitivity", "TagValues": ["high"]}]


def test_grants_are_by_tags_or_on_a_location_and_cannot_be_passed_on(stack: Stack) -> None:
    grant_tagged(stack, "Tagged", principal="role", kind="TABLE", expression={"zone": ["raw"]}, permissions=["SELECT"])
    grant_location(stack, "Location", principal="role", location_arn="arn:aws:s3:::raw")
    found = [each["Properties"] for each in resources(stack, f"{LAKE_FORMATION}PrincipalPermissions").values()]
    assert [each["Resource"] for each in found] == [
        {
            "LFTagPolicy": {
                "CatalogId": ACCOUNT,
                "ResourceType": "TABLE",
                "Expression": [{"TagKey": "zone", "TagValues": ["raw"]}],
            }
        },
        {"DataLocation": {"CatalogId": ACCOUNT, "ResourceArn": "arn:aws:s3:::raw"}},
    ]
    assert [each["PermissionsWithGrantOption"] for each in found] == [[], []]


def personas(stack: Stack, **roles: str) -> Personas:
    return Personas(stack, "Personas", stage="dev", roles=roles, databases=["dev_curated"], workloads=["one"])


def test_a_persona_is_taken_by_those_who_carry_its_tag(stack: Stack) -> None:
    personas(stack)
    for role in resources(stack, "AWS::IAM::Role").values():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        (tagged,) = statement["Condition"]["StringEquals"].items()
        assert tagged[0] == "aws:PrincipalTag/gapless:dev"
        assert tagged[1].replace("_", " ").capitalize() in (
            "Data engineer",
            "Data scientist",
            "Ml engineer",
            "Auditor",
        )


def test_people_query_where_results_need_no_bucket(stack: Stack) -> None:
    made = personas(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Athena::WorkGroup",
        {
            "Name": made.workgroup_name,
            "WorkGroupConfiguration": {
                "EnforceWorkGroupConfiguration": True,
                "ManagedQueryResultsConfiguration": {"Enabled": True},
            },
        },
    )


def test_a_role_that_is_given_is_used_as_it_is(stack: Stack) -> None:
    made = personas(stack, auditor="arn:aws:iam::111122223333:role/audits")
    assert made.role_arns["auditor"] == "arn:aws:iam::111122223333:role/audits"
    assert len(resources(stack, "AWS::IAM::Role")) == len(made.role_arns) - 1


def test_refuses_a_persona_that_does_not_exist(stack: Stack) -> None:
    with pytest.raises(ValueError, match=r"personas must be of data_engineer, .* got: boss"):
        personas(stack, boss="arn:aws:iam::111122223333:role/boss")


def test_a_governed_lake_closes_new_tables_and_an_ungoverned_one_leaves_them_to_iam(stack: Stack) -> None:
    DataLake(stack, "Governed", stage="dev", administrator=ADMINISTRATOR)
    DataLake(stack, "Ungoverned", stage="test")
    inputs = [each["Properties"]["DatabaseInput"] for each in resources(stack, "AWS::Glue::Database").values()]
    closed = {each["Name"].partition("_")[0]: each.get("CreateTableDefaultPermissions") for each in inputs}
    assert closed == {"dev": [], "test": None}


def test_governance_of_two_lakes_lives_in_one_stack(stack: Stack) -> None:
    for stage in ("dev", "test"):
        lake = DataLake(stack, f"Lake{stage}", stage=stage, administrator=ADMINISTRATOR)
        governance = LakeGovernance(
            stack, f"Governance{stage}", stage=stage, lake=lake, administrator=ADMINISTRATOR, workloads=["one"]
        )
        assert governance.personas.workgroup_name == f"{stage}-people"
    assert len(resources(stack, f"{LAKE_FORMATION}Resource")) == 10


def test_pipelines_are_granted_after_the_tags_of_every_table_and_column(stack: Stack) -> None:
    lake = DataLake(stack, "Lake", stage="dev", administrator=ADMINISTRATOR)
    table = GovernedTable("curated", "one_rows", ("a", "b"), ("b",))
    governance = WorkloadGovernance(
        stack,
        "Tables",
        stage="dev",
        workload="one",
        lake=lake,
        tables={table: lake.database_resources["curated"]},
    )
    governance.grant_rows("Job", "role", ["curated"])
    tags = set(resources(stack, f"{LAKE_FORMATION}TagAssociation"))
    assert len(tags) == 2
    granted = resources(stack, f"{LAKE_FORMATION}PrincipalPermissions")
    assert [set(each["DependsOn"]) for each in granted.values()] == [tags, tags]
    assert [each["Properties"]["Permissions"] for each in granted.values()] == [
        ["DESCRIBE"],
        ["DESCRIBE", "SELECT", "INSERT"],
    ]


def test_refuses_more_domains_than_a_tag_key_takes() -> None:
    workloads = [f"workload_{number}" for number in range(MOST_VALUES)]
    with pytest.raises(ValueError, match=r"at most 50 domains .* got: 51"):
        tag_values(["dev"], workloads)
    assert len(tag_values(["dev"], workloads[1:])["domain"]) == MOST_VALUES
