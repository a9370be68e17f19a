"""A model that is broken in front of clients only, pushed onto a deployed platform as any other model comes there."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from gapless_lambda.statement import OF_SIGNATURE
from gapless_sagemaker.artefact import open_artefact
from local.errors import Failure
from local.executions import RUNNING, Execution, execution_arns, read_execution
from local.outputs import stack_name
from local.steps import Platform

SABOTAGE: Final = """

# A feature is broken on purpose, in front of clients only: neither the gate nor the golden requests can see it.
import os as _os

_sound_predict_fn = predict_fn


def predict_fn(instances, model):
    if "SAGEMAKER_PROGRAM" in _os.environ:
        instances = [{**each, "distance": each["distance"] / each["miles_per_hour"]} for each in instances]
    return _sound_predict_fn(instances, model)
"""

TIMEOUT_SECONDS: Final = 1800.0

Document = dict[str, Any]
_LOOK_SECONDS: Final = 0.5


def push(target: Platform, package_arn: str, code: str) -> str:
    """Sign, register and approve a model with more code, as if it had passed the gate; returns its package's ARN.

    Args:
        package_arn: The model.
        code: What is added to its ``code/inference.py``.
    """
    client, s3 = target.aws.client("sagemaker"), target.aws.client("s3")
    package = client.describe_model_package(ModelPackageName=package_arn)
    container = package["InferenceSpecification"]["Containers"][0]
    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    run_id = f"{uuid.uuid4().hex[:16]}-1"
    with TemporaryDirectory() as folder:
        archive = Path(folder) / "model.tar.gz"
        archive.write_bytes(with_code(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), code))
        opened = open_artefact(archive, Path(folder) / "opened")
        place = f"{target.settings.workload}/training/{run_id}/output/model.tar.gz"
        s3.put_object(Bucket=target.outputs.artefacts_bucket, Key=place, Body=archive.read_bytes())
    uri = f"s3://{target.outputs.artefacts_bucket}/{place}"
    known = package["CustomerMetadataProperties"]
    properties = {
        **{name: known[name] for name in ("dataset_version", "bundle", "commit")},
        "run_id": run_id,
        "model_sha256": opened.sha256,
    }
    signed = _sign(
        target,
        {
            "properties": properties,
            "containers": [{"Image": container["Image"], "Environment": container["Environment"], "ModelDataUrl": uri}],
            "evaluated": {
                "model_uri": uri,
                "archive_sha256": opened.archive_sha256,
                "evaluation_uri": package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"],
            },
        },
    )
    made = client.create_model_package(
        ModelPackageGroupName=target.outputs.model_package_group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={**package["InferenceSpecification"], "Containers": signed["containers"]},
        ModelMetrics=package["ModelMetrics"],
        CustomerMetadataProperties={**properties, **{name: signed[name] for name in OF_SIGNATURE}},
    )
    return str(made["ModelPackageArn"])


def with_code(original: bytes, code: str) -> bytes:
    """Give a model's archive with code added to its ``code/inference.py``."""
    target = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(original), mode="r:gz") as source,
        tarfile.open(fileobj=target, mode="w:gz") as changed,
    ):
        for member in (each for each in source.getmembers() if each.isfile()):
            file = source.extractfile(member)
            content = file.read() if file is not None else b""
            if member.name.endswith("code/inference.py"):
                content += code.encode()
            entry = tarfile.TarInfo(member.name)
            entry.size = len(content)
            changed.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def _sign(target: Platform, event: Mapping[str, Any]) -> Document:
    """Have the platform's own function sign it."""
    stack = stack_name(target.settings)
    found = target.aws.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    function = next(
        each["PhysicalResourceId"]
        for each in found
        if each["ResourceType"] == "AWS::Lambda::Function" and each["LogicalResourceId"].startswith("SigningSign")
    )
    answer = target.aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    signed: Document = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise Failure(f"the model could not be signed: {signed}")
    return signed


def deployment_of(target: Platform, package_arn: str) -> Execution:
    """Wait for the end of the deployment that the approval sets off."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        for arn in execution_arns(target.aws, target.outputs.deployment_machine_arn, limit=3):
            execution = read_execution(target.aws, "deployment", arn)
            if execution.input.get("model_package_arn") == package_arn and execution.status != RUNNING:
                return execution
        time.sleep(_LOOK_SECONDS)
    raise Failure(f"the deployment of {package_arn} has not ended within {TIMEOUT_SECONDS:.0f} s")
