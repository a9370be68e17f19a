"""Read the index of published datasets, what each one is made of, and who uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.aws import Aws
from local.errors import UserError
from local.outputs import Outputs
from local.settings import Settings

SHORTEST_NAME = 4
REJECTED = "Rejected"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Dataset:
    """One entry of the index.

    Args:
        version: 32 hex digits.
        as_of: The instant that stood for now when it was made.
        manifest_uri: Where its published manifest is, or was before it was retired.
        report_uri, profile_uri: Where report and profile are; they stay.
    """

    version: str
    as_of: str
    manifest_uri: str
    report_uri: str
    profile_uri: str

    @property
    def record_uri(self) -> str:
        """The copy of the manifest that lies with the attempt that made it, and stays."""
        return self.report_uri.rpartition("/")[0] + "/manifest.json"


@dataclass(frozen=True)
class Described:
    """A dataset with its manifest and its profile.

    Args:
        published: Whether it can be read; a retired one cannot.
    """

    dataset: Dataset
    published: bool
    manifest: Document
    profile: Document


@dataclass(frozen=True)
class Use:
    """Who uses a dataset.

    Args:
        models: Registered models that were not rejected, such as ``3 Approved``.
        runs: Training runs that pinned it, oldest first.
    """

    models: tuple[str, ...]
    runs: tuple[str, ...]


class DatasetReader:
    """Reads the datasets of one workload."""

    def __init__(self, settings: Settings, aws: Aws, outputs: Outputs) -> None:
        self._aws = aws
        self._bucket = outputs.datasets_bucket
        self._group = outputs.model_package_group
        self._folder = f"{settings.workload}/"

    def all(self) -> list[Dataset]:
        """Every dataset that was ever published, in order of ``as_of``."""
        return [Dataset(**self._read(key)) for key in self._keys(f"{self._folder}index/")]

    def find(self, name: str) -> Dataset:
        """The dataset whose version starts with ``name``.

        Raises:
            UserError: The name is too short, or fits no dataset or several.
        """
        datasets = self.all()
        found = [dataset for dataset in datasets if dataset.version.startswith(name)]
        if len(name) >= SHORTEST_NAME and len(found) == 1:
            return found[0]
        known = ", ".join(dataset.version[:12] for dataset in datasets) or "none was published yet"
        problem = "fits several datasets" if len(found) > 1 else "is no dataset"
        if len(name) < SHORTEST_NAME:
            problem = f"is too short, at least {SHORTEST_NAME} digits are needed"
        raise UserError(f"version {name!r} {problem} (allowed: {known})")

    def describe(self, dataset: Dataset) -> Described:
        """Manifest and profile; of a retired dataset, the record that was kept of it."""
        published = self.is_published(dataset)
        manifest = self._read(_key(dataset.manifest_uri if published else dataset.record_uri))
        return Described(dataset, published, manifest, self._read(_key(dataset.profile_uri)))

    def is_published(self, dataset: Dataset) -> bool:
        """Whether the dataset can be read: it has a manifest."""
        try:
            self._aws.client("s3").head_object(Bucket=self._bucket, Key=_key(dataset.manifest_uri))
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                return False
            raise
        return True

    def uses(self) -> dict[str, Use]:
        """Who uses which version."""
        models: dict[str, list[str]] = {}
        for version, model in self._models():
            models.setdefault(version, []).append(model)
        runs: dict[str, list[str]] = {}
        for key in self._keys(f"{self._folder}pins/"):
            version, run = key.split("/")[2:]
            runs.setdefault(version, []).append(run.removesuffix(".json"))
        return {
            version: Use(tuple(models.get(version, ())), tuple(runs.get(version, ()))) for version in {*models, *runs}
        }

    def _models(self) -> Iterator[tuple[str, str]]:
        client = self._aws.client("sagemaker")
        pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=self._group)
        for summary in (summary for page in pages for summary in page["ModelPackageSummaryList"]):
            package = client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
            version = package.get("CustomerMetadataProperties", {}).get("dataset_version")
            if version is not None and package["ModelApprovalStatus"] != REJECTED:
                yield version, f"{package['ModelPackageVersion']} {package['ModelApprovalStatus']}"

    def _keys(self, prefix: str) -> list[str]:
        pages = self._aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _read(self, key: str) -> Any:
        return json.loads(self._aws.client("s3").get_object(Bucket=self._bucket, Key=key)["Body"].read())


def _key(uri: str) -> str:
    return urlsplit(uri, allow_fragments=False).path.lstrip("/")
