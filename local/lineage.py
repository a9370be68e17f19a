"""What came of what: files, datasets, models and endpoints, asked from either end.

Read from the registry, from what serves, and from the published datasets; a model names its dataset, its run and its
scripts in the properties of its package, and an endpoint's models name their packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from rich.text import Text
from rich.tree import Tree

from local.aws import Aws
from local.datasets.read import Dataset, DatasetReader
from local.errors import UserError
from local.outputs import Outputs
from local.settings import Settings

NOTHING = "nothing"


@dataclass(frozen=True)
class Model:
    """A registered model.

    Args:
        arn: Of its package.
        version: Its number in the group.
        status: Its approval status.
        properties: What its package says of where it came from.
        endpoints: Names of the endpoints that serve it.
    """

    arn: str
    version: int
    status: str
    properties: Mapping[str, str]
    endpoints: tuple[str, ...]

    @property
    def dataset_version(self) -> str | None:
        """The dataset that it was made of."""
        return self.properties.get("dataset_version")


@dataclass(frozen=True)
class Source:
    """A dataset with the files that it was made of.

    Args:
        version: 32 hex digits.
        as_of: The instant that stood for now when it was made.
        files: ``source``, ``key`` and ``sha256`` of each.
    """

    version: str
    as_of: str
    files: Sequence[Mapping[str, Any]]


class LineageReader:
    """Reads what belongs together in one workload."""

    def __init__(self, settings: Settings, aws: Aws, outputs: Outputs) -> None:
        self._sagemaker = aws.client("sagemaker")
        self._group = outputs.model_package_group
        self._endpoint = outputs.endpoint_name
        self._datasets = DatasetReader(settings, aws, outputs)

    def models(self) -> list[Model]:
        """Every registered model, the oldest first."""
        serving = self._serving()
        pages = self._sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=self._group)
        found = [
            self._sagemaker.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
            for page in pages
            for summary in page["ModelPackageSummaryList"]
        ]
        return sorted((_model(each, serving) for each in found), key=lambda model: model.version)

    def model(self, name: str) -> Model:
        """The model with this number or ARN.

        Raises:
            UserError: There is none.
        """
        models = self.models()
        for each in models:
            if name in (each.arn, str(each.version)):
                return each
        known = ", ".join(str(each.version) for each in models) or "none was registered yet"
        raise UserError(f"--model {name!r} is no registered model (allowed: {known}, or an ARN)")

    def served(self) -> list[Model]:
        """The models behind the workload's endpoint.

        Raises:
            UserError: Nothing serves.
        """
        found = [each for each in self.models() if self._endpoint in each.endpoints]
        if not found:
            raise UserError(f"endpoint {self._endpoint} serves no registered model yet")
        return found

    def source(self, version: str) -> Source | None:
        """The dataset of a model; ``None`` for one that was never published here, such as that of another account."""
        dataset = next((each for each in self._datasets.all() if each.version == version), None)
        return self._described(dataset) if dataset is not None else None

    def find_source(self, name: str) -> Source:
        """The dataset whose version starts like this.

        Raises:
            UserError: There is none, or there are several.
        """
        return self._described(self._datasets.find(name))

    def _described(self, dataset: Dataset) -> Source:
        return Source(dataset.version, dataset.as_of, self._datasets.describe(dataset).manifest["inputs"])

    def _serving(self) -> dict[str, list[str]]:
        """ARN of a package, or digest of its content, to the names of the endpoints that serve it."""
        found: dict[str, list[str]] = {}
        pages = self._sagemaker.get_paginator("list_endpoints").paginate()
        for name in (each["EndpointName"] for page in pages for each in page["Endpoints"]):
            for package in self._packages_behind(name):
                found.setdefault(package, []).append(name)
        return found

    def _packages_behind(self, endpoint: str) -> Iterator[str]:
        client = self._sagemaker
        try:
            config = client.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
            variants = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
            models = [client.describe_model(ModelName=each["ModelName"]) for each in variants]
        except ClientError as error:
            if "Could not find" not in str(error):
                raise
            return
        for container in (each for model in models for each in model.get("Containers", [])):
            if "ModelPackageName" in container:
                yield container["ModelPackageName"]
            elif container.get("Mode") == "MultiModel":  # a set of models lies in a folder named by its content
                yield container["ModelDataUrl"].removesuffix("/models/").rpartition("/")[2]


def _model(package: Mapping[str, Any], serving: Mapping[str, Sequence[str]]) -> Model:
    arn, properties = package["ModelPackageArn"], package.get("CustomerMetadataProperties", {})
    endpoints = {*serving.get(arn, ()), *serving.get(properties.get("model_sha256", ""), ())}
    return Model(
        arn,
        package["ModelPackageVersion"],
        package["ModelApprovalStatus"],
        properties,
        tuple(sorted(endpoints)),
    )


# --- trees -----------------------------------------------------------------------------------------------------------


def upstream(model: Model, source: Source | None) -> Tree:
    """Which data made a model: endpoints at the root, files as leaves."""
    root = Tree(Text(f"endpoint {', '.join(model.endpoints) or NOTHING}"))
    made = root.add(Text(_of_model(model)))
    for line in _origin(model):
        made.add(Text(line))
    if model.dataset_version is not None:
        dataset = made.add(Text(_of_dataset(model.dataset_version, source)))
        for line in _files(source):
            dataset.add(Text(line))
    return root


def downstream(source: Source, models: Sequence[Model]) -> Tree:
    """What a dataset was used for: files and models below it, endpoints as leaves."""
    root = Tree(Text(_of_dataset(source.version, source)))
    files = root.add(Text("made of"))
    for line in _files(source):
        files.add(Text(line))
    of_it = [each for each in models if each.dataset_version == source.version]
    if not of_it:
        root.add(Text("no registered model was made of it"))
    for model in of_it:
        branch = root.add(Text(_of_model(model)))
        for endpoint in model.endpoints:
            branch.add(Text(f"endpoint {endpoint}"))
        if not model.endpoints:
            branch.add(Text(f"endpoint {NOTHING}"))
    return root


def _of_model(model: Model) -> str:
    return f"model {model.version} {model.status} {model.arn}"


def _of_dataset(version: str, source: Source | None) -> str:
    return f"dataset {version} as of {source.as_of}" if source is not None else f"dataset {version}, not published here"


def _origin(model: Model) -> Iterator[str]:
    for name, words in (
        ("run_id", "run"),
        ("training_job", "training job"),
        ("bundle", "scripts"),
        ("commit", "commit"),
        ("model_sha256", "digest"),
        ("promoted_from", "promoted from"),
        ("signing_key", "signed by"),
    ):
        if name in model.properties:
            yield f"{words} {model.properties[name]}"


def _files(source: Source | None) -> Iterator[str]:
    for file in source.files if source is not None else ():
        yield f"{file['source']} {file['key']} {file['sha256']}"
