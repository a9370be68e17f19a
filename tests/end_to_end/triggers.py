"""The smallest things that need a grant: a state of a deployed machine, a call of a function, a job, a crawl.

Each is done by the deployed thing under its deployed role, and gives back everything that was said about it.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from gapless_lambda.statement import OF_SIGNATURE
from local.executions import RUNNING
from tests.end_to_end.batches import Delivery, data_input, flights_of, with_lines
from tests.end_to_end.conftest import Demo
from tests.end_to_end.live import WORKLOAD, Live, eventually

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """A deployed platform on which everything has worked."""

    live: Live
    demo: Demo

    # -- what the demonstration left behind

    @cached_property
    def data_input(self) -> dict[str, Any]:
        """The input of a data machine that finds its dataset published."""
        data = self.demo.second.of("data")
        assert data is not None
        return {name: value for name, value in data.input.items() if name != "run_id"}

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """A published manifest."""
        data = self.demo.second.of("data")
        assert data is not None
        manifest: dict[str, Any] = data.output["dataset"]
        return manifest

    @cached_property
    def model(self) -> dict[str, Any]:
        """The record of the model that serves."""
        return self.live.record(f"model#{self.demo.second.run_id}")

    @cached_property
    def golden_uri(self) -> str:
        """What that model answered before it served."""
        deployment = self.demo.second.of("deployment")
        assert deployment is not None
        uri: str = self.live.record(f"deployment#{deployment.input['run_id']}")["golden_uri"]
        return uri

    @cached_property
    def deployment(self) -> str:
        """The execution that deployed it."""
        deployment = self.demo.second.of("deployment")
        assert deployment is not None
        return str(self.live.record(f"deployment#{deployment.input['run_id']}")["execution"])

    @cached_property
    def package_arn(self) -> str:
        """Its package."""
        assert self.demo.second.package is not None
        return self.demo.second.package.arn

    @cached_property
    def package(self) -> dict[str, Any]:
        """What the registry says of it."""
        found: dict[str, Any] = self.live.client("sagemaker").describe_model_package(ModelPackageName=self.package_arn)
        return found

    @property
    def signature(self) -> dict[str, str]:
        """How it was signed."""
        properties = self.package["CustomerMetadataProperties"]
        return {name: properties[name] for name in OF_SIGNATURE}

    @property
    def trained_containers(self) -> list[dict[str, Any]]:
        """What would serve it, with the archive as training left it."""
        (container,) = self.package["InferenceSpecification"]["Containers"]
        given = {name: container[name] for name in ("Image", "Environment")}
        return [{**given, "ModelDataUrl": self.model["model_uri"]}]

    @property
    def signing(self) -> dict[str, Any]:
        """What the model machine had signed."""
        properties = self.package["CustomerMetadataProperties"]
        return {
            "properties": {name: value for name, value in properties.items() if name not in OF_SIGNATURE},
            "containers": self.trained_containers,
            "evaluated": {name: self.model[name] for name in ("model_uri", "archive_sha256", "evaluation_uri")},
        }

    @cached_property
    def config_name(self) -> str:
        """The endpoint's configuration."""
        found = self.live.client("sagemaker").describe_endpoint(EndpointName=self.live.outputs.endpoint_name)
        return str(found["EndpointConfigName"])

    @cached_property
    def preparation(self) -> dict[str, str]:
        """The arguments of the Glue job for a batch of which one row is refused."""

        def spoil(lines: list[bytes]) -> list[bytes]:
            return [*lines, b",".join([b"?"] * len(lines[0].split(b",")))]

        batch = data_input(self.live, Delivery.of(with_lines(flights_of(5, 400), "flights", spoil)), "spoilt")
        checked = json.loads(invoke(self, "CheckBatch", batch)[0])
        runs = self.live.client("glue").get_job_runs(JobName=self.glue_job)["JobRuns"]
        arguments = next(each["Arguments"] for each in runs if each["JobRunState"] == "SUCCEEDED")
        own = {
            "batch_uri": batch["batch_uri"],
            "bundle_uri": self.live.bundle["uri"],
            **{name: checked[name] for name in ("version", "as_of")},
        }
        return {**arguments, **{f"--{name}": value for name, value in own.items()}}

    @property
    def model_input(self) -> dict[str, Any]:
        """An input of the model machine."""
        return {"as_of": self.dataset["as_of"], "bundle": self.live.bundle, "dataset": self.dataset}

    # -- machines

    def start(self, machine_arn: str, given: Document) -> str:
        run_id = f"{uuid.uuid4().hex[:16]}-1"
        started = self.live.client("stepfunctions").start_execution(
            stateMachineArn=machine_arn,
            name=run_id,
            input=json.dumps({"run_id": run_id, "workload": WORKLOAD, **given}),
        )
        return str(started["executionArn"])

    def history(self, execution: str) -> str:
        """Everything an execution did until its end, what it caught included."""
        client = self.live.client("stepfunctions")
        eventually(lambda: client.describe_execution(executionArn=execution)["status"] != RUNNING, execution)
        pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
        return "\n".join(
            f"{event[detail].get('error')}: {event[detail].get('cause')}"
            for page in pages
            for event in page["events"]
            for detail in event
            if detail.endswith("FailedEventDetails")
        )

    def part_of(self, machine: str, state: str, variables: Document, branch: int | None = None) -> str:
        """Make a machine of the deployed states that begins in the middle, under the deployed role; returns its ARN.

        Args:
            state: Where to begin.
            variables: What earlier states would have found out.
            branch: Which branch of the parallel state ``Ingest`` it is. Default: none.
        """
        client = self.live.client("stepfunctions")
        deployed = client.describe_state_machine(stateMachineArn=self.live.outputs.machines[machine])
        whole = json.loads(deployed["definition"])
        states = whole["States"] if branch is None else whole["States"]["Ingest"]["Branches"][branch]["States"]
        given = {"Type": "Pass", "Assign": variables, "Next": state}
        definition = {"QueryLanguage": "JSONata", "StartAt": "Given", "States": {"Given": given, **states}}
        made = client.create_state_machine(
            name=f"part-{uuid.uuid4().hex}", roleArn=deployed["roleArn"], definition=json.dumps(definition)
        )
        return str(made["stateMachineArn"])

    # -- jobs

    def glue_run(self, run_id: str) -> dict[str, Any]:
        found = self.live.client("glue").get_job_run(JobName=self.glue_job, RunId=run_id)["JobRun"]
        return dict(found)

    @property
    def glue_job(self) -> str:
        return f"{self.prefix}prepare"

    @property
    def crawler(self) -> str:
        return f"{self.prefix}landing"

    @property
    def prefix(self) -> str:
        return self.live.outputs.endpoint_name.removesuffix("live")

    # -- words

    def said_since(self, position: int) -> str:
        """What the server has logged since a position in its log."""
        with self.live.settings.server_log.open("rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace")

    def log_position(self) -> int:
        return self.live.settings.server_log.stat().st_size


