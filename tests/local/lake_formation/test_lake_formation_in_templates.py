"""Lake Formation's CloudFormation types."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

ADMIN = "AWS::LakeFormation::DataLakeSettings"


class Stack:
    """One stack of its own name on the shared server."""

    def __init__(self, server: Any) -> None:
        self.client = server.client("cloudformation")
        self.name = f"stack-{uuid.uuid4().hex[:10]}"
        self._made = False

    def deploy(self, resources: dict[str, Any]) -> None:
        body = json.dumps({"Resources": resources})
        act, event = (
            (self.client.update_stack, "stack_update_complete")
            if self._made
            else (self.client.create_stack, "stack_create_complete")
        )
        act(StackName=self.name, TemplateBody=body)
        self.client.get_waiter(event).wait(StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        self._made = True

    def delete(self) -> None:
        self.client.delete_stack(StackName=self.name)
        self.client.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})


@pytest.fixture
def stack(local_server: Any) -> Stack:
    return Stack(local_server)


def settings(*roles: str, **properties: Any) -> dict[str, Any]:
    admins = [{"DataLakePrincipalIdentifier": role} for role in roles]
    return {
        "Settings": {
            "Type": ADMIN,
            "Properties": {
                "Admins": admins,
                "CreateDatabaseDefaultPermissions": [],
                "CreateTableDefaultPermissions": [],
                "MutationType": "APPEND",
                **properties,
            },
        }
    }


def administrators(server: Any) -> list[str]:
    found = server.client("lakeformation").get_data_lake_settings()["DataLakeSettings"]["DataLakeAdmins"]
    return [each["DataLakePrincipalIdentifier"] for each in found]


def test_administrators_who_are_there_are_kept_when_appending(stack: Stack, local_server: Any) -> None:
    before, first, second = (local_server.role("glue.amazonaws.com") for _ in range(3))
    lf = local_server.client("lakeformation")
    lf.put_data_lake_settings(DataLakeSettings={"DataLakeAdmins": [{"DataLakePrincipalIdentifier": before}]})
    stack.deploy(settings(first))
    Stack(local_server).deploy(settings(second))
    assert administrators(local_server) == [before, first, second]
    found = lf.get_data_lake_settings()["DataLakeSettings"]
    assert found["CreateDatabaseDefaultPermissions"] == found["CreateTableDefaultPermissions"] == []


def test_administrators_are_replaced_only_when_told_so(stack: Stack, local_server: Any) -> None:
    before, now = (local_server.role("glue.amazonaws.com") for _ in range(2))
    lf = local_server.client("lakeformation")
    lf.put_data_lake_settings(DataLakeSettings={"DataLakeAdmins": [{"DataLakePrincipalIdentifier": before}]})
    stack.deploy(settings(now, MutationType="REPLACE"))
    assert administrators(local_server) == [now]


def governed(name: str, roles: tuple[str, str], *values: str) -> dict[str, Any]:
    """A bucket, its registration, a tag key, a tagged database and a grant."""
    location = {"Fn::GetAtt": ["Bucket", "Arn"]}
    expression = [{"TagKey": name, "TagValues": list(values)}]
    types = "AWS::LakeFormation"
    return {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
        "Database": {"Type": "AWS::Glue::Database", "Properties": {"DatabaseInput": {"Name": name}, "CatalogId": "0"}},
        "Location": {
            "Type": f"{types}::Resource",
            "Properties": {"ResourceArn": location, "RoleArn": roles[0], "UseServiceLinkedRole": False},
        },
        "Key": {"Type": f"{types}::Tag", "Properties": {"TagKey": name, "TagValues": list(values)}},
        "Tags": {
            "Type": f"{types}::TagAssociation",
            "DependsOn": ["Database", "Key"],
            "Properties": {
                "Resource": {"Database": {"CatalogId": "000000000000", "Name": name}},
                "LFTags": [{"CatalogId": "000000000000", "TagKey": name, "TagValues": [values[0]]}],
            },
        },
        "Grant": {
            "Type": f"{types}::PrincipalPermissions",
            "DependsOn": "Tags",
            "Properties": {
                "Principal": {"DataLakePrincipalIdentifier": roles[1]},
                "Resource": {
                    "LFTagPolicy": {"CatalogId": "000000000000", "ResourceType": "TABLE", "Expression": expression}
                },
                "Permissions": ["SELECT"],
                "PermissionsWithGrantOption": [],
            },
        },
    }


def test_locations_tags_and_grants_are_made_changed_and_removed(stack: Stack, local_server: Any) -> None:
    lf, name = local_server.client("lakeformation"), f"made-{uuid.uuid4().hex[:8]}"
    roles = (local_server.role("lakeformation.amazonaws.com"), local_server.role("glue.amazonaws.com"))
    principal = {"DataLakePrincipalIdentifier": roles[1]}
    stack.deploy(governed(name, roles, "one"))
    assert lf.describe_resource(ResourceArn=f"arn:aws:s3:::{name}")["ResourceInfo"]["RoleArn"] == roles[0]
    tags = lf.get_resource_lf_tags(Resource={"Database": {"Name": name}})["LFTagOnDatabase"]
    assert [(tag["TagKey"], tag["TagValues"]) for tag in tags] == [(name, ["one"])]

    stack.deploy(governed(name, roles, "one", "two"))
    assert lf.get_lf_tag(TagKey=name)["TagValues"] == ["one", "two"]
    (grant,) = lf.list_permissions(Principal=principal)["PrincipalResourcePermissions"]
    assert grant["Resource"]["LFTagPolicy"]["Expression"] == [{"TagKey": name, "TagValues": ["one", "two"]}]

    stack.delete()
    assert lf.list_permissions(Principal=principal)["PrincipalResourcePermissions"] == []
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        lf.get_lf_tag(TagKey=name)
    with pytest.raises(ClientError, match="not registered"):
        lf.describe_resource(ResourceArn=f"arn:aws:s3:::{name}")
