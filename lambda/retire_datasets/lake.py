"""The objects that datasets consist of: which there are, taking a dataset out of use, and putting it back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.s3 import Address, parse_uri, read_json
from retire_datasets.decide import Entry, Stored

_ABSENT = ("404", "NoSuchKey")
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict")
_AT_ONCE = 1000


class Datasets:
    """The datasets of one workload.

    Args:
        bucket: Where they are.
        workload: Whose they are.
        tag: What marks rows that may expire.
    """

    def __init__(self, s3: Any, bucket: str, workload: str, tag: str) -> None:
        self._s3, self._bucket, self._tag = s3, bucket, tag
        self.folder = f"{workload}/"

    # --- what there is ---------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Give the index, in order of ``as_of``."""
        return [self._entry(each) for each in self.objects("index/")]

    def _entry(self, found: Stored) -> Entry:
        entry = self._read(found.key)
        attempt = entry["report_uri"].split("/")[-2].removeprefix("attempt=")
        return Entry(entry["version"], attempt, found.written)

    def pins(self) -> list[Stored]:
        """Give the pins of training runs."""
        return list(self.objects("pins/"))

    def objects(self, prefix: str = "") -> Iterator[Stored]:
        """Yield the objects below a prefix of the workload's folder."""
        return objects(self._s3, self._bucket, self.folder + prefix)

    def attempts(self, versions: Iterable[str]) -> set[tuple[str, str]]:
        """Give version and attempt of the published manifests of versions; those without one are left out."""
        found = ((version, self._find(self._manifest_key(version))) for version in versions)
        return {(version, str(manifest["attempt"])) for version, manifest in found if manifest is not None}

    def foreign_files(self, version: str) -> set[str]:
        """Give the keys of files that a published dataset reads from the folders of other datasets."""
        own = f"{self.folder}{version}/"
        files = self._files(self._read(self._manifest_key(version)))
        return {file.key for file in files if file.bucket == self._bucket and not file.key.startswith(own)}

    # --- taking out of use, and back ---------------------------------------------------------------------------------

    def withdraw(self, version: str) -> None:
        """Take the published manifest away: from now on nobody finds the dataset."""
        self._s3.delete_object(Bucket=self._bucket, Key=self._manifest_key(version))

    def mark(self, rows: Iterable[str]) -> None:
        """Mark rows, so that the bucket's lifecycle removes them."""
        for key in rows:
            tags = {"TagSet": [{"Key": self._tag, "Value": "true"}]}
            self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging=tags)

    def restore(self, entry: Entry, rows: Iterable[str]) -> bool:
        """Put a dataset back that was withdrawn, when all of it is still there; say whether it was.

        Marks go first: a dataset that can be found is never one that expires.

        Args:
            rows: Keys of what may have been marked.
        """
        manifest = self._find(f"{self.folder}{entry.version}/attempt={entry.attempt}/manifest.json")
        if manifest is None or not self._is_whole(manifest):
            return False
        for key in rows:
            self._s3.delete_object_tagging(Bucket=self._bucket, Key=key)
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._manifest_key(entry.version),
                Body=json.dumps(manifest).encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _EXISTS:
                raise
        return True

    def _is_whole(self, manifest: Mapping[str, Any]) -> bool:
        try:
            files = self._files(manifest)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ABSENT:
                raise
            return False
        return all(self._exists(file) for file in files)

    # --- objects ---------------------------------------------------------------------------------------------------

    def _files(self, manifest: Mapping[str, Any]) -> list[Address]:
        """The files that the split manifests of a dataset name."""
        found = []
        for split in manifest["splits"].values():
            first, *names = read_json(self._s3, parse_uri(split["manifest_uri"]))
            found += [parse_uri(first["prefix"] + name) for name in names]
        return found

    def _manifest_key(self, version: str) -> str:
        return f"{self.folder}{version}/manifest.json"

    def _read(self, key: str) -> Any:
        return read_json(self._s3, Address(self._bucket, key))

    def _find(self, key: str) -> Any:
        try:
            return self._read(key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ABSENT:
                raise
            return None

    def _exists(self, file: Address) -> bool:
        try:
            self._s3.head_object(Bucket=file.bucket, Key=file.key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ABSENT:
                raise
            return False
        return True


def objects(s3: Any, bucket: str, prefix: str) -> Iterator[Stored]:
    """Yield the objects of a bucket whose keys start like this, in order."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            yield Stored(item["Key"], item["LastModified"])


def delete(s3: Any, bucket: str, keys: Sequence[str]) -> int:
    """Delete objects, which a versioned bucket keeps for a while; give how many there were.

    Raises:
        RuntimeError: S3 did not delete some of them.
    """
    for start in range(0, len(keys), _AT_ONCE):
        wanted = {"Objects": [{"Key": key} for key in keys[start : start + _AT_ONCE]], "Quiet": True}
        failed = s3.delete_objects(Bucket=bucket, Delete=wanted).get("Errors", ())
        if failed:
            raise RuntimeError(f"{len(failed)} objects of {bucket} could not be deleted, the first: {failed[0]}")
    return len(keys)
