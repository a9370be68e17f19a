"""A laboratory on the shared local server: buckets, roles, scripts, jobs and endpoints with names of their own."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
SUBMIT_DIRECTORY = "/opt/ml/input/data/code/sourcedir.tar.gz"

Document = dict[str, Any]

ECHO = """
import json
def model_fn(model_dir): return "{version}"
def input_fn(body, content_type):
    data = json.loads(body)
    if "bad" in data: raise ValueError("bad is not allowed, only good is")
    return data
def predict_fn(data, model):
    if "explode" in data: raise RuntimeError("boom")
    return {{"version": model, "got": data}}
def output_fn(prediction, accept): return json.dumps(prediction), accept
"""


def archive(files: dict[str, str | bytes]) -> bytes:
    """A ``tar.gz`` with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def allow(*actions: str, on: str = "*") -> Document:
    """A statement that allows actions."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": on}


def wait_for(probe: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Ask until the answer is true; returns it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.03)


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and the message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@dataclass
class Lab:
    """Makes things on a local server under names of its own, and takes endpoints down at the end."""

    server: Any
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    endpoints: list[str] = field(default_factory=list)
    _role: str | None = None
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.s3.create_bucket(Bucket=self.bucket)

    def client(self, service: str) -> Any:
        return self.server.client(service)

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @property
    def bucket(self) -> str:
        return f"bucket-{self.name}"

    @property
    def role(self) -> str:
        """A role that may pull images and do with S3 what it likes."""
        if self._role is None:
            self._role = self.role_with(allow("s3:*"))
        return self._role

    def role_with(self, *statements: Document) -> str:
        """A role that may pull images, and what the statements say."""
        role: str = self.server.role("sagemaker.amazonaws.com", allow("ecr:*"), *statements)
        return role

    def unique(self, word: str = "x") -> str:
        self._numbers += 1
        return f"{word}-{self.name}-{self._numbers}"

    def put(self, key: str, body: bytes | str) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]

    def members(self, uri: str) -> dict[str, bytes]:
        with tarfile.open(fileobj=io.BytesIO(self.read(uri))) as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]

    # -- training

    def channel(self, name: str, uri: str, data_type: str = "S3Prefix") -> Document:
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": data_type, "S3Uri": uri}}}

    def training_request(self, script: str, **changes: Any) -> Document:
        """A request in script mode, isolated, with ``script`` as ``train.py``."""
        name = self.unique("train")
        self.put(f"{name}/code/sourcedir.tar.gz", archive({"train.py": script}))
        hyperparameters = changes.pop("HyperParameters", {})
        channels = changes.pop("InputDataConfig", [])
        return {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": SUBMIT_DIRECTORY,
                **hyperparameters,
            },
            "InputDataConfig": [*channels, self.channel("code", f"s3://{self.bucket}/{name}/code/")],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "EnableNetworkIsolation": True,
            **changes,
        }

    def train(self, script: str, **changes: Any) -> Document:
        """Run a training job to its end; returns its description."""
        request = self.training_request(script, **changes)
        self.sagemaker.create_training_job(**request)
        return self.trained(request["TrainingJobName"])

    def trained(self, name: str) -> Document:
        def done() -> Document | None:
            job: Document = self.sagemaker.describe_training_job(TrainingJobName=name)
            return job if job["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

        return wait_for(done)  # type: ignore[no-any-return]

    # -- processing

    def processing_request(self, script: str, **changes: Any) -> Document:
        name = self.unique("process")
        self.put(f"{name}/job/job.py", script)
        inputs = changes.pop("ProcessingInputs", [])
        arguments = changes.pop("arguments", [])
        application: Document = {
            "ImageUri": XGBOOST,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/job/job.py"],
        }
        if arguments:
            application["ContainerArguments"] = arguments
        return {
            "ProcessingJobName": name,
            "RoleArn": self.role,
            "AppSpecification": application,
            "ProcessingInputs": [*inputs, self.processing_input("job", f"s3://{self.bucket}/{name}/job/")],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "result",
                        "S3Output": {
                            "S3Uri": f"s3://{self.bucket}/{name}/out",
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "NetworkConfig": {"EnableNetworkIsolation": True},
            **changes,
        }

    def processing_input(self, name: str, uri: str, data_type: str = "S3Prefix") -> Document:
        place = f"/opt/ml/processing/input/{name}"
        return {
            "InputName": name,
            "S3Input": {"S3Uri": uri, "LocalPath": place, "S3DataType": data_type, "S3InputMode": "File"},
        }

    def process(self, script: str, **changes: Any) -> Document:
        request = self.processing_request(script, **changes)
        self.sagemaker.create_processing_job(**request)
        return self.processed(request["ProcessingJobName"])

    def processed(self, name: str) -> Document:
        def done() -> Document | None:
            job: Document = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return job if job["ProcessingJobStatus"] not in ("InProgress", "Stopping") else None

        return wait_for(done)  # type: ignore[no-any-return]

    # -- serving

    def model(self, script: str | None = None, *, version: str = "v1", role: str | None = None) -> str:
        """Make a model whose archive has ``script`` as inference code; returns its name."""
        name = self.unique("model")
        uri = self.put(f"{name}/model.tar.gz", archive({"code/inference.py": script or ECHO.format(version=version)}))
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=role or self.role,
            PrimaryContainer={
                "Image": XGBOOST,
                "ModelDataUrl": uri,
                "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
            },
        )
        return name

    def config(self, model: str, instances: int = 1, **more: Any) -> str:
        name = self.unique("config")
        variant = {
            "VariantName": "primary",
            "ModelName": model,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": instances,
        }
        variants = more.pop("ProductionVariants", [variant])
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)
        return name

    def start_endpoint(self, config: str) -> str:
        name = self.unique("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.endpoints.append(name)
        return name

    def endpoint(self, config: str) -> str:
        """Create an endpoint and see it in service; returns its name."""
        name = self.start_endpoint(config)
        assert self.settled(name)["EndpointStatus"] == "InService"
        return name

    def settled(self, name: str) -> Document:
        """The description of an endpoint once nothing is in progress."""

        def done() -> Document | None:
            endpoint: Document = self.sagemaker.describe_endpoint(EndpointName=name)
            return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed") else None

        return wait_for(done)  # type: ignore[no-any-return]

    def invoke(self, name: str, payload: Document, **more: Any) -> Document:
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=json.dumps(payload), **more
        )
        return {**answer, "json": json.loads(answer["Body"].read())}

    def metric(self, endpoint: str, name: str, statistic: str = "Sum") -> float:
        dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "primary"}]
        now = time.time()
        points = self.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=dimensions,
            StartTime=now - 900,
            EndTime=now + 60,
            Period=3600,
            Statistics=[statistic],
        )["Datapoints"]
        return float(sum(point[statistic] for point in points))

    def listen(self, pattern: Document) -> Callable[[], Document]:
        """Send events to a queue; returns a function that waits for the next one."""
        sqs, events = self.client("sqs"), self.client("events")
        queue = sqs.create_queue(QueueName=self.unique("events"))["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        principal = {"Service": "events.amazonaws.com"}
        statement = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        rule = self.unique("rule")
        events.put_rule(Name=rule, EventPattern=json.dumps({"source": ["aws.sagemaker"], **pattern}))
        events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])

        def received() -> Any:
            messages = sqs.receive_message(QueueUrl=queue).get("Messages", [])
            return json.loads(messages[0]["Body"]) if messages else None

        return lambda: wait_for(received)

    def key(self, *actions: str) -> tuple[str, Document]:
        """Make a KMS key; returns its ARN and a statement that allows actions on it."""
        arn = self.client("kms").create_key()["KeyMetadata"]["Arn"]
        return arn, allow(*(actions or ("kms:GenerateDataKey", "kms:Decrypt")), on=arn)

    def log(self, group: str, stream_prefix: str) -> str:
        logs = self.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return ""
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream_prefix)["logStreams"]
        return "\n".join(
            event["message"]
            for stream in streams
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        )

    def close(self) -> None:
        for name in self.endpoints:
            if self.settled(name):
                self.sagemaker.delete_endpoint(EndpointName=name)


@pytest.fixture
def lab(local_server: Any) -> Iterator[Lab]:
    laboratory = Lab(local_server)
    yield laboratory
    laboratory.close()


@pytest.fixture
def lab_on() -> type[Lab]:
    """Laboratories on servers of the test's own."""
    return Lab
