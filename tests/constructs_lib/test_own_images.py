"""A workload's own images: where they are kept, what builds them, and how the model machine finds or builds one."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import NoAlarms
from constructs_lib.grants import ServiceRole
from constructs_lib.image_build import ImageBuild
from constructs_lib.image_repository import ImageRepository

KEY = "arn:aws:kms:us-east-1:000000000000:key/lake"
DOCKER = """#!/bin/sh
echo "docker $*" >> "$LOG"
[ "$1" = push ] && [ -n "$TAKEN" ] && exit 1
exit 0
"""
AWS = """#!/bin/sh
echo "aws $2" >> "$LOG"
case "$2" in
  describe-images) if [ -n "$THERE" ] || { [ -n "$TAKEN" ] && grep -q push "$LOG"; }; then exit 0; else exit 255; fi;;
esac
"""


@pytest.fixture
def key(stack: Stack) -> kms.IKey:
    return kms.Key.from_key_arn(stack, "Key", KEY)


@pytest.fixture
def repository(stack: Stack, key: kms.IKey) -> ImageRepository:
    return ImageRepository(stack, "Images", name="dev-boxes-images", key=key)


@pytest.fixture
def build(stack: Stack, key: kms.IKey, repository: ImageRepository, tmp_path: Path) -> ImageBuild:
    folder = tmp_path / "container"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return ImageBuild(
        stack,
        "Build",
        name="dev-boxes-image",
        folder=folder,
        tag="0123",
        repository=repository,
        machine="medium",
        minutes=30,
        key=key,
        alarms=NoAlarms(reason="nobody is told of a test"),
        log_retention_days=30,
    )


def statements(template: Template) -> list[dict[str, Any]]:
    policies = template.find_resources("AWS::IAM::Policy").values()
    return [each for policy in policies for each in policy["Properties"]["PolicyDocument"]["Statement"]]


def actions(template: Template) -> set[str]:
    found = [each["Action"] for each in statements(template)]
    return {action for each in found for action in (each if isinstance(each, list) else [each])}


def test_images_are_scanned_encrypted_and_never_change_under_a_tag(stack: Stack, repository: ImageRepository) -> None:
    Template.from_stack(stack).has_resource(
        "AWS::ECR::Repository",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "RepositoryName": "dev-boxes-images",
                "ImageTagMutability": "IMMUTABLE",
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": KEY},
                "EmptyOnDelete": False,
            },
        },
    )


def test_only_images_without_a_tag_go_by_themselves(stack: Stack, repository: ImageRepository) -> None:
    (found,) = Template.from_stack(stack).find_resources("AWS::ECR::Repository").values()
    (rule,) = json.loads(found["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"


def test_a_stage_that_may_be_removed_takes_its_images_along(stack: Stack, key: kms.IKey) -> None:
    ImageRepository(stack, "Images", name="dev-boxes-images", key=key, removal_policy=RemovalPolicy.DESTROY)
    Template.from_stack(stack).has_resource(
        "AWS::ECR::Repository", {"DeletionPolicy": "Delete", "Properties": {"EmptyOnDelete": True}}
    )


def test_nothing_starts_a_build_by_itself_and_it_ends_in_time(stack: Stack, build: ImageBuild) -> None:
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::CodeBuild::Project",
        {
            "Name": "dev-boxes-image",
            "Triggers": Match.absent(),
            "VpcConfig": Match.absent(),
            "TimeoutInMinutes": 30,
            "QueuedTimeoutInMinutes": 15,
            "EncryptionKey": KEY,
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Environment": Match.object_like({"ComputeType": "BUILD_GENERAL1_MEDIUM", "PrivilegedMode": True}),
        },
    )
    template.has_resource_properties("AWS::Logs::LogGroup", {"KmsKeyId": KEY, "RetentionInDays": 30})


def test_a_build_may_push_to_its_repository_and_read_its_source_and_no_more(stack: Stack, build: ImageBuild) -> None:
    template = Template.from_stack(stack)
    everywhere = [each["Action"] for each in statements(template) if each["Resource"] == "*"]
    assert everywhere == ["ecr:GetAuthorizationToken"]
    assert {action for action in actions(template) if not action.startswith("ecr:")} == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetBucketAcl",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:GetObjectVersion",
    }
    (role,) = template.find_resources("AWS::IAM::Role").values()
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "codebuild.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_a_machine_may_start_this_build_and_wait_for_it(stack: Stack, build: ImageBuild) -> None:
    build.grant_run(ServiceRole(stack, "Machine", service="states.amazonaws.com", description="Runs"))
    granted = [each for each in statements(Template.from_stack(stack)) if "codebuild:StartBuild" in each["Action"]]
    assert granted[0]["Action"] == ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"]
    assert "project/dev-boxes-image" in json.dumps(granted[0]["Resource"])


@pytest.mark.parametrize(
    ("surroundings", "code", "called"),
    [
        ({}, 0, ["describe-images", "get-login-password", "login", "build", "push"]),
        ({"THERE": "1"}, 0, ["describe-images"]),
        ({"TAKEN": "1"}, 0, ["describe-images", "get-login-password", "login", "build", "push", "describe-images"]),
    ],
    ids=["missing", "there", "made meanwhile"],
)
def test_the_commands_build_what_is_missing_and_take_what_another_build_has_made(
    stack: Stack, build: ImageBuild, tmp_path: Path, surroundings: dict[str, str], code: int, called: list[str]
) -> None:
    (project,) = Template.from_stack(stack).find_resources("AWS::CodeBuild::Project").values()
    (commands,) = json.loads(project["Properties"]["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("docker", DOCKER), ("aws", AWS)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "LOG": str(tmp_path / "log"),
        "REPOSITORY": "dev-boxes-images",
        "TAG": "0123",
        "URI": "000000000000.dkr.ecr.us-east-1.amazonaws.com/dev-boxes-images",
        "THERE": "",
        "TAKEN": "",
        **surroundings,
    }
    done = subprocess.run(["bash", "-c", commands], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert sorted(line.split()[1] for line in (tmp_path / "log").read_text().splitlines()) == sorted(called)
