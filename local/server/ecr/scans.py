"""Scans of images: nothing is scanned here, so a scan finds what somebody has written down beforehand.

``ecr-findings.json`` in the state directory holds ``{<digest or tag>: {"status"?, "findings": [{"name", "severity",
…}]}}``, the findings as ECR has them. An image that is not in it has none. A repository that does not scan on push has
no scans.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from local.server.host import Host, Request, Response, ServiceError

FINDINGS_FILE = "ecr-findings.json"

Document = dict[str, Any]


class Scans:
    """What scans have found.

    Args:
        host: The server, in whose state directory the file is.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def describe(self, request: Request) -> Response:
        """Answer DescribeImageScanFindings."""
        params = request.json()
        name, wanted = params["repositoryName"], params["imageId"]
        ecr = self._host.client("ecr")
        details = ecr.describe_images(repositoryName=name, imageIds=[wanted])["imageDetails"]
        if not details:
            raise ServiceError(
                "ImageNotFoundException", f"The image with imageId {wanted} does not exist in the repository '{name}'"
            )
        (repository,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
        if not repository.get("imageScanningConfiguration", {}).get("scanOnPush"):
            raise ServiceError("ScanNotFoundException", f"Image scan does not exist for the image with {wanted}")
        (image,) = details
        found = self._found(image["imageDigest"], *image.get("imageTags", []))
        return Response.of_json(
            {
                "registryId": image["registryId"],
                "repositoryName": name,
                "imageId": {"imageDigest": image["imageDigest"], **wanted},
                "imageScanStatus": {"status": found.get("status", "COMPLETE"), "description": "The scan is over"},
                "imageScanFindings": _shown(found.get("findings", [])),
            }
        )

    def _found(self, *names: str) -> Document:
        file = self._host.settings.state_dir / FINDINGS_FILE
        written: Document = json.loads(file.read_text()) if file.exists() else {}
        return next((written[name] for name in names if name in written), {})


def _shown(findings: list[Document]) -> Document:
    return {"findings": findings, "findingSeverityCounts": Counter(each["severity"] for each in findings)}
