"""The images that AWS publishes: their repositories are in accounts of AWS, and every tag of theirs has a digest."""

from __future__ import annotations

import hashlib
from typing import Any

from local.server.host import Request, Response, ServiceError
from local.server.sagemaker.algorithms import is_algorithm
from local.server.sagemaker.images import is_framework

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def published_images(request: Request, account: str) -> Response | None:
    """Answer a request for images of another account's registry; ``None`` for one of this account's.

    No image is there: a digest stands for registry, repository and tag, and so does not change.
    """
    params = request.json()
    registry, repository = params.get("registryId", account), params.get("repositoryName", "")
    if registry == account:
        return None
    if not (is_framework(repository) or is_algorithm(repository)):
        raise ServiceError(
            "RepositoryNotFoundException",
            f"The repository with name '{repository}' does not exist in the registry with id '{registry}'",
        )
    images = [_image(registry, repository, each) for each in params.get("imageIds", [])]
    return Response.of_json({"images": images, "failures": []})


def _image(registry: str, repository: str, wanted: dict[str, str]) -> dict[str, Any]:
    named = hashlib.sha256(f"{registry}/{repository}:{wanted.get('imageTag')}".encode()).hexdigest()
    found = {"imageDigest": f"sha256:{named}", **wanted}
    return {
        "registryId": registry,
        "repositoryName": repository,
        "imageId": found,
        "imageManifest": "{}",
        "imageManifestMediaType": MANIFEST_TYPE,
    }
