"""A model is what was signed, or it is refused with the reason."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

import sign_model.handler as signing
import verify_model.handler as verifying
from gapless_lambda import clients
from gapless_lambda.s3 import parse_uri
from gapless_lambda.sealing import read_archive, seal
from gapless_lambda.statement import OF_SIGNATURE, digest
from gapless_lambda.verification import (
    ArtefactTampered,
    PackageDiffers,
    SignatureMissing,
    StatementTampered,
    WrongKey,
)

TRAINED = "s3://artefacts/orders/training/job/output/model.tar.gz"
ADAPTER = "s3://artefacts/orders/training/adapter/output/model.tar.gz"
EVALUATION = "s3://artefacts/orders/evaluations/run-1/evaluation.json"
PROPERTIES = {"run_id": "run-1", "dataset_version": "v1", "bundle": "b" * 64, "model_sha256": "a" * 64}
SERVING = {"SAGEMAKER_PROGRAM": "inference.py"}
ARCHIVE = b"an archive"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Place:
    """A bucket, a key, and the functions."""

    s3: Any
    kms: Any
    key: str

    def put(self, uri: str, content: bytes) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def sign(self, *containers: dict[str, Any], **changed: Any) -> dict[str, Any]:
        given = containers or ({"Image": "image@sha256:1", "ModelDataUrl": TRAINED, "Environment": SERVING},)
        evaluated = {"model_uri": TRAINED, "archive_sha256": sha256(ARCHIVE), "evaluation_uri": EVALUATION, **changed}
        event: Any = {"properties": PROPERTIES, "containers": given, "evaluated": evaluated}
        return dict(signing.handler(event, None))

    def package(self, **changed: Any) -> dict[str, Any]:
        """What a signed package says of itself, as SageMaker would describe it."""
        signed = self.sign()
        of_signature = {name: signed[name] for name in OF_SIGNATURE}
        containers = [{**each, "ImageDigest": "sha256:1"} for each in signed["containers"]]
        return {"containers": containers, "properties": {**PROPERTIES, "report": "r.html", **of_signature}, **changed}

    def rewrite(self, uri: str, **changed: Any) -> None:
        """Change a kept statement."""
        self.put(uri, json.dumps({**json.loads(self.get(uri)), **changed}).encode())


def verify(package: dict[str, Any]) -> dict[str, Any]:
    event: Any = package
    return dict(verifying.handler(event, None))


def new_key(kms: Any) -> str:
    made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    return str(made["Arn"])


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with mock_aws():
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3, kms = boto3.client("s3"), boto3.client("kms")
        s3.create_bucket(Bucket="artefacts")
        place = Place(s3, kms, new_key(kms))
        place.put(TRAINED, ARCHIVE)
        place.put(ADAPTER, b"another archive")
        place.put(EVALUATION, b'{"metrics": {}}')
        settings = {
            "WORKLOAD": "orders",
            "MODELS_URI": "s3://artefacts/orders/models/",
            "SIGNING_KEY_ARN": place.key,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        clients.client.cache_clear()
        yield place
    clients.client.cache_clear()


def test_a_signed_model_is_verified(place: Place) -> None:
    package = place.package()
    kept = json.loads(place.get(package["properties"]["statement_uri"]))
    assert verify(package) == {"statement_sha256": digest(kept["statement"]).hex()}


def test_archives_are_sealed_under_the_name_of_their_bytes(place: Place) -> None:
    (container,) = place.sign()["containers"]
    assert container["ModelDataUrl"] == f"s3://artefacts/orders/models/{sha256(ARCHIVE)}/model.tar.gz"
    assert place.get(container["ModelDataUrl"]) == ARCHIVE
    assert (container["Image"], container["Environment"]) == ("image@sha256:1", SERVING)


def test_the_statement_says_what_serves_and_what_it_was_made_of(place: Place) -> None:
    kept = json.loads(place.get(place.sign()["statement_uri"]))
    assert kept["statement"] == {
        "format": "gapless-model/1",
        "workload": "orders",
        "properties": PROPERTIES,
        "containers": [{"image": "image@sha256:1", "environment": SERVING, "artefact_sha256": sha256(ARCHIVE)}],
        "evaluated_sha256": sha256(ARCHIVE),
        "evaluation_sha256": sha256(b'{"metrics": {}}'),
    }


def test_signing_the_same_model_again_gives_the_same_signature(place: Place) -> None:
    assert place.sign() == place.sign()


def test_every_archive_of_several_containers_is_sealed_and_an_image_alone_is_signed(place: Place) -> None:
    adapter = {"Image": "adapter", "ModelDataUrl": ADAPTER}
    signed = place.sign(adapter, {"Image": "image", "ModelDataUrl": TRAINED}, {"Image": "own"}, adapter)
    uris = [each.get("ModelDataUrl", "none") for each in signed["containers"]]
    assert uris[0] == uris[3] == f"s3://artefacts/orders/models/{sha256(b'another archive')}/model.tar.gz"
    assert uris[2] == "none"
    of_signature = {name: signed[name] for name in OF_SIGNATURE}
    assert verify({"containers": signed["containers"], "properties": {**PROPERTIES, **of_signature}})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"archive_sha256": "0" * 64}, "what was evaluated has 0000"),
        ({"model_uri": ADAPTER}, "is served by no container"),
    ],
)
def test_only_the_archive_that_was_evaluated_is_signed(place: Place, changed: dict[str, str], says: str) -> None:
    with pytest.raises(ArtefactTampered, match=says):
        place.sign(**changed)
    assert "Contents" not in place.s3.list_objects_v2(Bucket="artefacts", Prefix="orders/models/")


def test_an_archive_that_changes_meanwhile_is_not_sealed(place: Place) -> None:
    archive = read_archive(place.s3, TRAINED)
    place.put(TRAINED, b"tampered with")
    with pytest.raises(ArtefactTampered, match="changed while it was being sealed"):
        seal(Changing(place.s3), archive, parse_uri("s3://artefacts/orders/models/"))


class Changing:
    """S3, which refuses to copy what has another ETag; the simulation copies whatever there is."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def copy(self, source: dict[str, str], bucket: str, key: str, ExtraArgs: dict[str, str]) -> None:
        found = self._s3.head_object(Bucket=source["Bucket"], Key=source["Key"])["ETag"]
        if found != ExtraArgs["CopySourceIfMatch"]:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "at least one"}}, "CopyObject")
        self._s3.copy(source, bucket, key)


