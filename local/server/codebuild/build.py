"""What a build does: fetch the source, make an image of it, and push that under the project's tag."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server.host import Credentials, Host
from local.server.own_images import MANIFEST_TYPE, BadImage, OwnImages, PackedImage
from local.server.sagemaker import s3_data
from local.server.sagemaker.store import Document


class BuildFailed(Exception):
    """A build has failed; the text says why."""


def make_image(
    host: Host, images: OwnImages, credentials: Credentials, project: Document, say: Callable[[str], None]
) -> str:
    """Build a project's image under its role, unless it is there; returns its digest.

    Every call that Docker would make is made, so that a role that may not make it fails here as well.

    Raises:
        BuildFailed: The source is no image, or the role may not do what it takes.
    """
    repository, tag = project["_Variables"]["REPOSITORY"], project["_Variables"]["TAG"]
    ecr = host.client("ecr", credentials)
    try:
        found = _digest_of(ecr, repository, tag)
        if found is not None:
            say(f"{repository}:{tag} is there already")
            return found
        ecr.get_authorization_token()
        with tempfile.TemporaryDirectory(dir=host.settings.scratch) as scratch:
            source = Path(scratch, "source.zip")
            address = s3_data.Address.parse(f"s3://{project['source']['location']}")
            s3_data.download_object(host.client("s3", credentials), address, source)
            image = images.pack(source)
        return _push(ecr, repository, tag, image)
    except (BadImage, ClientError, BotoCoreError) as error:
        raise BuildFailed(f"{type(error).__name__}: {error}") from error


def _digest_of(ecr: Any, repository: str, tag: str) -> str | None:
    details = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
    return str(details[0]["imageDigest"]) if details else None


def _push(ecr: Any, repository: str, tag: str, image: PackedImage) -> str:
    for digest, blob in image.blobs.items():
        _push_blob(ecr, repository, digest, blob)
    try:
        answer = ecr.put_image(
            repositoryName=repository,
            imageManifest=json.dumps(image.manifest, sort_keys=True),
            imageManifestMediaType=MANIFEST_TYPE,
            imageTag=tag,
        )
        return str(answer["image"]["imageId"]["imageDigest"])
    except ClientError as error:
        existing = _digest_of(ecr, repository, tag)
        if existing is None or error.response["Error"]["Code"] != "ImageTagAlreadyExistsException":
            raise
        return existing


def _push_blob(ecr: Any, repository: str, digest: str, blob: bytes) -> None:
    there = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])["layers"]
    if any(each["layerAvailability"] == "AVAILABLE" for each in there):
        return
    started = ecr.initiate_layer_upload(repositoryName=repository)
    upload, size = {"repositoryName": repository, "uploadId": started["uploadId"]}, started["partSize"]
    for first in range(0, len(blob), size):
        part = blob[first : first + size]
        ecr.upload_layer_part(**upload, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part)
    with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
        ecr.complete_layer_upload(**upload, layerDigests=[digest])
