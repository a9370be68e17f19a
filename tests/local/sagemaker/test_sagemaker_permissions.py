"""On which resource a request needs permission, held against AWS's own list (as cfn-lint ships it)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from local.server.children import Children
from local.server.host import Caller, Credentials, Host, Request, Settings
from local.server.sagemaker.service import SageMaker

NAMES = {
    "TrainingJobName": "one",
    "ProcessingJobName": "one",
    "TransformJobName": "one",
    "EndpointName": "one",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMaker]:
    folder = tmp_path_factory.mktemp("permissions")
    children = Children()
    settings = Settings(folder, folder, 1, "https://127.0.0.1:1", folder / "ca.pem", Path(sys.executable))
    made = SageMaker(Host(settings, Credentials("key", "secret"), None, children))  # type: ignore[arg-type]
    yield made
    made.close()
    children.close()


@pytest.fixture(scope="module")
def actions() -> dict[str, Any]:
    policies = json.loads(resources.files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text())
    found: dict[str, Any] = policies["sagemaker"]["Actions"]
    return found


def params_of(operation: str) -> dict[str, str]:
    if operation.endswith("Tags"):
        return {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/one"}
    if operation.endswith("EndpointConfig"):
        return {"EndpointConfigName": "one"}
    if "PipelineExecution" in operation and operation != "StartPipelineExecution":
        return {"PipelineExecutionArn": "arn:aws:sagemaker:us-east-1:000000000000:pipeline/one/execution/two"}
    if operation == "UpdateModelPackage":
        return {"ModelPackageArn": "arn:aws:sagemaker:us-east-1:000000000000:model-package/one/1"}
    if operation in ("CreateModelPackage", "ListModelPackages"):
        return {"ModelPackageGroupName": "one"}
    if operation.endswith("ModelPackage"):
        return {"ModelPackageName": "one/1"}
    if operation.endswith("ModelPackageGroup"):
        return {"ModelPackageGroupName": "one"}
    return {"ModelName": "one"} if operation.endswith("Model") else NAMES


def request(target: str, params: dict[str, str], path: str = "/") -> Request:
    headers = {"x-amz-target": f"SageMaker.{target}"}
    return Request("POST", path, headers, json.dumps(params).encode(), {}, Caller("key", "arn"))


def test_every_operation_asks_on_a_resource_that_aws_names(service: SageMaker, actions: dict[str, Any]) -> None:
    wrong = {}
    for operation in service.operations:
        allowed = actions[operation.lower()].get("Resources", [])
        asked = service.resource(request(operation, params_of(operation)))
        kind = asked if asked == "*" else asked.split(":")[5].partition("/")[0]
        kind = "pipeline-execution" if "/execution/" in asked else kind
        if kind not in (allowed or ["*"]):
            wrong[operation] = (asked, allowed)

    assert wrong == {}


def test_invoking_asks_on_the_endpoint(service: SageMaker) -> None:
    invocation = request("", {}, "/endpoints/dev-flight-delays-live/invocations")

    assert service.action(invocation) == "InvokeEndpoint"
    assert service.resource(invocation) == "arn:aws:sagemaker:us-east-1:000000000000:endpoint/dev-flight-delays-live"
