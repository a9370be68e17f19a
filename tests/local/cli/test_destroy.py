"""Stacks are destroyed by the real CDK CLI, and what stays is what was said to stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stacks.toolchain import find_node

find_node()

from aws_cdk import App, CfnDeletionPolicy, CfnResource, LegacyStackSynthesizer, Stack, Stage  # noqa: E402

from local.aws import Aws  # noqa: E402
from local.cdk import run_cdk  # noqa: E402
from local.destroy import Survivor, destroy_stacks, endpoints_of, stage_stacks, survivors  # noqa: E402
from local.settings import Settings  # noqa: E402

TABLE = {
    "TableName": "kept-table",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "run", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "run", "KeyType": "HASH"}],
}


def resource(stack: Stack, name: str, kind: str, properties: dict[str, Any], *, kept: bool) -> None:
    made = CfnResource(stack, name, type=kind, properties=properties)
    if kept:
        made.cfn_options.deletion_policy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage with a stack that is protected and one that is not; both hold something that is retained."""
    app = App(outdir=str(tmp_path_factory.mktemp("assembly") / "cdk.out"))
    stage = Stage(app, "dev")
    lake = Stack(stage, "Lake", termination_protection=True, synthesizer=LegacyStackSynthesizer())
    resource(lake, "Bucket", "AWS::S3::Bucket", {"BucketName": "kept-bucket"}, kept=True)
    pipelines = Stack(stage, "Pipelines", synthesizer=LegacyStackSynthesizer())
    resource(pipelines, "Queue", "AWS::SQS::Queue", {"QueueName": "gone-queue"}, kept=False)
    resource(pipelines, "Table", "AWS::DynamoDB::Table", TABLE, kept=True)
    Stack(Stage(app, "prod"), "Lake", synthesizer=LegacyStackSynthesizer())
    return Path(app.synth().directory)


def test_destroys_what_may_go_and_says_what_stays(settings: Settings, aws: Aws, assembly: Path) -> None:
    options = ["--app", str(assembly), "--require-approval", "never", "--method", "direct"]
    run_cdk(settings, aws.server, ["deploy", "dev/*", *options], log=settings.log_dir / "d.log", on_line=lambda _: None)
    stacks = stage_stacks(assembly, "dev")

    gone = destroy_stacks(settings, aws, assembly, stacks)

    assert gone == ["dev-Pipelines"]
    named = {each["StackName"] for each in aws.client("cloudformation").describe_stacks()["Stacks"]}
    assert "dev-Lake" in named
    assert "dev-Pipelines" not in named
    assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
    assert aws.client("dynamodb").list_tables()["TableNames"] == ["kept-table"]
    assert [each["Name"] for each in aws.client("s3").list_buckets()["Buckets"]] == ["kept-bucket"]
    assert survivors(stacks) == [
        Survivor("dev-Lake", "the stack", "protected against deletion, since it holds what is retained"),
        Survivor("dev-Lake", "AWS::S3::Bucket Bucket", "holds data"),
        Survivor("dev-Pipelines", "AWS::DynamoDB::Table Table", "holds records, which nothing else has"),
    ]
    assert endpoints_of(aws, "dev") == []
