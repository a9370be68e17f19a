"""The deployed stand: models made for a purpose, deployments of them, and what became of both."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.statement import OF_SIGNATURE
from gapless_sagemaker.artefact import open_artefact
from local.server.clock import NAME as CLOCK
from local.server.clock import Clock
from local.server.sagemaker.faults import FILE as FAULTS
from tests.local.sagemaker.conftest import archive
from tests.local.sagemaker.rollouts.clients import Client, wait_for
from tests.local.sagemaker.rollouts.plan import ASSETS_BUCKET, STAGE, WORKLOADS, Workload

Document = dict[str, Any]

ROOT = Path(__file__).parents[4]

GOLDEN = {"cases": [{"name": "one", "request": {"instances": [1]}, "expect": {"probability": [[0, 1]]}}]}
SCALES = ("--wait-scale", "0.02", "--alarm-scale", "0.04")
"""A second of a wait or a bake lasts a fiftieth, one of an alarm's period twice as long."""

PERIOD_SECONDS = 60 * float(SCALES[3])
"""How long an alarm's period of a minute lasts."""

ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
INFERENCE = """
import json, os, sys, time

SERVES = "SAGEMAKER_PROGRAM" in os.environ
SEEN = [0]

def of_clients(data):
    pass

def model_fn(folder):
    return {version!r}

def input_fn(body, content_type):
    data = json.loads(body)
    if SERVES and data.get("client"):
        SEEN[0] += 1
        of_clients(data)
    return data

def predict_fn(data, model):
    rows = data["instances"] if isinstance(data, dict) else data
    return [{{"probability": {probability}}} for _ in rows]

def output_fn(predictions, accept):
    return json.dumps({{"predictions": predictions, "version": {version!r}, "machine": os.getpid()}})

{more}
"""


@dataclass(frozen=True)
class Deployment:
    """A deployment that has ended."""

    arn: str
    status: str
    input: Document
    output: Document | None
    error: str | None
    cause: str
    states: tuple[str, ...]

    @property
    def run_id(self) -> str:
        return self.arn.rpartition(":")[2]