Trigger = Callable[[Scene, str], str]
"""Does something that is denied; returns what was said. Its second argument is the denial that is expected."""

Given = Document | Callable[[Scene], Document]
"""Members of an input or variables, fixed or of what the demonstration left behind."""


def _resolved(given: Given, scene: Scene) -> Document:
    return given(scene) if callable(given) else given


# --- machines ---------------------------------------------------------------------------------------------------------


def run(machine: str, given: Given) -> Trigger:
    """The deployed machine from its first state."""

    def trigger(scene: Scene, denial: str) -> str:
        return scene.history(scene.start(scene.live.outputs.machines[machine], _resolved(given, scene)))

    return trigger


def part(
    machine: str,
    state: str,
    variables: Given,
    given: Given = MappingProxyType({}),
    branch: int | None = None,
) -> Trigger:
    """The deployed machine from a state in the middle."""

    def trigger(scene: Scene, denial: str) -> str:
        arn = scene.part_of(machine, state, _resolved(variables, scene), branch)
        try:
            return scene.history(scene.start(arn, _resolved(given, scene)))
        finally:
            scene.live.client("stepfunctions").delete_state_machine(stateMachineArn=arn)

    return trigger


def failing(machine: str) -> Trigger:
    """What a machine does when something has failed."""
    failure = {"error": "Tried", "cause": "a grant was taken away", "state": "none", "input": {}, "redrives": 0}
    return part(machine, "RecordFailure", {"failure": failure, "package": {"run_id": "none"}})


