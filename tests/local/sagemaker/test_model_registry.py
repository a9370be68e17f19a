from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local.sagemaker.conftest import XGBOOST, Lab, archive, error_of, wait_for

ECHO_CODE = "def model_fn(d): return 1"


@pytest.fixture
def group(lab: Lab) -> str:
    name = lab.unique("models")
    lab.sagemaker.create_model_package_group(ModelPackageGroupName=name, ModelPackageGroupDescription="for tests")
    return name


def package_request(lab: Lab, group: str, **more: Any) -> dict[str, Any]:
    uri = lab.put("model.tar.gz", archive({"code/inference.py": ECHO_CODE}))
    container = {"Image": XGBOOST, "ModelDataUrl": uri, "Environment": {"SAGEMAKER_PROGRAM": "inference.py"}}
    return {
        "ModelPackageGroupName": group,
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        **more,
    }


def test_versions_count_up_in_a_group_and_are_never_used_again(lab: Lab, group: str) -> None:
    create = lab.sagemaker.create_model_package
    first = create(**package_request(lab, group))["ModelPackageArn"]
    second = create(**package_request(lab, group))["ModelPackageArn"]
    lab.sagemaker.delete_model_package(ModelPackageName=second)

    third = create(**package_request(lab, group))["ModelPackageArn"]

    assert first.endswith(f":model-package/{group}/1")
    assert third.endswith(f":model-package/{group}/3")
    described = lab.sagemaker.describe_model_package(ModelPackageName=third)
    assert (described["ModelPackageGroupName"], described["ModelPackageVersion"]) == (group, 3)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["ModelPackageStatus"] == "Completed"


def test_a_client_token_makes_one_package_only(lab: Lab, group: str) -> None:
    request = package_request(lab, group, ClientToken="run-1")

    first = lab.sagemaker.create_model_package(**request)["ModelPackageArn"]
    again = lab.sagemaker.create_model_package(**request)["ModelPackageArn"]

    assert first == again
    request["ModelPackageDescription"] = "another"
    assert error_of(lambda: lab.sagemaker.create_model_package(**request))[0] == "ConflictException"


def test_approval_is_an_event_that_says_what_changed(lab: Lab, group: str) -> None:
    arn = lab.sagemaker.create_model_package(**package_request(lab, group))["ModelPackageArn"]
    next_event = lab.listen({"detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]}})

    lab.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", CustomerMetadataProperties={"run_id": "r1"}
    )

    event = next_event()
    assert event["source"] == "aws.sagemaker"
    assert event["detail-type"] == "SageMaker Model Package State Change"
    assert event["resources"] == [arn]
    detail = event["detail"]
    assert detail["ModelPackageArn"] == arn
    assert detail["ModelPackageName"] == f"{group}/1"
    assert detail["ModelApprovalStatus"] == "Approved"
    assert detail["UpdatedModelPackageFields"] == ["CustomerMetadataProperties", "ModelApprovalStatus"]
    assert detail["CustomerMetadataProperties"] == {"run_id": "r1"}


def test_lists_the_newest_approved_package_first(lab: Lab, group: str) -> None:
    arns = [lab.sagemaker.create_model_package(**package_request(lab, group))["ModelPackageArn"] for _ in range(3)]
    for arn in arns[:2]:
        lab.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")

    listed = lab.sagemaker.list_model_packages(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )

    assert [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]] == [arns[1]]
    assert "NextToken" in listed


def test_a_group_with_packages_cannot_be_deleted(lab: Lab, group: str) -> None:
    arn = lab.sagemaker.create_model_package(**package_request(lab, group))["ModelPackageArn"]

    code, _ = error_of(lambda: lab.sagemaker.delete_model_package_group(ModelPackageGroupName=group))

    assert code == "ConflictException"
    lab.sagemaker.delete_model_package(ModelPackageName=arn)
    lab.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    code, message = error_of(lambda: lab.sagemaker.describe_model_package_group(ModelPackageGroupName=group))
    assert (code, "does not exist" in message) == ("ValidationException", True)