@dataclass
class Stand:
    """The stand, and the models that were made on it.

    Attributes:
        outputs: What the stack says of itself.
        notices: What was told on call.
        told: What became of each scenario, by strategy and name.
        lacks: How often the log has said that an endpoint waits for machines.
    """

    server: Any
    outputs: dict[str, str]
    scratch: Path
    queue: str
    notices: list[Document] = field(default_factory=list)
    told: dict[tuple[str, str], Any] = field(default_factory=dict)
    lacks: Counter[str] = field(default_factory=Counter)
    _faults: list[Document] = field(default_factory=list)
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        return self.server.client(service)

    # -- models

    def package(self, workload: Workload, version: str, more: str = "", probability: float = 0.5) -> str:
        """Sign, register and approve a model that answers with its version; returns its ARN.

        Args:
            more: Code at the end of the inference script: ``of_clients(data)`` sees every request of a client.
        """
        code = INFERENCE.format(version=version, probability=probability, more=more)
        return self.package_of(workload, {"features.json": json.dumps({"features": []}), "code/inference.py": code})

    def package_of(self, workload: Workload, files: dict[str, str | bytes], golden: Document = GOLDEN) -> str:
        """Sign, register and approve a model that is these files; returns its ARN."""
        run_id = uuid.uuid4().hex[:12]
        bundle = hashlib.sha256(json.dumps(golden).encode()).hexdigest()
        file = self.scratch / f"{run_id}.tar.gz"
        file.write_bytes(archive(files))
        opened = open_artefact(file, self.scratch / run_id)
        artefacts = self.outputs["Artefacts"]
        uri = self._put(f"{workload.name}/training/{run_id}/model.tar.gz", file.read_bytes())
        evaluation = self._put(f"{workload.name}/evaluations/{run_id}.json", b"{}")
        self._put(f"{workload.name}/bundles/{bundle}/sourcedir.tar.gz", archive({"golden.json": json.dumps(golden)}))
        assert uri.startswith(f"s3://{artefacts}/")
        properties = {"run_id": run_id, "model_sha256": opened.sha256, "bundle": bundle}
        container = {
            "Image": self.outputs["ImageUri"],
            "ModelDataUrl": uri,
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        }
        evaluated = {"model_uri": uri, "archive_sha256": opened.archive_sha256, "evaluation_uri": evaluation}
        event = {"properties": properties, "containers": [container], "evaluated": evaluated}
        answer = self.client("lambda").invoke(
            FunctionName=self.outputs[f"{workload.name.title()}Sign"], Payload=json.dumps(event)
        )
        signed = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, signed
        made = self.client("sagemaker").create_model_package(
            ModelPackageGroupName=f"{STAGE}-{workload.name}-models",
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": signed["containers"],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            CustomerMetadataProperties={**properties, **{name: signed[name] for name in OF_SIGNATURE}},
        )
        return str(made["ModelPackageArn"])

    def status_of(self, package: str) -> tuple[str, str]:
        """The approval status of a version, and its reason."""
        found = self.client("sagemaker").describe_model_package(ModelPackageName=package)
        return found["ModelApprovalStatus"], found.get("ApprovalDescription", "")

    def _put(self, key: str, body: bytes) -> str:
        bucket = self.outputs["Artefacts"]
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    # -- deployments

    def start(self, workload: Workload, package: str = "", *, machine: str = "Machine", **given: str) -> str:
        """Start the deployment machine, or the one with another fleet; returns the execution's ARN."""
        name = uuid.uuid4().hex[:12]
        whole = {"run_id": name, "workload": workload.name, "model_package_arn": package} if package else {}
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs[f"{workload.name.title()}{machine}Arn"],
            name=name,
            input=json.dumps({**whole, **given}),
        )
        return str(started["executionArn"])

    def end_of(self, execution: str) -> Deployment:
        """Wait for the end of a deployment."""
        states = self.client("stepfunctions")

        def ended() -> Any:
            found = states.describe_execution(executionArn=execution)
            return found if found["status"] in ENDED else None

        found = wait_for(ended)
        return Deployment(
            execution,
            found["status"],
            json.loads(found["input"]),
            json.loads(found["output"]) if "output" in found else None,
            found.get("error"),
            found.get("cause", ""),
            tuple(self._states_of(execution)),
        )

    def cancel(self, execution: str) -> None:
        """Stop a deployment half way."""
        self.client("stepfunctions").stop_execution(executionArn=execution, error="Cancelled", cause="second thoughts")

    def redrive(self, execution: str) -> Deployment:
        """Take a deployment that failed up again, and run it to its end."""
        self.client("stepfunctions").redrive_execution(executionArn=execution)
        return self.end_of(execution)

    def deploy(self, workload: Workload, package: str = "", *, machine: str = "Machine", **given: str) -> Deployment:
        """Run the deployment machine to its end."""
        return self.end_of(self.start(workload, package, machine=machine, **given))

    def _states_of(self, execution: str) -> Iterator[str]:
        history = self.client("stepfunctions").get_paginator("get_execution_history")
        for page in history.paginate(executionArn=execution):
            for event in page["events"]:
                if "stateEnteredEventDetails" in event:
                    yield event["stateEnteredEventDetails"]["name"]

    def await_state(self, execution: str, name: str) -> None:
        """Wait until an execution has entered a state."""
        wait_for(lambda: name in self._states_of(execution))

    # -- the endpoint

    def endpoint(self, workload: Workload) -> Document | None:
        """What SageMaker says of the endpoint; ``None`` if there is none."""
        try:
            found: Document = self.client("sagemaker").describe_endpoint(EndpointName=workload.endpoint)
        except ClientError as error:
            assert "Could not find" in str(error)
            return None
        return found

    def await_endpoint(self, workload: Workload, *statuses: str) -> Document:
        """Wait until the endpoint is in one of these states."""

        def there() -> Any:
            found = self.endpoint(workload)
            return found if found is not None and found["EndpointStatus"] in statuses else None

        return wait_for(there)  # type: ignore[no-any-return]

    def remove_endpoint(self, workload: Workload) -> None:
        """Let nothing serve, and nothing be remembered of what has."""
        if self.endpoint(workload) is not None:
            self.await_endpoint(workload, "InService", "Failed", "UpdateRollbackFailed")
            self.client("sagemaker").delete_endpoint(EndpointName=workload.endpoint)
            wait_for(lambda: self.endpoint(workload) is None)
        key = {"run": {"S": f"live#{workload.name}"}}
        self.client("dynamodb").delete_item(TableName=self.outputs["Runs"], Key=key)

    def await_quiet(self, workload: Workload) -> None:
        """Wait until no alarm of the endpoint is on."""
        watch = self.client("cloudwatch")
        wait_for(
            lambda: not watch.describe_alarms(AlarmNamePrefix=workload.endpoint, StateValue="ALARM")["MetricAlarms"]
        )

    def resize(self, workload: Workload, count: int) -> None:
        """Change the number of instances, as automatic scaling does."""
        wanted = [{"VariantName": "primary", "DesiredInstanceCount": count}]
        self.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=workload.endpoint, DesiredWeightsAndCapacities=wanted
        )
        self.await_endpoint(workload, "InService")

    def answered_by(self, workload: Workload) -> str:
        """The version that answers a request."""
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=workload.endpoint, ContentType="application/json", Body=json.dumps({"instances": [1]})
        )
        return str(json.loads(answer["Body"].read())["version"])

    @contextmanager
    def traffic(self, workload: Workload) -> Iterator[Client]:
        """Requests that keep coming, and are counted."""
        client = Client(self.client("sagemaker-runtime"), workload.endpoint, per_second=workload.requests_per_second)
        with client.asking():
            yield client

    @contextmanager
    def faults(self, **asked: Any) -> Iterator[None]:
        """Let AWS have faults for a while, beside those that others ask for meanwhile."""
        self._change_faults(lambda: self._faults.append(asked))
        try:
            yield
        finally:
            self._change_faults(lambda: self._faults.remove(asked))

    def let_pass(self, hours: float) -> None:
        """Set the account's clock forward: what waits until a set time has waited."""
        clock = Clock(self.server.state_dir / CLOCK)
        clock.move(dt.datetime.fromtimestamp(clock.now() + hours * 3600, dt.UTC))

    def await_lack(self, workload: Workload, instance_type: str) -> None:
        """Wait until the endpoint waits for machines, which it neither gets nor is refused."""
        waits = f"endpoint {workload.endpoint} waits for machines of {instance_type}"
        before = self.lacks[waits]
        wait_for(lambda: self.server.log.count(waits) > before)
        self.lacks[waits] = self.server.log.count(waits)

    def _change_faults(self, change: Callable[[], None]) -> None:
        with self._asking:
            change()
            whole = {
                **{
                    what: [each for asked in self._faults for each in asked.get(what, [])]
                    for what in ("no_capacity", "pending")
                },
                "throttle": {name: most for asked in self._faults for name, most in asked.get("throttle", {}).items()},
            }
            written = self.scratch / FAULTS
            written.write_text(json.dumps(whole))
            written.replace(self.server.state_dir / FAULTS)

    # -- what is written down

    def live(self, workload: Workload) -> dict[str, str]:
        """What the record says that serves."""
        return self.item("Runs", {"run": f"live#{workload.name}"})

    def item(self, table: str, key: dict[str, str]) -> dict[str, str]:
        """An item of a table; empty where there is none."""
        asked = {name: {"S": value} for name, value in key.items()}
        found = self.client("dynamodb").get_item(TableName=self.outputs[table], Key=asked).get("Item", {})
        return {name: next(iter(value.values())) for name, value in found.items()}

    def told_of(self, deployment: Deployment) -> Document:
        """What was told on call about a deployment."""
        sqs = self.client("sqs")

        def received() -> Any:
            for message in sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
                told = json.loads(json.loads(message["Body"])["Message"])
                self.notices.append(told)
            return next((each for each in self.notices if each.get("execution") == deployment.arn), None)

        return wait_for(received)  # type: ignore[no-any-return]


