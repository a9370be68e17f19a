"""Archives are read to the end for their digests, and then copied to where only those who sign may write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.landing import OTHERWISE, is_code
from gapless_lambda.s3 import Address, parse_uri
from gapless_lambda.statement import sha256_of
from gapless_lambda.verification import ArtefactTampered


@dataclass(frozen=True)
class Archive:
    """An object at one moment."""

    address: Address
    etag: str
    sha256: str


def read_archive(s3: Any, uri: str) -> Archive:
    """Read an archive to the end for its digest."""
    address = parse_uri(uri)
    found = s3.get_object(Bucket=address.bucket, Key=address.key)
    return Archive(address, found["ETag"], sha256_of(found["Body"]))


def seal(s3: Any, archive: Archive, models: Address) -> str:
    """Copy an archive to a place that is named by its bytes; give the copy's address.

    Args:
        models: Where copies go, a key that ends in ``/``.

    Raises:
        ArtefactTampered: It is no longer what was read.
    """
    sealed = Address(models.bucket, f"{models.key}{archive.sha256}/model.tar.gz")
    source = {"Bucket": archive.address.bucket, "Key": archive.address.key}
    try:
        s3.copy(source, sealed.bucket, sealed.key, ExtraArgs={"CopySourceIfMatch": archive.etag})
    except ClientError as error:
        if not is_code(error, OTHERWISE):
            raise
        raise ArtefactTampered(f"{archive.address} changed while it was being sealed") from error
    return str(sealed)
