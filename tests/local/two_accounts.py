"""Two local servers as two accounts: what of the synthesised platform is deployed to them, and a model to promote."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError

from stacks.toolchain import find_node

find_node()

from aws_cdk import App  # noqa: E402

import sign_model.handler as signing  # noqa: E402
from constructs_lib.names.workload_file import WorkloadFile  # noqa: E402
from gapless_lambda import clients  # noqa: E402
from gapless_lambda.statement import OF_SIGNATURE  # noqa: E402
from gate.assembly import templates  # noqa: E402
from stacks.config import ROOT, PlatformConfig, project_context  # noqa: E402
from stacks.platform import build_platform  # noqa: E402
from tests.local.conftest import LocalServer, start_server  # noqa: E402

DEV, STAGING = "000000000000", "111111111111"
REGION = "us-east-1"
WORKLOAD = "flight_delays"
BOXED = "boxed_orders"
"""The workload with a container of its own."""

STACKS = {WORKLOAD: "FlightDelays", BOXED: "BoxedOrders"}
ROLE = "staging-flight-delays-pull"
ARCHIVE, BUNDLE, EVALUATION = b"an archive", b"scripts", b'{"metrics": {}}'
PROPERTIES = {
    "run_id": "run-1",
    "dataset_version": "v1",
    "bundle": hashlib.sha256(BUNDLE).hexdigest(),
    "model_sha256": "a" * 64,
}

TAKEN_BY_ROOT = {
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{STAGING}:root"},
    "Action": "sts:AssumeRole",
}
"""Tests that call the function by itself run it in their own process instead of Lambda, and take its role by hand."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """A server with deployed stacks of a stage."""

    server: LocalServer
    stage: str
    workload: str = WORKLOAD

    def deploy(self, name: str, template: Document) -> None:
        client = self.server.client("cloudformation")
        client.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"])
        waiter = client.get_waiter("stack_create_complete")
        try:
            waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        except WaiterError as error:
            events = client.describe_stack_events(StackName=name)["StackEvents"]
            failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
            raise AssertionError(f"{name}: {failed or events}") from error

    def output(self, name: str) -> str:
        """An output of the stack of the lake."""
        stack = self.server.client("cloudformation").describe_stacks(StackName=f"{self.stage}-DataLake")["Stacks"][0]
        found = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        return str(found[name])

    @property
    def folder(self) -> str:
        return f"s3://{self.output('ArtefactsBucket')}/{self.workload}/"

    def put(self, key: str, content: bytes) -> str:
        self.server.client("s3").put_object(
            Bucket=self.output("ArtefactsBucket"), Key=f"{self.workload}/{key}", Body=content
        )
        return self.folder + key

    def object_at(self, uri: str) -> Document:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        found: Document = self.server.client("s3").get_object(Bucket=bucket, Key=key)
        return found

    def name_of(self, part: str) -> str:
        """The name of something of the workload in this stage."""
        return f"{self.stage}-{self.workload.replace('_', '-')}-{part}"

    def listing(self) -> list[str]:
        """Keys of all artefacts."""
        listed = self.server.client("s3").list_objects_v2(Bucket=self.output("ArtefactsBucket"))
        return [each["Key"] for each in listed.get("Contents", [])]

    @property
    def runs_table(self) -> str:
        found = self.server.client("cloudformation").describe_stack_resources(StackName=f"{self.stage}-DataLake")
        (table,) = [
            each["PhysicalResourceId"]
            for each in found["StackResources"]
            if each["LogicalResourceId"].startswith("LakeRuns")
        ]
        return str(table)


@contextmanager
def acting(server: LocalServer, keys: Document, **settings: str) -> Iterator[None]:
    """Let functions run in this process, against a server, under these keys and with these settings."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_CA_BUNDLE": server.ca_file,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_SESSION_TOKEN": keys.get("session_token", ""),
            "WORKLOAD": WORKLOAD,
            **settings,
        }.items():
            environment.setenv(name, value)
        environment.setattr(boto3, "DEFAULT_SESSION", None)
        if "session_token" not in keys:
            environment.delenv("AWS_SESSION_TOKEN")
        clients.client.cache_clear()
        yield
    clients.client.cache_clear()


def stack_templates(folder: Path, origin: dict[str, str]) -> dict[str, Document]:
    """What the platform synthesises for a source and a receiver in two accounts."""
    place = {"region": REGION, "zones": ["us-east-1a", "us-east-1b"], "removable": True}
    stages = {
        "dev": {**place, "account": DEV},
        "staging": {**place, "account": STAGING, "promotion": {"source": "dev", **origin}},
    }
    app = App(context=project_context(), outdir=str(folder))
    folders = (ROOT / "workloads" / WORKLOAD, ROOT / "tests" / "everything" / "workloads" / BOXED)
    workloads = [WorkloadFile.load(each / "workload.yaml") for each in folders]
    build_platform(app, PlatformConfig.parse(stages, True), workloads)
    app.synth()
    return {each.stack: each.content for each in templates(folder)}


def store_alone(template: Document) -> Document:
    """Buckets, keys and tables of a lake, without its catalogue."""
    kinds = ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::KMS::Key", "AWS::DynamoDB::Table")
    kept = {name: each for name, each in template["Resources"].items() if each["Type"] in kinds}
    outputs = {name: template["Outputs"][name] for name in ("ArtefactsBucket", "KeyArn", "SigningKeyArn")}
    shared = {name: each for name, each in template["Outputs"].items() if refers_to_one_of(each, kept)}
    return {"Resources": kept, "Outputs": {**shared, **outputs}}