def test_a_model_that_is_no_single_archive_is_refused(place: Place) -> None:
    source = {"S3DataSource": {"S3Uri": "s3://artefacts/orders/x/", "S3DataType": "S3Prefix"}}
    with pytest.raises(signing.BadContainer, match="ModelDataSource of container 'image'; allowed is ModelDataUrl"):
        place.sign({"Image": "image", "ModelDataSource": source})


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_tampered_artefact_is_refused(place: Place) -> None:
    package = place.package()
    place.put(package["containers"][0]["ModelDataUrl"], b"tampered with")
    with pytest.raises(ArtefactTampered, match=f"signed is {sha256(ARCHIVE)}"):
        verify(package)


def test_an_artefact_that_is_gone_is_refused(place: Place) -> None:
    package = place.package()
    place.s3.delete_object(Bucket="artefacts", Key=package["containers"][0]["ModelDataUrl"].split("/", 3)[3])
    with pytest.raises(ArtefactTampered, match="is gone"):
        verify(package)


def test_an_artefact_where_none_was_signed_is_refused(place: Place) -> None:
    signed = place.sign({"Image": "own"}, {"Image": "image", "ModelDataUrl": TRAINED})
    containers = [{**each, "ModelDataUrl": signed["containers"][1]["ModelDataUrl"]} for each in signed["containers"]]
    of_signature = {name: signed[name] for name in OF_SIGNATURE}
    with pytest.raises(ArtefactTampered, match="signed is None"):
        verify({"containers": containers, "properties": {**PROPERTIES, **of_signature}})


def test_a_tampered_statement_is_refused(place: Place) -> None:
    package = place.package()
    uri = package["properties"]["statement_uri"]
    statement = json.loads(place.get(uri))["statement"]
    place.rewrite(uri, statement={**statement, "properties": {**PROPERTIES, "dataset_version": "v2"}})
    with pytest.raises(StatementTampered, match="the signature is not that of"):
        verify(package)


