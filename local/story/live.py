"""On the deployed platform: a challenger that rolls out by canary, and a sabotaged model that is taken back."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from gapless_lambda.statement import OF_SIGNATURE
from gapless_sagemaker.artefact import open_artefact
from local.chain import Chain
from local.demo import DemoOptions, Record, borrowed, prepare
from local.errors import Failure
from local.executions import RUNNING, SUCCEEDED, Execution, execution_arns, read_execution
from local.flights import Months
from local.memory import PeakMemory
from local.outputs import stack_name
from local.predict import golden_request, model_of, predict
from local.settings import Settings
from local.steps import LandRequest, Platform, step_land, step_run

FIRST: Final = LandRequest(Months(1, 4), 20_000)
CHALLENGER: Final = LandRequest(Months(5, 6), 20_000)
TIMEOUT_SECONDS: Final = 1800.0
WAIT_SCALE: Final = 0.1
"""A bake is half a minute here, so that alarms see what goes on in it."""

SABOTAGE: Final = """

# A feature is broken on purpose, in front of clients only: neither the gate nor the golden requests can see it.
import os as _os

_sound_predict_fn = predict_fn


def predict_fn(instances, model):
    if "SAGEMAKER_PROGRAM" in _os.environ:
        instances = [{**each, "distance": each["distance"] / each["miles_per_hour"]} for each in instances]
    return _sound_predict_fn(instances, model)
"""

Document = dict[str, Any]
_LOOK_SECONDS: Final = 0.5


@dataclass
class Traffic:
    """Requests of a client that asks all the time.

    Attributes:
        answered, failed: How many there were of each.
    """

    target: Platform
    answered: int = 0
    failed: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask until told to stop; what goes wrong is counted, as a client would."""
        request = golden_request(self.target.settings)
        model = model_of(self.target.settings, request)
        while not self._stopped.wait(0.05):
            try:
                predict(self.target.aws, self.target.outputs, request, model)
                self.answered += 1
            except (Failure, ClientError, BotoCoreError):
                self.failed += 1

    @contextmanager
    def going_on(self) -> Iterator[Traffic]:
        """Ask while the block runs."""
        thread = threading.Thread(target=self.ask, name="traffic", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join(30)


def run_live(settings: Settings, console: Console) -> list[Document]:
    """Deploy, roll a challenger out, push a sabotaged model; give the events in order.

    Raises:
        Failure: A step failed, or went otherwise than it has to: the sabotaged model stayed.
    """
    options, record = DemoOptions(FIRST, False, TIMEOUT_SECONDS, WAIT_SCALE), Record()
    with borrowed(settings, options, record), PeakMemory({os.getpid()}) as memory:
        target = prepare(settings, options, record, memory, console)
        first = _landed(target, FIRST, console)
        events = [_event(FIRST, "rollout", f"live: {_short_of(first)} is the first that serves")]
        with Traffic(target).going_on() as traffic:
            second = _landed(target, CHALLENGER, console)
        told = f"{traffic.answered:,} requests answered meanwhile, {traffic.failed:,} not"
        kind = "rollout" if second.of("deployment") is not None else "refused"
        events.append(_event(CHALLENGER, kind, f"live: {_deployed(second)}; {told}"))
        serving = second if second.package is not None and kind == "rollout" else first
        with Traffic(target).going_on() as traffic:
            ended = _sabotage(target, serving)
        events.append(_event(CHALLENGER, "rollback", _taken_back(target, ended, traffic)))
        console.print(events[-1]["text"], markup=False)
    return events


def _landed(target: Platform, request: LandRequest, console: Console) -> Chain:
    return step_run(target, step_land(target, request, console), console, timeout_seconds=TIMEOUT_SECONDS)


def _deployed(chain: Chain) -> str:
    deployment = chain.of("deployment")
    if deployment is None or chain.package is None:
        return f"run {chain.run_id}: {chain.outcome()}"
    return f"{_short(chain.package.arn)} is rolled out by canary: {', '.join(_guarded(deployment))}"


def _guarded(deployment: Execution) -> list[str]:
    return [state.name for state in deployment.states if "Endpoint" in state.name or "Golden" in state.name]


def _short_of(chain: Chain) -> str:
    return _short(chain.package.arn) if chain.package is not None else f"run {chain.run_id}: {chain.outcome()}"


def _short(arn: str) -> str:
    return arn.partition("/")[2]


def _event(request: LandRequest, kind: str, text: str) -> Document:
    return {"at": request.months.end.isoformat(), "kind": kind, "text": text}


# --- sabotage --------------------------------------------------------------------------------------------------------


def _sabotage(target: Platform, serving: Chain) -> Execution:
    """Push the serving model with a broken feature."""
    if serving.package is None:
        raise Failure(f"no model serves that could be sabotaged: {serving.outcome()}")
    return deployment_of(target, push(target, serving.package.arn, SABOTAGE))


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


def _taken_back(target: Platform, ended: Execution, traffic: Traffic) -> str:
    """What became of the sabotaged model.

    Raises:
        Failure: It serves.
    """
    arn = ended.input["model_package_arn"]
    if ended.status == SUCCEEDED:
        raise Failure(f"the sabotaged model {_short(arn)} was rolled out and stays")
    package = target.aws.client("sagemaker").describe_model_package(ModelPackageName=arn)
    return (
        f"live: sabotaged {_short(arn)} is taken back, {ended.error}: {ended.cause}; it is "
        f"{package['ModelApprovalStatus'].lower()}, the model before it serves on; {traffic.answered:,} requests "
        f"answered meanwhile, {traffic.failed:,} not"
    )
