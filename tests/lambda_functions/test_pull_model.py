"""A model goes from one stage to the next: only what the other stage has signed, and signed anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

import pull_model.handler as pulling
import sign_model.handler as signing
import verify_model.handler as verifying
from gapless_lambda import clients
from gapless_lambda.statement import OF_SIGNATURE
from gapless_lambda.verification import ArtefactTampered, PackageDiffers, SignatureMissing, StatementTampered, WrongKey

THERE, HERE = "s3://dev-artefacts/orders/", "s3://staging-artefacts/orders/"
GROUP = "dev-orders-models"
ARCHIVE, BUNDLE, EVALUATION = b"an archive", b"scripts", b'{"metrics": {"auc": 0.8}}'
TRAINED = f"{THERE}training/job/output/model.tar.gz"
PROPERTIES = {
    "run_id": "run-1",
    "dataset_version": "v1",
    "bundle": hashlib.sha256(BUNDLE).hexdigest(),
    "model_sha256": "a" * 64,
}


def address(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


@dataclass
class Stages:
    """Two stages: buckets, keys and the registry of the first."""

    s3: Any
    kms: Any
    sagemaker: Any
    dynamodb: Any
    environment: pytest.MonkeyPatch
    keys: dict[str, str]

    def put(self, uri: str, content: bytes) -> None:
        self.s3.put_object(**address(uri), Body=content)

    def get(self, uri: str) -> bytes:
        body: bytes = self.s3.get_object(**address(uri))["Body"].read()
        return body

    def here(self) -> set[str]:
        """What lies in the bucket of the second stage."""
        listed = self.s3.list_objects_v2(Bucket="staging-artefacts").get("Contents", [])
        return {f"s3://staging-artefacts/{each['Key']}" for each in listed}

    def act_as(self, stage: str, uri: str) -> None:
        """Let sign and verify be those of a stage."""
        self.environment.setenv("MODELS_URI", f"{uri}models/")
        self.environment.setenv("SIGNING_KEY_ARN", self.keys[stage])

    def register(self, status: str = "Approved", **changed: str) -> str:
        """Sign and register a model in the first stage; returns its ARN."""
        self.act_as("dev", THERE)
        container = {"Image": "image@sha256:1", "ModelDataUrl": TRAINED, "Environment": {"A": "b"}}
        evaluated = {
            "model_uri": TRAINED,
            "archive_sha256": hashlib.sha256(ARCHIVE).hexdigest(),
            "evaluation_uri": f"{THERE}evaluations/e/evaluation.json",
        }
        event: Any = {"properties": PROPERTIES, "containers": [container], "evaluated": evaluated}
        signed: Any = signing.handler(event, None)
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": signed["containers"],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            CustomerMetadataProperties={**PROPERTIES, **{name: signed[name] for name in OF_SIGNATURE}, **changed},
        )
        return str(made["ModelPackageArn"])

    def find(self) -> str:
        self.act_as("staging", HERE)
        found: Any = pulling.handler({}, None)
        return str(found["source_arn"])

    def pull(self, arn: str) -> dict[str, Any]:
        self.act_as("staging", HERE)
        return dict(pulling.handler({"source_arn": arn}, None))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stages]:
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        clients.client.cache_clear()
        s3, kms, sagemaker, dynamodb = (boto3.client(name) for name in ("s3", "kms", "sagemaker", "dynamodb"))
        for bucket in ("dev-artefacts", "staging-artefacts"):
            s3.create_bucket(Bucket=bucket)
        dynamodb.create_table(
            TableName="runs",
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        keys = {
            stage: kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
            for stage in ("dev", "staging")
        }
        stages = Stages(s3, kms, sagemaker, dynamodb, monkeypatch, keys)
        stages.put(TRAINED, ARCHIVE)
        stages.put(f"{THERE}evaluations/e/evaluation.json", EVALUATION)
        stages.put(f"{THERE}bundles/{PROPERTIES['bundle']}/sourcedir.tar.gz", BUNDLE)
        settings = {
            "WORKLOAD": "orders",
            "RUNS_TABLE": "runs",
            "BUNDLES_URI": f"{HERE}bundles/",
            "SOURCE_GROUP": GROUP,
            "SOURCE_MODELS_URI": f"{THERE}models/",
            "SOURCE_BUNDLES_URI": f"{THERE}bundles/",
            "SOURCE_SIGNING_KEY_ARN": keys["dev"],
            "IMAGES": "none",
            "SOURCE_IMAGES": "none",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield stages
    clients.client.cache_clear()


def test_finds_the_newest_approved_model_and_no_other(stages: Stages) -> None:
    assert stages.find() == "none"
    stages.register("PendingManualApproval")
    assert stages.find() == "none"
    older, newer = stages.register(), stages.register()
    stages.register("Rejected")
    assert older != newer
    assert stages.find() == newer


@pytest.mark.parametrize("status", ["promoted", "refused"])
def test_a_model_that_is_on_record_is_left_alone(stages: Stages, status: str) -> None:
    arn = stages.register()
    item = {"run": {"S": f"promoted#{arn}"}, "status": {"S": status}}
    stages.dynamodb.put_item(TableName="runs", Item=item)
    assert stages.find() == "none"


def test_a_model_is_copied_and_signed_by_the_stage_that_takes_it_over(stages: Stages) -> None:
    arn = stages.register()
    pulled = stages.pull(arn)
    (container,) = pulled["containers"]
    assert container["ModelDataUrl"].startswith(f"{HERE}models/")
    assert stages.get(container["ModelDataUrl"]) == ARCHIVE
    assert (container["Image"], container["Environment"]) == ("image@sha256:1", {"A": "b"})
    assert stages.get(pulled["evaluation_uri"]) == EVALUATION
    assert stages.get(f"{HERE}bundles/{PROPERTIES['bundle']}/sourcedir.tar.gz") == BUNDLE
    properties = pulled["properties"]
    assert PROPERTIES.items() <= properties.items()
    assert (properties["promoted_from"], properties["signing_key"]) == (arn, stages.keys["staging"])
    package: Any = {"containers": pulled["containers"], "properties": properties}
    assert verifying.handler(package, None)


def test_taking_over_twice_gives_the_same(stages: Stages) -> None:
    """So that registering it is repeatable."""
    arn = stages.register()
    assert stages.pull(arn) == stages.pull(arn)


def test_the_stage_after_that_trusts_the_stage_before_it_only(stages: Stages) -> None:
    """What staging has signed is not taken for what dev has."""
    arn = stages.register()
    stages.environment.setenv("SOURCE_SIGNING_KEY_ARN", stages.keys["staging"])
    with pytest.raises(WrongKey, match=f"allowed is {stages.keys['staging']}"):
        stages.pull(arn)
    assert stages.here() == set()


@pytest.mark.parametrize("what", ["models", "bundles", "evaluation"])
def test_what_was_tampered_with_is_not_taken_over(stages: Stages, what: str) -> None:
    arn = stages.register()
    listed = stages.s3.list_objects_v2(Bucket="dev-artefacts")["Contents"]
    keys = [each["Key"] for each in listed]
    chosen = {
        "models": [key for key in keys if "/models/" in key and key.endswith("model.tar.gz")],
        "bundles": [key for key in keys if "/bundles/" in key],
        "evaluation": [key for key in keys if "/statements/" in key and "/evaluation-" in key],
    }[what]
    (key,) = chosen
    stages.put(f"s3://dev-artefacts/{key}", b"tampered with")
    with pytest.raises(ArtefactTampered, match="has the SHA-256"):
        stages.pull(arn)
    statements = [uri for uri in stages.here() if "/statements/" in uri and "/evaluation-" not in uri]
    assert statements == []


def test_a_tampered_statement_is_refused(stages: Stages) -> None:
    arn = stages.register()
    uri = stages.sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]["statement_uri"]
    signed = json.loads(stages.get(uri))
    signed["statement"]["properties"]["dataset_version"] = "v2"
    stages.put(uri, json.dumps(signed).encode())
    with pytest.raises(StatementTampered):
        stages.pull(arn)
    assert stages.here() == set()


def test_a_package_that_says_something_else_or_was_never_signed_is_refused(stages: Stages) -> None:
    differing = stages.register(dataset_version="v2")
    unsigned = stages.register(statement_uri=f"{THERE}models/statements/gone.json")
    with pytest.raises(PackageDiffers, match="dataset_version is 'v2'"):
        stages.pull(differing)
    with pytest.raises(SignatureMissing):
        stages.pull(unsigned)
    assert stages.here() == set()
