"""Layers of images, and their configurations: uploaded in parts, kept by their digest, and offered by a URL of S3.

They lie in a bucket that no caller needs a permission for, as on AWS: whoever may get the URL may read what is there.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.server.host import Host, Request, Response, ServiceError

PART_BYTES = 10 * 1024 * 1024
_URL_SECONDS = 3600
_MISSING = ("404", "NoSuchBucket", "NoSuchKey")

Document = dict[str, Any]


@dataclass
class Upload:
    """A layer that is being uploaded."""

    repository: str
    content: bytearray = field(default_factory=bytearray)


class Layers:
    """The operations on layers.

    Args:
        host: The server, in whose S3 the layers are.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    @property
    def bucket(self) -> str:
        """Where layers are kept."""
        return f"prod-{self._host.settings.region}-starport-layer-bucket-{self._host.settings.account}"

    def check(self, request: Request) -> Response:
        """Answer BatchCheckLayerAvailability."""
        params = request.json()
        name = self._repository(params)
        found = [
            {"layerDigest": digest, "layerAvailability": "AVAILABLE" if self._size(name, digest) else "UNAVAILABLE"}
            for digest in params["layerDigests"]
        ]
        return Response.of_json({"layers": found, "failures": []})

    def initiate(self, request: Request) -> Response:
        """Answer InitiateLayerUpload."""
        name, upload = self._repository(request.json()), str(uuid.uuid4())
        with self._lock:
            self._uploads[upload] = Upload(name)
        return Response.of_json({"uploadId": upload, "partSize": PART_BYTES})

    def add_part(self, request: Request) -> Response:
        """Answer UploadLayerPart: parts come in order, without a gap."""
        params = request.json()
        part = base64.b64decode(params["layerPartBlob"])
        with self._lock:
            upload = self._upload(params)
            first, last = params["partFirstByte"], params["partLastByte"]
            if first != len(upload.content) or last - first + 1 != len(part):
                raise ServiceError(
                    "InvalidLayerPartException",
                    f"the part of bytes {first} to {last} has {len(part)}; the next byte is {len(upload.content)}",
                )
            upload.content += part
        return Response.of_json({"uploadId": params["uploadId"], "lastByteReceived": last})

    def complete(self, request: Request) -> Response:
        """Answer CompleteLayerUpload: what came has to have the digest that it is said to have."""
        params = request.json()
        with self._lock:
            upload = self._upload(params)
            del self._uploads[params["uploadId"]]
        digest = f"sha256:{hashlib.sha256(upload.content).hexdigest()}"
        if digest not in params["layerDigests"]:
            raise ServiceError("InvalidLayerException", f"the layer has the digest {digest}")
        if self._size(upload.repository, digest):
            raise ServiceError("LayerAlreadyExistsException", f"Layer with digest {digest} already exists")
        s3 = self._host.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        s3.put_object(Bucket=self.bucket, Key=f"{upload.repository}/{digest}", Body=bytes(upload.content))
        return Response.of_json({"uploadId": params["uploadId"], "layerDigest": digest})

    def offer(self, request: Request) -> Response:
        """Answer GetDownloadUrlForLayer."""
        params = request.json()
        name, digest = self._repository(params), params["layerDigest"]
        if not self._size(name, digest):
            raise ServiceError("LayersNotFoundException", f"there is no layer {digest} in the repository '{name}'")
        return Response.of_json({"layerDigest": digest, "downloadUrl": self._url(f"{name}/{digest}")})

    def offer_copy(self, registry: str, name: str, digest: str, content: bytes) -> Response:
        """Answer GetDownloadUrlForLayer for a layer of another registry, whose content this is."""
        s3, key = self._host.client("s3"), f"{registry}/{name}/{digest}"
        s3.create_bucket(Bucket=self.bucket)
        s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return Response.of_json({"layerDigest": digest, "downloadUrl": self._url(key)})

    def _url(self, key: str) -> str:
        given = {"Bucket": self.bucket, "Key": key}
        return str(self._host.client("s3").generate_presigned_url("get_object", Params=given, ExpiresIn=_URL_SECONDS))

    def _size(self, name: str, digest: str) -> int:
        try:
            found = self._host.client("s3").head_object(Bucket=self.bucket, Key=f"{name}/{digest}")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise
            return 0
        return int(found["ContentLength"])

    def _upload(self, params: Document) -> Upload:
        found = self._uploads.get(params["uploadId"])
        if found is None or found.repository != params["repositoryName"]:
            raise ServiceError("UploadNotFoundException", f"there is no upload {params['uploadId']}")
        return found

    def _repository(self, params: Document) -> str:
        name = str(params["repositoryName"])
        try:
            self._host.client("ecr").describe_repositories(repositoryNames=[name])
        except ClientError as error:
            raise ServiceError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
        return name