@pytest.mark.parametrize("content", [b"not JSON", b"[]", b'{"statement": {}}'])
def test_what_is_no_statement_is_refused(place: Place, content: bytes) -> None:
    package = place.package()
    place.put(package["properties"]["statement_uri"], content)
    with pytest.raises(StatementTampered):
        verify(package)


@pytest.mark.parametrize("signature", ["bm90IGEgc2lnbmF0dXJl", "not base64!", "===="])
def test_another_signature_is_refused(place: Place, signature: str) -> None:
    package = place.package()
    package["properties"]["signature"] = signature
    with pytest.raises(StatementTampered):
        verify(package)


def test_a_statement_outside_the_folder_of_statements_is_not_even_read(place: Place) -> None:
    package = place.package()
    place.put("s3://artefacts/orders/training/mine.json", place.get(package["properties"]["statement_uri"]))
    package["properties"]["statement_uri"] = "s3://artefacts/orders/training/mine.json"
    with pytest.raises(StatementTampered, match="allowed is below s3://artefacts/orders/models/statements/"):
        verify(package)


@pytest.mark.parametrize("name", OF_SIGNATURE)
def test_a_package_without_a_signature_is_refused(place: Place, name: str) -> None:
    package = place.package()
    del package["properties"][name]
    with pytest.raises(SignatureMissing, match=f"the package has no {name}"):
        verify(package)


def test_a_package_whose_statement_is_gone_is_refused(place: Place) -> None:
    package = place.package()
    place.s3.delete_object(Bucket="artefacts", Key=package["properties"]["statement_uri"].split("/", 3)[3])
    with pytest.raises(SignatureMissing, match="there is no statement at"):
        verify(package)


def test_a_model_signed_by_another_key_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    package, other = place.package(), new_key(place.kms)
    monkeypatch.setenv("SIGNING_KEY_ARN", other)
    with pytest.raises(WrongKey, match=f"allowed is {other}"):
        verify(package)


def test_another_key_under_the_name_of_ours_is_refused(place: Place) -> None:
    """Somebody signs with a key of their own and says that it was ours."""
    package = place.package()
    uri = package["properties"]["statement_uri"]
    statement = json.loads(place.get(uri))["statement"]
    forged = place.kms.sign(
        KeyId=new_key(place.kms), Message=digest(statement), MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
    )["Signature"]
    package["properties"]["signature"] = base64.b64encode(forged).decode()
    with pytest.raises(StatementTampered):
        verify(package)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"properties": {"dataset_version": "v2"}}, "dataset_version is 'v2', not 'v1'"),
        ({"properties": {"bundle": ""}}, "bundle is '', not"),
        ({"container": {"Image": "image@sha256:2"}}, "'image': 'image@sha256:2'"),
        ({"container": {"Environment": {"SAGEMAKER_PROGRAM": "other.py"}}}, "other.py"),
    ],
)
def test_a_package_that_says_something_else_is_refused(place: Place, changed: dict[str, Any], says: str) -> None:
    package = place.package()
    package["properties"].update(changed.get("properties", {}))
    package["containers"][0].update(changed.get("container", {}))
    with pytest.raises(PackageDiffers, match=says):
        verify(package)


def test_a_package_that_calls_another_archive_the_evaluated_one_is_refused(place: Place) -> None:
    signed = place.sign({"Image": "adapter", "ModelDataUrl": ADAPTER}, {"Image": "image", "ModelDataUrl": TRAINED})
    of_signature = {name: signed[name] for name in OF_SIGNATURE}
    assert of_signature["model_uri"] == signed["containers"][1]["ModelDataUrl"]
    of_signature["model_uri"] = signed["containers"][0]["ModelDataUrl"]
    with pytest.raises(PackageDiffers, match="model_uri is"):
        verify({"containers": signed["containers"], "properties": {**PROPERTIES, **of_signature}})


def test_a_container_more_is_refused(place: Place) -> None:
    package = place.package()
    package["containers"].append({"Image": "image"})
    with pytest.raises(PackageDiffers, match="the containers are"):
        verify(package)


def test_a_model_of_another_workload_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    package = place.package()
    monkeypatch.setenv("WORKLOAD", "returns")
    with pytest.raises(PackageDiffers, match="the workload is returns, not orders"):
        verify(package)
