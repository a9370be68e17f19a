"""Takes over the newest model that another stage, of another account as a rule, has approved.

Invoked by the promotion machine: first without a package, to find out which there is, then with it. Nothing is trusted
but the other stage's key, which the function knows from its own settings: the package's statement has to be signed by
it, the package has to say the same, and every archive, the evaluation and the bundle have to have the digests that the
statement says. Only then are they copied, into this stage's bucket and so under this stage's key, and a statement of
this stage's own is signed, which names the other one. What comes back is what is to be registered. An image of the
workload's own is copied by its digest; one of AWS's own stays where it is, the same for all accounts of a region.

A package that was taken over before, or refused, is on record in the runs table (``promoted#<ARN>``) and left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri
from gapless_lambda.sealing import read_archive, seal
from gapless_lambda.settings import read_settings
from gapless_lambda.statement import (
    FORMAT,
    OF_SIGNATURE,
    Container,
    Statement,
    digest,
    evaluation_address,
    keep,
    sign,
)
from gapless_lambda.verification import ArtefactTampered, Described, Trust, stated
from pull_model.images import Repository, copy_image

APPROVED = "Approved"
_CONTAINER = ("ContainerHostname", "Environment", "Image", "ModelDataUrl")

log = get_logger(__name__)


class Found(TypedDict):
    """The ARN of a package that can be taken over; ``none`` while there is nothing new."""

    source_arn: str


class Pulled(TypedDict):
    """What to register."""

    containers: list[dict[str, Any]]
    properties: dict[str, str]
    evaluation_uri: str


@dataclass(frozen=True)
class Settings:
    """The environment: this stage's places and key, and those of the stage that the models come from.

    Args:
        images, source_images: Addresses of the repositories of the workload's own images, here and there; ``none``
            where it has none.
    """

    workload: str
    runs_table: str
    models_uri: str
    bundles_uri: str
    signing_key_arn: str
    source_group: str
    source_models_uri: str
    source_bundles_uri: str
    source_signing_key_arn: str
    images: str
    source_images: str

    @property
    def trust(self) -> Trust:
        """Whom a package has to come from."""
        return Trust(self.workload, self.source_models_uri, self.source_signing_key_arn)


def newest_approved(sagemaker: Any, group: str) -> str | None:
    """Give the ARN of the package that the other stage has approved last; None while there is none."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus=APPROVED, SortBy="CreationTime", SortOrder="Descending"
    )
    found = (summary["ModelPackageArn"] for page in pages for summary in page["ModelPackageSummaryList"])
    return next(found, None)


def is_known(dynamodb: Any, table: str, arn: str) -> bool:
    """Tell whether a package was taken over before, or refused."""
    found = dynamodb.get_item(TableName=table, Key={"run": {"S": f"promoted#{arn}"}}, ConsistentRead=True)
    return "Item" in found


def describe(sagemaker: Any, arn: str) -> Described:
    """Read what a package says of itself."""
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    containers = [
        {name: container[name] for name in _CONTAINER if name in container}
        for container in package.get("InferenceSpecification", {}).get("Containers", [])
    ]
    return Described(containers, package.get("CustomerMetadataProperties", {}))


def take_archives(s3: Any, package: Described, statement: Statement, models: Address) -> dict[str, str]:
    """Copy every archive whose bytes are what was signed; give the addresses of the copies by those of the originals.

    Raises:
        ArtefactTampered: One is something else, or the evaluated one is not among them; none is copied then.
    """
    archives = {}
    for container, said in zip(package.containers, statement["containers"], strict=True):
        uri = container.get("ModelDataUrl")
        if uri is None and said["artefact_sha256"] is None:
            continue
        archive = read_archive(s3, str(uri)) if uri is not None else None
        if archive is None or archive.sha256 != said["artefact_sha256"]:
            given = archive.sha256 if archive is not None else None
            raise ArtefactTampered(f"{uri} has the SHA-256 {given}; signed is {said['artefact_sha256']}")
        archives[str(uri)] = archive
    evaluated = archives.get(package.properties["model_uri"])
    if evaluated is None or evaluated.sha256 != statement["evaluated_sha256"]:
        raise ArtefactTampered(f"model_uri is {package.properties['model_uri']}, which is not what was evaluated")
    return {uri: seal(s3, archive, models) for uri, archive in archives.items()}