def aborted(
    machine: str,
    state: str,
    variables: Given,
    at_work: Callable[[Scene, str], bool],
    given: Given,
    branch: int | None = None,
) -> Trigger:
    """A machine that is aborted while something works for it: it has to stop that, and whether it may is logged."""

    def trigger(scene: Scene, denial: str) -> str:
        position, client = scene.log_position(), scene.live.client("stepfunctions")
        arn = scene.part_of(machine, state, _resolved(variables, scene), branch)
        execution = scene.start(arn, _resolved(given, scene))
        name = execution.rpartition(":")[2]
        eventually(lambda: at_work(scene, name), f"work of {name}", seconds=120)
        client.stop_execution(executionArn=execution)
        try:
            said = eventually(
                lambda: said if re.search(denial, said := scene.said_since(position)) else None, denial, seconds=60
            )
        finally:
            client.delete_state_machine(stateMachineArn=arn)
            settle(scene, name)
        return said

    return trigger


def training(scene: Scene, execution: str) -> bool:
    """Whether the training job of an execution runs."""
    client = scene.live.client("sagemaker")
    return bool(client.list_training_jobs(NameContains=execution, StatusEquals="InProgress")["TrainingJobSummaries"])


def processing(scene: Scene, execution: str) -> bool:
    """Whether the processing job of an execution runs."""
    client = scene.live.client("sagemaker")
    jobs = client.list_processing_jobs(NameContains=execution, StatusEquals="InProgress")
    return bool(jobs["ProcessingJobSummaries"])


def preparing(scene: Scene, execution: str) -> bool:
    """Whether the Glue job of an execution runs."""
    runs = scene.live.client("glue").get_job_runs(JobName=scene.glue_job)["JobRuns"]
    return any(each["JobRunState"] == RUNNING and each["Arguments"]["--attempt"].startswith(execution) for each in runs)


def nested(machine: str) -> Callable[[Scene, str], bool]:
    """Whether the execution of another machine runs that was started by an execution."""

    def look(scene: Scene, execution: str) -> bool:
        return any(each["name"].startswith(execution) for each in executions(scene, machine))

    return look


def executions(scene: Scene, machine: str) -> list[dict[str, Any]]:
    """The executions of a machine that run."""
    client, arn = scene.live.client("stepfunctions"), scene.live.outputs.machines[machine]
    return list(client.list_executions(stateMachineArn=arn, statusFilter=RUNNING)["executions"])


def settle(scene: Scene, execution: str) -> None:
    """Stop the machines that were started by an execution and that nobody waits for any more."""
    client = scene.live.client("stepfunctions")
    for machine in ("data", "model"):
        for each in executions(scene, machine):
            if each["name"].startswith(execution):
                client.stop_execution(executionArn=each["executionArn"])


# --- functions --------------------------------------------------------------------------------------------------------


def call(name: str, event: Callable[[Scene], Document]) -> Trigger:
    """A function, called directly; what it logged counts too."""

    def trigger(scene: Scene, denial: str) -> str:
        return "\n".join(invoke(scene, name, event(scene)))

    return trigger


def invoke(scene: Scene, name: str, event: Document) -> tuple[str, str]:
    """Call a function by its construct's name; returns its answer and the end of its log."""
    return scene.live.invoke(name, event)


def event_of_batch(scene: Scene, content: bytes) -> dict[str, Any]:
    """The event of a batch file that lies where it sets nothing off."""
    key = f"{WORKLOAD}/bundles/{uuid.uuid4().hex}/_batch.json"
    scene.live.write(f"s3://{scene.live.outputs.artefacts_bucket}/{key}", content)
    return message(
        "aws.s3",
        "Object Created",
        {"bucket": {"name": scene.live.outputs.artefacts_bucket}, "object": {"key": key}},
    )


def message(source: str, detail_type: str, detail: Document) -> dict[str, Any]:
    """What the intake queue hands to the starter."""
    event = {
        "id": str(uuid.uuid4()),
        "source": source,
        "detail-type": detail_type,
        "time": "2014-01-01T00:00:00Z",
        "detail": detail,
    }
    return {"Records": [{"messageId": event["id"], "body": json.dumps(event)}]}