def deploy_stand(server: Any, scratch: Path, workloads: Sequence[Workload] = WORKLOADS) -> Stand:
    """Synthesise the stand and have CloudFormation make it."""
    outdir = scratch / "cdk.out"
    _synthesise(outdir, workloads)
    [name] = [each.stem.removesuffix(".assets") for each in outdir.glob("*.assets.json")]
    s3, stacks = server.client("s3"), server.client("cloudformation")
    s3.create_bucket(Bucket=ASSETS_BUCKET)
    assets = json.loads((outdir / f"{name}.assets.json").read_text())["files"]
    for asset in assets.values():
        for place in asset["destinations"].values():
            body = _packed(outdir / asset["source"]["path"], asset["source"]["packaging"])
            s3.put_object(Bucket=ASSETS_BUCKET, Key=place["objectKey"], Body=body)
    template = json.dumps(json.loads((outdir / f"{name}.template.json").read_text()), separators=(",", ":"))
    s3.put_object(Bucket=ASSETS_BUCKET, Key="template.json", Body=template)
    stacks.create_stack(
        StackName="RolloutStand",
        TemplateURL=f"{server.endpoint}/{ASSETS_BUCKET}/template.json",
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )

    def made() -> Any:
        found = stacks.describe_stacks(StackName="RolloutStand")["Stacks"][0]
        assert "ROLLBACK" not in found["StackStatus"] and "FAILED" not in found["StackStatus"], found
        return found if found["StackStatus"] == "CREATE_COMPLETE" else None

    found = wait_for(made)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    return Stand(server, outputs, scratch, _listen(server, outputs["TopicArn"]))


def _synthesise(outdir: Path, asked: Sequence[Workload]) -> None:
    """Run the app as the CDK CLI does, in a process of its own."""
    environment = {**os.environ, "CDK_VALIDATION": "false", "PYTHONPATH": str(ROOT)}
    workloads = json.dumps([asdict(each) for each in asked])
    script = str(Path(__file__).parent / "app.py")
    done = subprocess.run(
        [sys.executable, script, str(outdir), workloads], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _packed(path: Path, packaging: str) -> bytes:
    if packaging == "file":
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            packed.write(file, file.relative_to(path))
    return buffer.getvalue()


def _listen(server: Any, topic: str) -> str:
    sqs, sns = server.client("sqs"), server.client("sns")
    url: str = sqs.create_queue(QueueName="stand-on-call")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url