def refers_to_one_of(output: Document, names: Mapping[str, Any]) -> bool:
    """Whether an output, such as one for another stack, is of a resource that is kept."""
    value = output["Value"]
    return isinstance(value, dict) and (value.get("Ref") or value.get("Fn::GetAtt", [""])[0]) in names


def parts_of(template: Document, *names: str) -> Document:
    """The resources of a template whose ids start with one of these names, without alarms."""
    kept = {
        name: each
        for name, each in template["Resources"].items()
        if name.startswith(names) and each["Type"] != "AWS::CloudWatch::Alarm"
    }
    return {"Mappings": template["Mappings"], "Resources": kept}


def approved_model(
    dev: Account, archive: bytes = ARCHIVE, signing_key: str | None = None, image: str = "image@sha256:1"
) -> str:
    """Sign, register and approve a model as the source's machine and people do; returns its ARN.

    Args:
        signing_key: Signs it. Default: the source's key.
        image: Serves it.
    """
    trained = dev.put("training/job/output/model.tar.gz", archive)
    evaluation = dev.put("evaluations/e/evaluation.json", EVALUATION)
    dev.put(f"bundles/{PROPERTIES['bundle']}/sourcedir.tar.gz", BUNDLE)
    settings = {
        "MODELS_URI": f"{dev.folder}models/",
        "SIGNING_KEY_ARN": signing_key or dev.output("SigningKeyArn"),
        "WORKLOAD": dev.workload,
    }
    event: Any = {
        "properties": PROPERTIES,
        "containers": [{"Image": image, "ModelDataUrl": trained}],
        "evaluated": {
            "model_uri": trained,
            "archive_sha256": hashlib.sha256(archive).hexdigest(),
            "evaluation_uri": evaluation,
        },
    }
    with acting(dev.server, dev.server.document["credentials"], **settings):
        signed: Any = signing.handler(event, None)
    made = dev.server.client("sagemaker").create_model_package(
        ModelPackageGroupName=dev.name_of("models"),
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": signed["containers"],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={**PROPERTIES, **{name: signed[name] for name in OF_SIGNATURE}},
    )
    return str(made["ModelPackageArn"])


def upload_code(account: Account, template: Document, assembly: Path) -> None:
    """Put the code of functions where the template says that it is, as the CDK does before it deploys."""
    s3 = account.server.client("s3")
    for each in template["Resources"].values():
        if each["Type"] != "AWS::Lambda::Function":
            continue
        code = each["Properties"]["Code"]
        folder = assembly / f"asset.{code['S3Key'].removesuffix('.zip')}"
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(folder))
        s3.create_bucket(Bucket=code["S3Bucket"])
        s3.put_object(Bucket=code["S3Bucket"], Key=code["S3Key"], Body=content.getvalue())


def deploy_machine(account: Account, templates: Mapping[str, Document], assembly: Path) -> None:
    """Deploy the promotion machine with all that it consists of; a person may take the role that pulls as well."""
    stack = STACKS[account.workload]
    machine = parts_of(templates[f"staging-{stack}Workload"], "PromotionMachine", "PullFunction", "SigningVerify")
    for each in machine["Resources"].values():
        if each["Properties"].get("RoleName") == ROLE:
            each["Properties"]["AssumeRolePolicyDocument"]["Statement"].append(TAKEN_BY_ROOT)
    upload_code(account, machine, assembly)
    account.deploy(f"staging-{stack}State", whole(templates[f"staging-{stack}State"]))
    account.deploy(f"staging-{stack}Workload", machine)


def whole(template: Document) -> Document:
    """A template without what asks for a bootstrapped account."""
    return {name: template[name] for name in ("Resources", "Outputs") if name in template}


@contextmanager
def two_accounts(folder: Path) -> Iterator[tuple[Account, Account]]:
    """Start both servers and deploy their lakes, the source's registry, and the receiver's promotion machine.

    The receiver is told of the source what the source's outputs say, as people write it into ``cdk.json``; so that the
    platform is synthesised once, it is written into the receiver's templates.

    Args:
        folder: Where servers and the assembly are.
    """
    unknown = {
        name: f"{name.replace('_', '-')}-to-be-written-down" for name in ("artefacts_bucket", "key", "signing_key")
    }
    unknown |= {name: f"arn:aws:kms:{REGION}:{DEV}:key/{unknown[name]}" for name in ("key", "signing_key")}
    first = stack_templates(folder / "assembly", unknown)
    servers = []
    try:
        servers.append(start_server(folder / "dev"))
        dev = Account(servers[0], "dev")
        dev.deploy("dev-DataLake", store_alone(first["dev-DataLake"]))
        for stack in STACKS.values():
            dev.deploy(f"dev-{stack}State", whole(first[f"dev-{stack}State"]))
        origin = {
            "artefacts_bucket": dev.output("ArtefactsBucket"),
            "key": dev.output("KeyArn"),
            "signing_key": dev.output("SigningKeyArn"),
        }
        text = json.dumps(first)
        for name, value in unknown.items():
            text = text.replace(value, origin[name])
        second = json.loads(text)
        options = ("--wait-scale", "0.02", "--account", STAGING, "--neighbour", str(folder / "dev"))
        servers.append(start_server(folder / "staging", *options))
        staging = Account(servers[1], "staging")
        staging.deploy("staging-DataLake", store_alone(second["staging-DataLake"]))
        staging.deploy("staging-Operations", whole(second["staging-Operations"]))
        for workload in STACKS:
            deploy_machine(replace(staging, workload=workload), second, folder / "assembly")
        yield dev, staging
    finally:
        for server in servers:
            server.stop()
