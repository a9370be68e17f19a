"""Copies an image from the registry of another account into this account's own, blob by blob, by its digest.

It is what ``docker pull`` and ``docker push`` do, without Docker and without keeping anything: the manifest, its
configuration and its layers go as they are, each checked by its digest, so the copy has the digest of the original. A
blob that is there already is not read again: a copy that was cut off goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gapless_lambda.verification import ArtefactTampered

MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
"""Manifests of one image; those that list images of several machines are not what a model runs in."""

_ADDRESS = re.compile(r"(?P<registry>\d{12})\.dkr\.ecr\.[^/]+/(?P<name>[^@:]+)")
_TAG_LENGTH = 32
_SECONDS = 60


class ImageMissing(Exception):
    """The other account's registry has no such image, or none for one machine."""


@dataclass(frozen=True)
class Repository:
    """A repository of an account.

    Args:
        registry: The account.
        name: Its name.
    """

    registry: str
    name: str

    @classmethod
    def parse(cls, address: str) -> Repository:
        """Read an address such as ``<account>.dkr.ecr.<region>.amazonaws.com/<name>``."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise ValueError(f"address of a repository must be <account>.dkr.ecr.<region>…/<name>, got: {address!r}")
        return cls(found["registry"], found["name"])

    @property
    def named(self) -> dict[str, str]:
        """How requests name it."""
        return {"registryId": self.registry, "repositoryName": self.name}


def copy_image(ecr: Any, source: Repository, target: Repository, digest: str) -> None:
    """Copy an image; one that is there already stays as it is.

    It gets a tag, since what has none is deleted after a while.

    Raises:
        ImageMissing: There is no such image.
        ArtefactTampered: What came is not what its digest says.
    """
    answer = ecr.batch_get_image(
        **source.named, imageIds=[{"imageDigest": digest}], acceptedMediaTypes=list(MANIFEST_TYPES)
    )
    if not answer["images"]:
        raise ImageMissing(f"{source.name}@{digest} cannot be copied: {answer['failures']}")
    manifest = answer["images"][0]["imageManifest"]
    _require(f"manifest of {source.name}", hashlib.sha256(manifest.encode()).hexdigest(), digest)
    described = json.loads(manifest)
    for blob in dict.fromkeys(each["digest"] for each in (described["config"], *described["layers"])):
        _copy_blob(ecr, source, target, blob)
    there = (ecr.exceptions.ImageAlreadyExistsException, ecr.exceptions.ImageTagAlreadyExistsException)
    with contextlib.suppress(*there):
        ecr.put_image(
            **target.named,
            imageManifest=manifest,
            imageManifestMediaType=described.get("mediaType", MANIFEST_TYPES[0]),
            imageTag=f"promoted-{digest.removeprefix('sha256:')[:_TAG_LENGTH]}",
            imageDigest=digest,
        )


def _copy_blob(ecr: Any, source: Repository, target: Repository, digest: str) -> None:
    there = ecr.batch_check_layer_availability(**target.named, layerDigests=[digest])["layers"]
    if any(each["layerAvailability"] == "AVAILABLE" for each in there):
        return
    url = ecr.get_download_url_for_layer(**source.named, layerDigest=digest)["downloadUrl"]
    started = ecr.initiate_layer_upload(**target.named)
    upload, found, first = {**target.named, "uploadId": started["uploadId"]}, hashlib.sha256(), 0
    for part in _parts(url, started["partSize"]):
        found.update(part)
        last = first + len(part) - 1
        ecr.upload_layer_part(**upload, partFirstByte=first, partLastByte=last, layerPartBlob=part)
        first = last + 1
    _require(f"blob of {source.name}", found.hexdigest(), digest)
    with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
        ecr.complete_layer_upload(**upload, layerDigests=[digest])


def _parts(url: str, size: int) -> Iterator[bytes]:
    """Read what a URL of ECR's own leads to, so many bytes at a time."""
    if not url.startswith("https://"):
        raise ValueError(f"URL of a layer must start with https://, got: {url[:20]!r}")
    with urllib.request.urlopen(url, timeout=_SECONDS) as body:  # noqa: S310 - the scheme has been checked
        while part := body.read(size):
            yield part


def _require(what: str, sha256: str, digest: str) -> None:
    if f"sha256:{sha256}" != digest:
        raise ArtefactTampered(f"{what} has the SHA-256 {sha256}; named is {digest}")
