"""Take a stage's stacks down with the real CDK CLI, and say what stays, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.aws import Aws
from local.cdk import run_cdk
from local.settings import Settings

KEEPING = ("Retain", "RetainExceptOnCreate", "Snapshot")
WHY = {
    "AWS::DynamoDB::Table": "holds records, which nothing else has",
    "AWS::ECR::Repository": "holds the images that models are served by",
    "AWS::Glue::Database": "says what the data that stay mean",
    "AWS::Glue::Table": "says where the rows that stay are",
    "AWS::KMS::Key": "what stays could not be read without it",
    "AWS::Lambda::Version": "is what an alias is taken back to, as long as there is its function",
    "AWS::LakeFormation::DataLakeSettings": "an account has it once, and others have set things there",
    "AWS::OpenSearchService::Domain": "holds logs and people's dashboards",
    "AWS::RedshiftServerless::Namespace": "holds data",
    "AWS::RedshiftServerless::Workgroup": "answers for the data of its namespace",
    "AWS::S3::Bucket": "holds data",
    "AWS::SageMaker::FeatureGroup": "holds the history of features",
    "AWS::SageMaker::MlflowApp": "holds experiments",
    "AWS::SageMaker::MlflowTrackingServer": "holds experiments",
    "AWS::SageMaker::ModelPackageGroup": "lists the models and what they were made of",
}
_RETAINED = "its template says that it is retained"
_PROTECTED = "protected against deletion, since it holds what is retained"
_LIVE = "belongs to the deployment machine, not to a template; it serves, and costs, until it is deleted"


@dataclass(frozen=True)
class StackArtifact:
    """One stack of an assembly.

    Attributes:
        path: How the CDK CLI names it, such as ``dev/Network``.
        protected: Whether CloudFormation refuses to delete it.
    """

    name: str
    path: str
    protected: bool
    resources: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Survivor:
    """What is still there afterwards.

    Attributes:
        stack: Where it was defined.
        what: A stack, resource or endpoint.
        why: Why it stays.
    """

    stack: str
    what: str
    why: str


def stage_stacks(assembly: Path, stage: str) -> list[StackArtifact]:
    """The stacks of a stage, as they were synthesised."""
    return [each for each in _stacks(assembly) if each.path.startswith(f"{stage}/")]


def survivors(stacks: Sequence[StackArtifact]) -> list[Survivor]:
    """What templates keep when their stacks go, and the stacks that do not go by themselves."""
    found = []
    for stack in stacks:
        if stack.protected:
            found.append(Survivor(stack.name, "the stack", _PROTECTED))
        for logical_id, resource in sorted(stack.resources.items()):
            if resource.get("DeletionPolicy") in KEEPING:
                why = WHY.get(resource["Type"], _RETAINED)
                found.append(Survivor(stack.name, f"{resource['Type']} {logical_id}", why))
    return found


def endpoints_of(aws: Aws, stage: str) -> list[Survivor]:
    """The endpoints that serve the stage's models."""
    pages = aws.client("sagemaker").get_paginator("list_endpoints").paginate(NameContains=f"{stage}-")
    names = [each["EndpointName"] for page in pages for each in page["Endpoints"]]
    return [Survivor("-", f"endpoint {name}", _LIVE) for name in names if name.startswith(f"{stage}-")]


def destroy_stacks(settings: Settings, aws: Aws, assembly: Path, stacks: Sequence[StackArtifact]) -> list[str]:
    """Destroy the stacks that may go; returns their names.

    Raises:
        Failure: The CDK CLI ended with an error.
    """
    going = [stack for stack in stacks if not stack.protected]
    options = ["--app", str(assembly), "--force", "--progress", "events"]
    log = settings.log_dir / "destroy.log"
    arguments = ["destroy", *(stack.path for stack in going), *options]
    run_cdk(settings, aws.server, arguments, log=log, on_line=lambda _: None)
    return [stack.name for stack in going]


def _stacks(folder: Path) -> Iterator[StackArtifact]:
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    for name, artifact in artifacts.items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            yield from _stacks(folder / properties["directoryName"])
        elif artifact["type"] == "aws:cloudformation:stack":
            template = json.loads((folder / properties["templateFile"]).read_text())
            yield StackArtifact(
                name=properties.get("stackName", name),
                path=artifact["displayName"],
                protected=bool(properties.get("terminationProtection")),
                resources=template.get("Resources", {}),
            )