def poll(scene: Scene, denial: str) -> str:
    """A stack that lets the starter be called by its queue once more."""
    client, lambdas = scene.live.client("cloudformation"), scene.live.client("lambda")
    sqs = scene.live.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=scene.live.outputs.intake_queue_url, AttributeNames=["QueueArn"])
    name, starter = f"poll-{uuid.uuid4().hex}", scene.live.outputs.starter_function_name
    before = {each["UUID"] for each in lambdas.list_event_source_mappings(FunctionName=starter)["EventSourceMappings"]}
    properties = {"FunctionName": starter, "EventSourceArn": queue["Attributes"]["QueueArn"]}
    template = {"Resources": {"Poll": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}}}
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ended() -> bool:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return not str(status).endswith("IN_PROGRESS")

    eventually(ended, f"the end of {name}", seconds=30)
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    client.delete_stack(StackName=name)
    for each in lambdas.list_event_source_mappings(FunctionName=starter)["EventSourceMappings"]:
        if each["UUID"] not in before:
            lambdas.delete_event_source_mapping(UUID=each["UUID"])
    return "\n".join(event.get("ResourceStatusReason", "") for event in events)


# --- Glue -------------------------------------------------------------------------------------------------------------


def prepare(scene: Scene, denial: str) -> str:
    """The Glue job for a small batch of which one row is refused."""
    client, position = scene.live.client("glue"), scene.log_position()
    arguments = {**scene.preparation, "--attempt": f"{uuid.uuid4().hex[:16]}-1-0-0"}
    run_id = client.start_job_run(JobName=scene.glue_job, Arguments=arguments)["JobRunId"]
    eventually(lambda: scene.glue_run(run_id)["JobRunState"] not in {"STARTING", RUNNING}, run_id)
    words = [log_of(scene, f"/aws-glue/jobs/{group}", run_id) for group in ("output", "error")]
    return "\n".join([scene.glue_run(run_id).get("ErrorMessage", ""), *words, scene.said_since(position)])


def log_of(scene: Scene, group: str, stream: str) -> str:
    """What a log stream holds; nothing when there is none."""
    pages = scene.live.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return "\n".join(event["message"] for page in pages for event in page["events"] if event["logStreamName"] == stream)


def crawl(scene: Scene, denial: str) -> str:
    """A crawl of the landing zone: what came of it, and the newest of its log."""
    client = scene.live.client("glue")

    def crawler() -> dict[str, Any]:
        return dict(client.get_crawler(Name=scene.crawler)["Crawler"])

    eventually(lambda: crawler()["State"] == "READY", "the crawler")
    client.start_crawler(Name=scene.crawler)
    eventually(lambda: crawler()["State"] == "READY", "the end of the crawl")
    *_, last = log_of(scene, "/aws-glue/crawlers", scene.crawler).splitlines()
    return "\n".join([crawler()["LastCrawl"].get("ErrorMessage", ""), last])


def crawl_anew(scene: Scene, denial: str) -> str:
    """A crawl that finds files and no table of them."""
    client, database = scene.live.client("glue"), f"{scene.live.settings.stage}_landing"
    for table in client.get_tables(DatabaseName=database)["TableList"]:
        client.delete_table(DatabaseName=database, Name=table["Name"])
    return crawl(scene, denial)


# --- the endpoint -----------------------------------------------------------------------------------------------------


def serve(scene: Scene, denial: str) -> str:
    """Another endpoint with the live one's configuration."""
    client, name = scene.live.client("sagemaker"), f"{scene.prefix}denied"
    client.create_endpoint(EndpointName=name, EndpointConfigName=scene.config_name)

    def settled() -> dict[str, Any] | None:
        found = client.describe_endpoint(EndpointName=name)
        return None if found["EndpointStatus"] == "Creating" else found

    try:
        return str(eventually(settled, name).get("FailureReason", ""))
    finally:
        client.delete_endpoint(EndpointName=name)
        eventually(lambda: not client.list_endpoints(NameContains=name)["Endpoints"], f"the end of {name}")


def capture(scene: Scene, denial: str) -> str:
    """A request to the live endpoint, which is kept."""
    position, golden = scene.log_position(), scene.live.read_json(scene.golden_uri)
    request = next(case["request"] for case in golden["cases"] if case["predictions"] is not None)
    scene.live.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=scene.live.outputs.endpoint_name, ContentType="application/json", Body=json.dumps(request)
    )
    return eventually(
        lambda: said if re.search(denial, said := scene.said_since(position)) else None, denial, seconds=60
    )