def test_a_model_of_a_package_needs_its_approval(lab: Lab, group: str) -> None:
    arn = lab.sagemaker.create_model_package(**package_request(lab, group))["ModelPackageArn"]
    request = {
        "ModelName": lab.unique("model"),
        "ExecutionRoleArn": lab.role,
        "PrimaryContainer": {"ModelPackageName": arn},
    }

    code, message = error_of(lambda: lab.sagemaker.create_model(**request))

    assert (code, "is not approved" in message) == ("ValidationException", True)
    lab.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    lab.sagemaker.create_model(**request)


def test_a_model_whose_role_cannot_read_the_artefact_is_refused(lab: Lab) -> None:
    request = {
        "ModelName": lab.unique("model"),
        "ExecutionRoleArn": lab.role_with(),
        "PrimaryContainer": {"Image": XGBOOST, "ModelDataUrl": lab.put("model.tar.gz", archive({}))},
    }

    code, message = error_of(lambda: lab.sagemaker.create_model(**request))

    assert code == "ValidationException"
    assert message.startswith("Could not access model data at s3://")
    assert "s3:GetObject" in message


def test_tags_are_kept_with_their_resource(lab: Lab) -> None:
    name = lab.unique("models")
    tags = [{"Key": "workload", "Value": "flight_delays"}]
    arn = lab.sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=tags)["ModelPackageGroupArn"]

    lab.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "dev"}])
    lab.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["workload"])

    assert lab.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "dev"}]
    assert error_of(lambda: lab.sagemaker.list_tags(ResourceArn=arn + "x"))[0] == "ValidationException"


def test_permissions_are_asked_for_on_the_package(lab: Lab, group: str) -> None:
    arn = lab.sagemaker.create_model_package(**package_request(lab, group))["ModelPackageArn"]
    actions = ["sagemaker:UpdateModelPackage", "sagemaker:CreateModelPackage"]
    mine = {"Effect": "Allow", "Action": actions, "Resource": arn.rpartition("/")[0] + "/*"}
    other = {"Effect": "Allow", "Action": actions, "Resource": arn.replace(group, "other")}
    allowed = lab.server.client_as("sagemaker", *lab.server.user(mine))
    denied = lab.server.client_as("sagemaker", *lab.server.user(other))

    allowed.create_model_package(**package_request(lab, group))
    allowed.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")

    update = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    assert error_of(lambda: denied.update_model_package(**update))[0] == "AccessDeniedException"
    assert error_of(lambda: denied.create_model_package(**package_request(lab, group)))[0] == "AccessDeniedException"


def test_a_policy_can_allow_nothing_but_taking_an_approval_back(lab: Lab, group: str) -> None:
    arn = lab.sagemaker.create_model_package(**package_request(lab, group))["ModelPackageArn"]
    rejecting = lab.server.client_as(
        "sagemaker",
        *lab.server.user(
            {
                "Effect": "Allow",
                "Action": "sagemaker:UpdateModelPackage",
                "Resource": arn,
                "Condition": {"StringEquals": {"sagemaker:ModelApprovalStatus": "Rejected"}},
            }
        ),
    )
    approve = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    assert error_of(lambda: rejecting.update_model_package(**approve))[0] == "AccessDeniedException"
    rejecting.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    assert lab.sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Rejected"


def test_an_operation_that_is_not_there_is_named(lab: Lab) -> None:
    code, message = error_of(lambda: lab.sagemaker.list_domains())

    assert (code, message) == ("UnknownOperationException", "ListDomains is not available on the local server")


def test_cloudformation_makes_a_group(lab: Lab) -> None:
    name, stack = lab.unique("models"), lab.unique("stack")
    resource = {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": name}}
    outputs = {"Ref": {"Value": {"Ref": "Group"}}, "Arn": {"Value": {"Fn::GetAtt": ["Group", "ModelPackageGroupArn"]}}}
    template = json.dumps({"Resources": {"Group": resource}, "Outputs": outputs})
    cloudformation = lab.client("cloudformation")
    cloudformation.create_stack(StackName=stack, TemplateBody=template)

    def status() -> str | None:
        described: str = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        return None if described.endswith("IN_PROGRESS") else described

    assert wait_for(status) == "CREATE_COMPLETE"

    group = lab.sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    values = {each["OutputValue"] for each in cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]}
    assert values == {group["ModelPackageGroupArn"]}
    cloudformation.delete_stack(StackName=stack)
    wait_for(lambda: lab.sagemaker.list_model_package_groups(NameContains=name)["ModelPackageGroupSummaryList"] == [])
