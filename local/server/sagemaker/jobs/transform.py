"""Batch transform jobs: a model answers every record of some objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.server import clock
from local.server.host import Caller
from local.server.sagemaker import s3_data
from local.server.sagemaker.endpoints.fleet import Fleet, FleetFailed
from local.server.sagemaker.endpoints.instance import NoAnswer
from local.server.sagemaker.endpoints.line import Line
from local.server.sagemaker.errors import unsupported
from local.server.sagemaker.jobs.channels import check_source, fetch, s3_of
from local.server.sagemaker.jobs.records import NotJoined, Processing
from local.server.sagemaker.jobs.runner import DATA_ERRORS, DUPLICATE, JobFailed, Jobs, RunningJob
from local.server.sagemaker.models import Models
from local.server.sagemaker.platform import Platform
from local.server.sagemaker.resources import TRANSFORM_JOB
from local.server.sagemaker.store import Document

_GROUP = "/aws/sagemaker/TransformJobs"
_DEFAULT_PAYLOAD_MB = 6
_MEGABYTE = 1024 * 1024


class TransformJobs(Jobs):
    """CreateTransformJob and its like."""

    kind = TRANSFORM_JOB
    title = "Transform Job"
    start_member = "TransformStartTime"
    end_member = "TransformEndTime"
    not_found = "Could not find requested job with name: {name}"
    duplicate = DUPLICATE
    deletable = False

    def __init__(self, platform: Platform, models: Models) -> None:
        super().__init__(platform)
        self._models = models

    # -- accepting

    def accept(self, params: Document, _caller: Caller, _arn: str) -> Document:
        """Check what the shape of the request leaves open."""
        source = params["TransformInput"]
        check_source("TransformInput", source["DataSource"]["S3DataSource"], "File")
        if source.get("CompressionType", "None") != "None":
            raise unsupported(f"CompressionType {source['CompressionType']} of TransformInput (None is)")
        if source.get("SplitType", "None") not in ("None", "Line"):
            raise unsupported(f"SplitType {source['SplitType']} (None and Line are)")
        Processing.parse(params)
        for member in ("DataCaptureConfig", "Environment"):
            if params.get(member):
                raise unsupported(f"{member} of a transform job")
        model = self._models.model(params["ModelName"])
        return {**params, "_Model": model}

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """The model's first image and VPC; its fleet looks at the others."""
        model = document["_Model"]
        return model["_Containers"][0]["image"], model.get("VpcConfig")

    def role_of(self, document: Document) -> str:
        """A transform job acts under its model's role."""
        return str(document["_Model"]["ExecutionRoleArn"])

    # -- running

    def perform(self, job: RunningJob) -> None:
        """Download, answer every object, upload."""
        document = job.document
        source = document["TransformInput"]["DataSource"]["S3DataSource"]
        inputs, outputs = job.sandbox.make("input/data"), job.sandbox.make("output")
        fetch(s3_of(self.host, job.credentials), source["S3DataType"], source["S3Uri"], inputs)
        self.change(document["TransformJobName"], TransformStartTime=clock.now())
        fleet = self._fleet(document)
        try:
            fleet.start()
            instances = [slot.instance for slot in fleet.variants["AllTraffic"].slots]
            paths = sorted(each for each in inputs.rglob("*") if each.is_file())

            def answer(number: int) -> None:
                """One machine's share of the objects."""
                for path in paths[number :: len(instances)]:
                    job.check_stop()
                    target = outputs / f"{path.relative_to(inputs).as_posix()}.out"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(answer_file(instances[number], document, path))

            with ThreadPoolExecutor(max_workers=len(instances)) as pool:
                list(pool.map(answer, range(len(instances))))
        except FleetFailed as error:
            raise JobFailed(f"AlgorithmError: {error}") from error
        finally:
            fleet.stop()
        self._upload(job, outputs)

    def _fleet(self, document: Document) -> Fleet:
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": document["ModelName"],
            "InitialInstanceCount": document["TransformResources"]["InstanceCount"],
            "InitialVariantWeight": 1.0,
        }
        models = {document["ModelName"]: document["_Model"]}
        config = {"ProductionVariants": [variant]}
        return Fleet(self.platform, document["TransformJobName"], config, models, log_group=_GROUP)

    def _upload(self, job: RunningJob, outputs: Path) -> None:
        output = job.document["TransformOutput"]
        address = s3_data.Address.parse(output["S3OutputPath"])
        try:
            s3_data.upload_folder(s3_of(self.host, job.credentials), outputs, address, output.get("KmsKeyId"))
        except DATA_ERRORS as error:
            raise JobFailed(f"ClientError: Output upload failed:{error}") from error


def answer_file(instance: Line, document: Document, path: Path) -> bytes:
    """Have an instance answer an object.

    Args:
        document: ``TransformInput`` and ``TransformOutput`` of the request, and how records are packed.

    Raises:
        JobFailed: It does not answer, refuses a record, or its answers cannot be joined.
    """
    source, output = document["TransformInput"], document["TransformOutput"]
    headers = {
        "Content-Type": source.get("ContentType", "application/octet-stream"),
        "Accept": output.get("Accept", "*/*"),
    }
    processing = Processing.parse(document)
    if processing is not None:
        return _process_file(instance, document, path, processing, headers)
    answers = [_ask(instance, payload, headers, path.name) for payload in _payloads(document, path.read_bytes())]
    end = b"\n" if output.get("AssembleWith", "None") == "Line" else b""
    return b"".join(answer.removesuffix(end) + end if end else answer for answer in answers)


def _process_file(
    instance: Line, document: Document, path: Path, processing: Processing, headers: dict[str, str]
) -> bytes:
    """Filter, ask and join record by record; an answer to several records has a line for each."""
    results = []
    records = [line for line in path.read_bytes().splitlines() if line.strip()]
    try:
        lines = [processing.request(record) for record in records]
        left = iter(records)
        for count, payload in _packed(document, lines):
            reply = _ask(instance, payload, headers, path.name)
            answers = reply.splitlines() if count > 1 else [reply]
            if len(answers) != count:
                raise JobFailed(f"ClientError: {path.name}: {count} records were answered by {len(answers)} lines")
            results += [processing.result(next(left), answer) for answer in answers]
    except NotJoined as error:
        raise JobFailed(f"ClientError: {path.name}: {error}") from error
    return b"".join(results)


def _ask(instance: Line, payload: bytes, headers: dict[str, str], name: str) -> bytes:
    try:
        reply = instance.invoke(payload, headers)
    except NoAnswer as error:
        raise JobFailed(f"AlgorithmError: the model did not answer for {name}: {error}") from error
    if reply.status >= 300:
        text = reply.body.decode("utf-8", errors="replace")
        raise JobFailed(f"ClientError: the model answered {reply.status} for {name}: {text}")
    return reply.body


def _payloads(document: Document, content: bytes) -> list[bytes]:
    """The requests for one object: the whole of it, each line, or as many lines as fit into a payload."""
    if document["TransformInput"].get("SplitType", "None") == "None":
        return [content]
    return [payload for _, payload in _packed(document, content.splitlines(keepends=True))]


def _packed(document: Document, lines: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Requests with the number of lines in each."""
    most = document.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB) * _MEGABYTE
    single = document.get("BatchStrategy") == "SingleRecord"
    packed: list[bytes] = []
    size = 0
    for line in lines:
        if packed and (single or size + len(line) > most):
            yield len(packed), b"".join(packed)
            packed, size = [], 0
        packed.append(line)
        size += len(line)
    if packed:
        yield len(packed), b"".join(packed)
