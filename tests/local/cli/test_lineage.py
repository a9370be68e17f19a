"""Lineage as a tree, from either end."""

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.tree import Tree

from local.lineage import LineageReader, Model, Source, downstream, upstream

FILES = [{"source": "orders", "key": "orders.csv.gz", "sha256": "a" * 64, "bytes": 1}]
SOURCE = Source("1" * 32, "2024-03-11T00:00:00Z", FILES)
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/dev-orders-models/3"


class Registry:
    """Stands for SageMaker: one version, and an endpoint whose model is a set that was made of it."""

    def get_paginator(self, operation: str) -> Any:
        pages = {
            "list_endpoints": [{"Endpoints": [{"EndpointName": "dev-orders-live"}]}],
            "list_model_packages": [{"ModelPackageSummaryList": [{"ModelPackageArn": ARN}]}],
        }
        return SimpleNamespace(paginate=lambda **_: pages[operation])

    def describe_endpoint(self, **_: Any) -> Any:
        return {"EndpointConfigName": "conf"}

    def describe_endpoint_config(self, **_: Any) -> Any:
        return {"ProductionVariants": [{"ModelName": "several"}]}

    def describe_model(self, **_: Any) -> Any:
        return {"Containers": [{"Mode": "MultiModel", "ModelDataUrl": f"s3://a/orders/segments/{'f' * 64}/models/"}]}

    def describe_model_package(self, **_: Any) -> Any:
        return {
            "ModelPackageArn": ARN,
            "ModelPackageVersion": 3,
            "ModelApprovalStatus": "Approved",
            "CustomerMetadataProperties": {"model_sha256": "f" * 64},
        }


def test_a_set_of_models_leads_to_the_version_that_it_was_made_of() -> None:
    outputs: Any = SimpleNamespace(
        model_package_group="dev-orders-models", endpoint_name="dev-orders-live", datasets_bucket="d", runs_table="r"
    )
    aws: Any = SimpleNamespace(client=lambda _name: Registry())
    settings: Any = SimpleNamespace(workload="orders")
    (model,) = LineageReader(settings, aws, outputs).served()
    assert (model.version, model.endpoints) == (3, ("dev-orders-live",))


def any_model(**changed: Any) -> Model:
    properties = {"run_id": "run-1", "dataset_version": SOURCE.version, "commit": "c0ffee"}
    return Model(
        **{"arn": ARN, "version": 3, "status": "Approved", "properties": properties, "endpoints": (), **changed}
    )


def lines(tree: Tree) -> list[str]:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(tree)
    return [line.lstrip(" │├└─") for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_model_leads_to_its_endpoints_its_run_its_dataset_and_the_files_of_that() -> None:
    assert lines(upstream(any_model(endpoints=("dev-orders-live",)), SOURCE)) == [
        "endpoint dev-orders-live",
        f"model 3 Approved {ARN}",
        "run run-1",
        "commit c0ffee",
        f"dataset {SOURCE.version} as of 2024-03-11T00:00:00Z",
        f"orders orders.csv.gz {'a' * 64}",
    ]


def test_a_model_whose_dataset_was_made_elsewhere_says_so() -> None:
    told = lines(upstream(any_model(), None))
    assert told[0] == "endpoint nothing"
    assert told[-1] == f"dataset {SOURCE.version}, not published here"


def test_a_model_without_properties_is_shown_all_the_same() -> None:
    assert lines(upstream(any_model(properties={}), None)) == ["endpoint nothing", f"model 3 Approved {ARN}"]


def test_a_dataset_leads_to_its_files_its_models_and_what_serves_them() -> None:
    other = any_model(version=4, properties={"dataset_version": "2" * 32})
    rejected = any_model(version=2, status="Rejected")
    assert lines(downstream(SOURCE, [rejected, any_model(endpoints=("dev-orders-live",)), other])) == [
        f"dataset {SOURCE.version} as of 2024-03-11T00:00:00Z",
        "made of",
        f"orders orders.csv.gz {'a' * 64}",
        f"model 2 Rejected {ARN}",
        "endpoint nothing",
        f"model 3 Approved {ARN}",
        "endpoint dev-orders-live",
    ]


def test_a_dataset_that_no_model_was_made_of_says_so() -> None:
    assert lines(downstream(SOURCE, []))[-1] == "no registered model was made of it"
