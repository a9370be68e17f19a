"""Collect what a report tells from the local AWS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.aws import Aws
from local.chain import Chain
from local.clock import account_now
from local.outputs import Outputs
from local.report.content import Content, Document
from local.runs.read import RunReader
from local.settings import Settings
from local.sizing.read import things_of
from local.sizing.things import Place


def collect(settings: Settings, aws: Aws, outputs: Outputs, chain: Chain) -> Content:
    """Read the documents that the run has left behind."""
    data = chain.of("data")
    manifest: Document | None = (data.output or {}).get("dataset") if data is not None else None
    endpoint = _endpoint(aws, outputs.endpoint_name)
    evaluations = f"{settings.workload}/evaluations/{chain.run_id}-"
    reader = RunReader(settings, aws, outputs)
    runs = reader.all()
    tuned = next((run for run in reversed(runs) if run.tuning), None)
    return Content(
        workload=settings.workload,
        stage=settings.stage,
        chain=chain,
        report=_from_uri(aws, manifest, "report_uri"),
        profile=_from_uri(aws, manifest, "profile_uri"),
        manifest=manifest,
        evaluation=_newest(aws, outputs.artefacts_bucket, evaluations, "evaluation.json"),
        evaluation_details=_newest(aws, outputs.artefacts_bucket, evaluations, "details.json"),
        evaluation_page=_newest_text(aws, outputs.artefacts_bucket, evaluations, "report.html"),
        gate=_gate(chain),
        package=_package(aws, chain),
        endpoint=endpoint,
        endpoint_config=_endpoint_config(aws, endpoint),
        golden=_golden(settings, aws, outputs, chain),
        runs=runs,
        trials=reader.trials(tuned) if tuned is not None else (),
        sizes=things_of(Place(settings, aws, outputs, account_now(settings))),
    )


def _from_uri(aws: Aws, manifest: Document | None, key: str) -> Document | None:
    if manifest is None:
        return None
    parts = urlsplit(str(manifest[key]))
    return _read(aws, parts.netloc, parts.path.lstrip("/"))


def _read(aws: Aws, bucket: str, key: str) -> Document:
    found: Document = json.loads(_text(aws, bucket, key))
    return found


def _text(aws: Aws, bucket: str, key: str) -> str:
    content: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content.decode("utf-8")


def _newest(aws: Aws, bucket: str, prefix: str, name: str) -> Document | None:
    """The newest JSON document of a name below a prefix."""
    text = _newest_text(aws, bucket, prefix, name)
    return json.loads(text) if text is not None else None


def _newest_text(aws: Aws, bucket: str, prefix: str, name: str) -> str | None:
    """The newest text of a name below a prefix: a retried job has left older ones."""
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = [item for page in pages for item in page.get("Contents", []) if item["Key"].endswith(f"/{name}")]
    newest = max(found, key=lambda item: item["LastModified"], default=None)
    return _text(aws, bucket, newest["Key"]) if newest else None


def _gate(chain: Chain) -> Sequence[Document]:
    model = chain.of("model")
    output: Any = model.output if model is not None else None
    return tuple(output.get("rules", ())) if isinstance(output, dict) else ()


def _package(aws: Aws, chain: Chain) -> Document | None:
    if chain.package is None:
        return None
    found: Document = aws.client("sagemaker").describe_model_package(ModelPackageName=chain.package.arn)
    return found


def _endpoint(aws: Aws, name: str) -> Document | None:
    try:
        found: Document = aws.client("sagemaker").describe_endpoint(EndpointName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ValidationException", "ResourceNotFound"}:
            return None
        raise
    return found


def _endpoint_config(aws: Aws, endpoint: Document | None) -> Document | None:
    if endpoint is None:
        return None
    name = endpoint["EndpointConfigName"]
    found: Document = aws.client("sagemaker").describe_endpoint_config(EndpointConfigName=name)
    return found


def _golden(settings: Settings, aws: Aws, outputs: Outputs, chain: Chain) -> Document | None:
    deployment = chain.of("deployment")
    if deployment is None:
        return None
    return _newest(aws, outputs.artefacts_bucket, f"{settings.workload}/golden/{deployment.name}", "golden.json")
