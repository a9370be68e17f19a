"""The synthesised promotion machine, deployed to the receiving account and run there against the source.

Everything that it consists of is deployed from the template: the machine, its functions, their roles and logs, the
registry, the topic. What it reads and writes is what the source's and the receiver's lakes are made of.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from pull_model.images import MANIFEST_TYPES
from tests.local.two_accounts import (
    BOXED,
    DEV,
    REGION,
    STAGING,
    WORKLOAD,
    Account,
    Document,
    approved_model,
)

SECONDS = 120


@dataclass(frozen=True)
class Rehearsal:
    """Source and receiver, and the machine that is deployed to the receiver."""

    dev: Account
    staging: Account

    @property
    def machine_arn(self) -> str:
        """The machine of the receiver."""
        return f"arn:aws:states:{REGION}:{STAGING}:stateMachine:{self.staging.name_of('promote')}"

    def run(self) -> Document:
        """Run the machine to its end; gives what DescribeExecution says."""
        client = self.staging.server.client("stepfunctions")
        given = {"run_id": f"rehearsal-{uuid.uuid4().hex[:8]}", "workload": self.staging.workload}
        started = client.start_execution(stateMachineArn=self.machine_arn, input=json.dumps(given))
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found: Document = client.describe_execution(executionArn=started["executionArn"])
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.1)
        raise AssertionError("the machine did not end")

    def promoted(self, package_arn: str) -> str | None:
        """What is on record of a package of the source."""
        key = {"run": {"S": f"promoted#{package_arn}"}}
        item = self.staging.server.client("dynamodb").get_item(TableName=self.staging.runs_table, Key=key).get("Item")
        return item["status"]["S"] if item else None

    def registered(self) -> list[Document]:
        """The packages of the receiver, newest first."""
        client = self.staging.server.client("sagemaker")
        found: list[Document] = client.list_model_packages(ModelPackageGroupName=self.staging.name_of("models"))[
            "ModelPackageSummaryList"
        ]
        return found


@pytest.fixture(scope="module")
def rehearsal(accounts: tuple[Account, Account]) -> Rehearsal:
    dev, staging = accounts
    return Rehearsal(dev, staging)


def test_what_the_source_approved_waits_for_approval_at_the_receiver(rehearsal: Rehearsal) -> None:
    archive = uuid.uuid4().bytes
    source = approved_model(rehearsal.dev, archive)
    done = rehearsal.run()
    assert done["status"] == "SUCCEEDED", (done.get("error"), done.get("cause"))
    output = json.loads(done["output"])
    assert (output["promoted"], output["source_arn"]) == (True, source)
    client = rehearsal.staging.server.client("sagemaker")
    package = client.describe_model_package(ModelPackageName=output["model_package_arn"])
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["promoted_from"] == source
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"].startswith(rehearsal.staging.folder)
    found = rehearsal.staging.object_at(container["ModelDataUrl"])
    assert found["Body"].read() == archive
    assert found["SSEKMSKeyId"] == rehearsal.staging.output("KeyArn")
    assert rehearsal.promoted(source) == "promoted"


def test_the_next_quarter_of_an_hour_takes_over_nothing_twice(rehearsal: Rehearsal) -> None:
    approved_model(rehearsal.dev, uuid.uuid4().bytes)
    first, second = rehearsal.run(), rehearsal.run()
    assert json.loads(first["output"])["promoted"] is True
    assert json.loads(second["output"]) == {"promoted": False, "source_arn": "none", "model_package_arn": "none"}


def test_a_tampered_archive_is_refused_once_and_registers_nothing(rehearsal: Rehearsal) -> None:
    source = approved_model(rehearsal.dev, uuid.uuid4().bytes)
    package = rehearsal.dev.server.client("sagemaker").describe_model_package(ModelPackageName=source)
    (container,) = package["InferenceSpecification"]["Containers"]
    rehearsal.dev.put(container["ModelDataUrl"].partition(f"/{WORKLOAD}/")[2], b"tampered with")
    before = len(rehearsal.registered())
    done = rehearsal.run()
    assert (done["status"], done["error"]) == ("FAILED", "ArtefactTampered"), done.get("cause")
    assert "has the SHA-256" in done["cause"]
    assert rehearsal.promoted(source) == "refused"
    assert len(rehearsal.registered()) == before
    assert json.loads(rehearsal.run()["output"])["promoted"] is False


def test_a_model_that_another_key_signed_is_refused(rehearsal: Rehearsal) -> None:
    kms = rehearsal.dev.server.client("kms")
    other = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    source = approved_model(rehearsal.dev, uuid.uuid4().bytes, signing_key=other)
    before = len(rehearsal.registered())
    done = rehearsal.run()
    assert (done["status"], done["error"]) == ("FAILED", "WrongKey"), done.get("cause")
    assert rehearsal.promoted(source) == "refused"
    assert len(rehearsal.registered()) == before


def test_a_refusal_that_lies_in_a_grant_is_not_held_against_the_model(rehearsal: Rehearsal) -> None:
    source = approved_model(rehearsal.dev, uuid.uuid4().bytes)
    group = {"ModelPackageGroupName": "dev-flight-delays-models"}
    client = rehearsal.dev.server.client("sagemaker")
    policy = client.get_model_package_group_policy(**group)["ResourcePolicy"]
    client.delete_model_package_group_policy(**group)
    try:
        failed = rehearsal.run()
    finally:
        client.put_model_package_group_policy(**group, ResourcePolicy=policy)
    assert failed["status"] == "FAILED"
    assert "not authorized to perform: sagemaker:ListModelPackages" in failed["cause"]
    assert rehearsal.promoted(source) is None
    assert json.loads(rehearsal.run()["output"])["source_arn"] == source


# --- images of the workload's own -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def boxed(accounts: tuple[Account, Account]) -> Rehearsal:
    """The same for the workload with a container of its own."""
    dev, staging = accounts
    return Rehearsal(replace(dev, workload=BOXED), replace(staging, workload=BOXED))


def digest_of(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def push(account: Account, *layers: bytes) -> str:
    """Put an image into the repository of an account, as Docker does; returns its address by digest."""
    ecr, repository = account.server.client("ecr"), {"repositoryName": account.name_of("images")}
    blobs = (json.dumps({"made": uuid.uuid4().hex}).encode(), *layers)
    for blob in blobs:
        upload = ecr.initiate_layer_upload(**repository)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(blob) - 1, "layerPartBlob": blob}
        ecr.upload_layer_part(**repository, uploadId=upload, **part)
        with suppress(ecr.exceptions.LayerAlreadyExistsException):
            ecr.complete_layer_upload(**repository, uploadId=upload, layerDigests=[digest_of(blob)])
    config, *rest = ({"digest": digest_of(blob), "size": len(blob)} for blob in blobs)
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPES[0], "config": config, "layers": rest})
    made = {"imageManifest": manifest, "imageManifestMediaType": MANIFEST_TYPES[0], "imageTag": uuid.uuid4().hex}
    digest = ecr.put_image(**repository, **made)["image"]["imageId"]["imageDigest"]
    return f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/{repository['repositoryName']}@{digest}"


def test_an_image_of_the_workload_s_own_comes_along_by_its_digest(boxed: Rehearsal) -> None:
    layers = (b"a base image", uuid.uuid4().bytes)
    image = push(boxed.dev, *layers)
    approved_model(boxed.dev, uuid.uuid4().bytes, image=image)
    done = boxed.run()
    assert done["status"] == "SUCCEEDED", (done.get("error"), done.get("cause"))
    arn = json.loads(done["output"])["model_package_arn"]
    package = boxed.staging.server.client("sagemaker").describe_model_package(ModelPackageName=arn)
    (container,) = package["InferenceSpecification"]["Containers"]
    address, _, digest = container["Image"].partition("@")
    assert address == f"{STAGING}.dkr.ecr.{REGION}.amazonaws.com/staging-boxed-orders-images"
    assert digest == image.partition("@")[2]
    ecr, repository = boxed.staging.server.client("ecr"), {"repositoryName": "staging-boxed-orders-images"}
    (kept,) = ecr.describe_images(**repository, imageIds=[{"imageDigest": digest}])["imageDetails"]
    assert kept["imageTags"] == [f"promoted-{digest.removeprefix('sha256:')[:32]}"]
    found = ecr.batch_check_layer_availability(**repository, layerDigests=[digest_of(each) for each in layers])
    assert [each["layerAvailability"] for each in found["layers"]] == ["AVAILABLE", "AVAILABLE"]


def test_an_image_of_which_a_layer_was_exchanged_does_not_come_along(boxed: Rehearsal) -> None:
    layer = uuid.uuid4().bytes
    source = approved_model(boxed.dev, uuid.uuid4().bytes, image=push(boxed.dev, layer))
    exchanged = {
        "Bucket": f"prod-{REGION}-starport-layer-bucket-{DEV}",
        "Key": f"dev-boxed-orders-images/{digest_of(layer)}",
    }
    boxed.dev.server.client("s3").put_object(**exchanged, Body=b"something else")
    done = boxed.run()
    assert (done["status"], done["error"]) == ("FAILED", "ArtefactTampered"), done.get("cause")
    assert boxed.promoted(source) == "refused"


def test_no_image_comes_over_that_the_source_does_not_give(boxed: Rehearsal) -> None:
    source = approved_model(boxed.dev, uuid.uuid4().bytes, image=push(boxed.dev, uuid.uuid4().bytes))
    ecr, repository = boxed.dev.server.client("ecr"), {"repositoryName": "dev-boxed-orders-images"}
    policy = ecr.get_repository_policy(**repository)["policyText"]
    ecr.delete_repository_policy(**repository)
    try:
        failed = boxed.run()
    finally:
        ecr.set_repository_policy(**repository, policyText=policy)
    assert failed["status"] == "FAILED"
    assert "not authorized to perform: ecr:BatchGetImage" in failed["cause"]
    assert json.loads(boxed.run()["output"])["source_arn"] == source