def take_file(s3: Any, source: Address, target: Address, sha256: str) -> None:
    """Copy a small file whose bytes have this digest.

    Raises:
        ArtefactTampered: They have another.
    """
    found = s3.get_object(Bucket=source.bucket, Key=source.key)
    content = found["Body"].read()
    given = hashlib.sha256(content).hexdigest()
    if given != sha256:
        raise ArtefactTampered(f"{source} has the SHA-256 {given}; signed is {sha256}")
    s3.put_object(Bucket=target.bucket, Key=target.key, Body=content, ContentType=found["ContentType"])


def take_images(ecr: Any, package: Described, source: str, target: str) -> dict[str, str]:
    """Copy the images that are the workload's own; give the addresses of the copies by those of the originals."""
    own = {str(each["Image"]) for each in package.containers if each["Image"].startswith(f"{source}@")}
    taken = {}
    for image in sorted(own):
        named = image.partition("@")[2]
        copy_image(ecr, Repository.parse(source), Repository.parse(target), named)
        taken[image] = f"{target}@{named}"
    return taken


def restated(statement: Statement, arn: str, images: Mapping[str, str]) -> Statement:
    """Give the statement of this stage: the same model, with where it was taken from.

    Args:
        images: Addresses of images that were copied, original to copy.
    """
    properties = {**statement["properties"], "promoted_from": arn, "promoted_statement": digest(statement).hex()}
    containers: list[Container] = [
        {**each, "image": images.get(each["image"], each["image"])} for each in statement["containers"]
    ]
    return {**statement, "format": FORMAT, "properties": properties, "containers": containers}


def pull(settings: Settings, arn: str) -> Pulled:
    """Verify a package, copy what belongs to it, and sign it anew."""
    s3, kms = client("s3"), client("kms")
    package = describe(client("sagemaker"), arn)
    statement = stated(s3, kms, package, settings.trust)
    models, source_models = parse_uri(settings.models_uri), parse_uri(settings.source_models_uri)
    run_id, bundle = statement["properties"]["run_id"], statement["properties"]["bundle"]
    taken = take_archives(s3, package, statement, models)
    evaluation = evaluation_address(models, run_id, statement["evaluation_sha256"])
    of_source = evaluation_address(source_models, run_id, statement["evaluation_sha256"])
    take_file(s3, of_source, evaluation, statement["evaluation_sha256"])
    take_file(s3, _bundle(settings.source_bundles_uri, bundle), _bundle(settings.bundles_uri, bundle), bundle)
    images = take_images(client("ecr"), package, settings.source_images, settings.images)
    own = restated(statement, arn, images)
    address, signed = keep(s3, sign(kms, settings.signing_key_arn, own), models)
    of_signature = (str(address), signed["signature"], signed["key"], taken[package.properties["model_uri"]])
    return {
        "containers": [_moved(container, taken, images) for container in package.containers],
        "properties": {**own["properties"], **dict(zip(OF_SIGNATURE, of_signature, strict=True))},
        "evaluation_uri": str(evaluation),
    }


def _bundle(uri: str, bundle: str) -> Address:
    return parse_uri(f"{uri}{bundle}/sourcedir.tar.gz")


def _moved(container: Mapping[str, Any], taken: Mapping[str, str], images: Mapping[str, str]) -> dict[str, Any]:
    uri, image = container.get("ModelDataUrl"), container["Image"]
    moved = {**container, "Image": images.get(image, image)}
    return {**moved, "ModelDataUrl": taken[uri]} if uri is not None else moved


def find(settings: Settings) -> Found:
    """Find the newest approved package, unless it was taken over before or refused."""
    arn = newest_approved(client("sagemaker"), settings.source_group)
    if arn is None or is_known(client("dynamodb"), settings.runs_table, arn):
        return {"source_arn": "none"}
    return {"source_arn": arn}


def handler(event: Mapping[str, Any], context: Any) -> Found | Pulled:  # noqa: ARG001
    """Find a package, or take over the one that ``source_arn`` names."""
    settings = read_settings(Settings)
    if "source_arn" not in event:
        return find(settings)
    log.info("model is taken over", extra={"source_arn": event["source_arn"]})
    return pull(settings, event["source_arn"])
