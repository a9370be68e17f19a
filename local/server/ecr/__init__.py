"""ECR on the local server: ministack's, with AWS's own registries beside it.

ministack has repositories, images and policies; here is what it lacks. A request that names the registry of another
account is checked on that account's repository, and AWS's images have digests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.server import hooks
from local.server.ecr.layers import Layers
from local.server.ecr.published import published_images
from local.server.ecr.scans import Scans
from local.server.host import Host


def register(host: Host) -> None:
    """Put what ministack lacks in front of its ECR."""
    _check_the_right_registry()
    account = host.settings.account
    host.add_alternatives("ecr", {"BatchGetImage": lambda request: published_images(request, account)})
    layers = Layers(host)
    host.add_operations(
        "ecr",
        {
            "BatchCheckLayerAvailability": layers.check,
            "CompleteLayerUpload": layers.complete,
            "DescribeImageScanFindings": Scans(host).describe,
            "GetDownloadUrlForLayer": layers.offer,
            "InitiateLayerUpload": layers.initiate,
            "UploadLayerPart": layers.add_part,
        },
    )


def registry_of(body: bytes) -> str | None:
    """The account whose registry a request names; ``None`` where it names none."""
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        return None
    found = params.get("registryId") if isinstance(params, Mapping) else None
    return found if isinstance(found, str) else None


def _check_the_right_registry() -> None:
    """ministack takes every repository for one of this account's."""
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: Any, region: str, account_id: str
    ) -> Any:
        account = (registry_of(body) if service == "ecr" else None) or account_id
        return original(service, method, path, headers, body, query_params, region, account)

    hooks.replace("core.iam_actions:extract_resource_arn", extract)
