"""Registries of container images: this account's, and those in which AWS publishes its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import LocalServer

AWS = "683313688378"
XGBOOST = {"registryId": AWS, "repositoryName": "sagemaker-xgboost", "imageIds": [{"imageTag": "3.2-0"}]}


def digest_of(ecr: Any, **asked: Any) -> str:
    (image,) = ecr.batch_get_image(**{**XGBOOST, **asked})["images"]
    return str(image["imageId"]["imageDigest"])


def test_a_tag_of_aws_has_a_digest_that_no_other_tag_has(local_server: LocalServer) -> None:
    ecr = local_server.client("ecr")
    digest = digest_of(ecr)
    assert digest == digest_of(ecr) and digest.startswith("sha256:") and len(digest) == 71
    assert digest_of(ecr, imageIds=[{"imageTag": "3.0-5"}]) != digest
    assert digest_of(ecr, repositoryName="pytorch-training") != digest


def test_what_aws_does_not_publish_is_not_there(local_server: LocalServer) -> None:
    with pytest.raises(ClientError, match=r"RepositoryNotFoundException.*my-own.*does not exist.*683313688378"):
        digest_of(local_server.client("ecr"), repositoryName="my-own")


def test_looking_takes_the_permission_on_the_repository_of_that_registry(local_server: LocalServer) -> None:
    def looking(account: str) -> Any:
        arn = f"arn:aws:ecr:us-east-1:{account}:repository/sagemaker-xgboost"
        allowed = {"Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": arn}
        return local_server.client_as("ecr", *local_server.user(allowed))

    assert digest_of(looking(AWS))
    with pytest.raises(ClientError, match="no identity-based policy allows the ecr:BatchGetImage action"):
        digest_of(looking("000000000000"))


@pytest.fixture
def scanned(local_server: LocalServer) -> Iterator[dict[str, Any]]:
    """An image in a repository that scans, as requests name it."""
    ecr = local_server.client("ecr")
    name = f"registries-{uuid.uuid4().hex[:8]}"
    ecr.create_repository(repositoryName=name, imageScanningConfiguration={"scanOnPush": True})
    manifest = json.dumps({"layers": [], "of": name})
    image = ecr.put_image(repositoryName=name, imageManifest=manifest, imageTag="one")["image"]
    yield {"repositoryName": name, "imageId": {"imageDigest": image["imageId"]["imageDigest"]}}
    (local_server.state_dir / "ecr-findings.json").unlink(missing_ok=True)


def test_a_scan_finds_what_was_written_down_for_the_image(local_server: LocalServer, scanned: dict[str, Any]) -> None:
    ecr = local_server.client("ecr")
    before = ecr.describe_image_scan_findings(**scanned)
    assert (before["imageScanStatus"]["status"], before["imageScanFindings"]["findings"]) == ("COMPLETE", [])
    findings = [{"name": "CVE-1", "severity": "CRITICAL"}, {"name": "CVE-2", "severity": "LOW"}]
    written = {scanned["imageId"]["imageDigest"]: {"findings": findings}}
    (local_server.state_dir / "ecr-findings.json").write_text(json.dumps(written))
    found = ecr.describe_image_scan_findings(**scanned)["imageScanFindings"]
    assert found["findings"] == findings
    assert found["findingSeverityCounts"] == {"CRITICAL": 1, "LOW": 1}


def test_what_is_not_scanned_on_push_has_no_scan(local_server: LocalServer, scanned: dict[str, Any]) -> None:
    ecr = local_server.client("ecr")
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        ecr.describe_image_scan_findings(**{**scanned, "imageId": {"imageTag": "other"}})
    ecr.put_image_scanning_configuration(
        repositoryName=scanned["repositoryName"], imageScanningConfiguration={"scanOnPush": False}
    )
    with pytest.raises(ClientError, match="ScanNotFoundException"):
        ecr.describe_image_scan_findings(**scanned)


def test_images_of_this_account_are_its_own(local_server: LocalServer) -> None:
    ecr = local_server.client("ecr")
    ecr.create_repository(repositoryName="registries-own")
    pushed = ecr.put_image(repositoryName="registries-own", imageManifest=json.dumps({"layers": []}), imageTag="one")
    found = digest_of(ecr, registryId="000000000000", repositoryName="registries-own", imageIds=[{"imageTag": "one"}])
    assert found == pushed["image"]["imageId"]["imageDigest"]
