from __future__ import annotations

import json
import sys
import uuid
from typing import Any

import pytest

from tests.local.sagemaker.conftest import Lab, allow, error_of, wait_for

TRAIN = """
import os, pathlib
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.json").write_text(os.environ["SM_HP_WORD"])
"""
READ = """
import argparse, pathlib, tarfile
parser = argparse.ArgumentParser()
parser.add_argument("--word")
word = parser.parse_args().word
root = pathlib.Path(__file__).parents[2]
found = tarfile.open(root / "input" / "model" / "model.tar.gz").extractfile("model.json").read().decode()
(root / "output" / "words.txt").write_text(found + " " + word)
"""
SLEEP = "import time; time.sleep(600)"
WORD = {"Get": "Parameters.Word"}
JOBS = allow(
    *(f"sagemaker:{verb}{kind}Job" for verb in ("Create", "Describe", "Stop") for kind in ("Training", "Processing"))
)


def without(name: str, request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != name}


class PipelineLab:
    """A laboratory for pipelines."""

    def __init__(self, lab: Lab, *statements: dict[str, Any]) -> None:
        self.lab = lab
        self.role = lab.role_with(*(statements or (JOBS, allow("iam:PassRole"))))

    def train_step(self, script: str = TRAIN) -> dict[str, Any]:
        request = self.lab.training_request(script, HyperParameters={"word": WORD})
        return {"Name": "train", "Type": "Training", "Arguments": without("TrainingJobName", request)}

    def read_step(self, name: str = "read", word: Any = "none") -> dict[str, Any]:
        model = self.lab.processing_input("model", {"Get": "Steps.train.ModelArtifacts.S3ModelArtifacts"})  # type: ignore[arg-type]
        request = self.lab.processing_request(READ, ProcessingInputs=[model], arguments=["--word", word])
        return {"Name": name, "Type": "Processing", "Arguments": {**request, "ProcessingJobName": self.lab.name}}

    def pipeline(self, *steps: dict[str, Any], **more: Any) -> str:
        name = self.lab.unique("pipeline")
        definition = {
            "Version": "2020-12-01",
            "Parameters": [{"Name": "Word", "Type": "String"}],
            "Steps": steps,
            **more,
        }
        self.lab.sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDefinition=json.dumps(definition),
            RoleArn=self.role,
            ClientRequestToken=uuid.uuid4().hex,
        )
        return name

    def start(self, name: str, word: str = "hello", token: str | None = None) -> str:
        arn: str = self.lab.sagemaker.start_pipeline_execution(
            PipelineName=name,
            PipelineParameters=[{"Name": "Word", "Value": word}],
            ClientRequestToken=token or uuid.uuid4().hex,
        )["PipelineExecutionArn"]
        return arn

    def status(self, arn: str) -> dict[str, Any]:
        run: dict[str, Any] = self.lab.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return run

    def ended(self, arn: str) -> dict[str, Any]:
        running = ("Executing", "Stopping")
        run: dict[str, Any] = wait_for(
            lambda: run if (run := self.status(arn))["PipelineExecutionStatus"] not in running else None
        )
        return run

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        steps = self.lab.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
        return {step["StepName"]: step for step in steps["PipelineExecutionSteps"]}


@pytest.fixture
def pipelines(lab: Lab) -> PipelineLab:
    return PipelineLab(lab)


def test_steps_run_as_jobs_with_parameters_and_results_of_earlier_steps_in_place(pipelines: PipelineLab) -> None:
    lab = pipelines.lab
    read = pipelines.read_step(word={"Std:Join": {"On": "-", "Values": ["dear", WORD]}})

    run = pipelines.start(pipelines.pipeline(read, pipelines.train_step()), "world")

    ended = pipelines.ended(run)
    assert ended["PipelineExecutionStatus"] == "Succeeded", pipelines.steps(run)
    steps = pipelines.steps(run)
    assert list(steps) == ["train", "read"]
    training, processing = (
        steps[name]["Metadata"][kind]["Arn"].rpartition("/")[2]
        for name, kind in (("train", "TrainingJob"), ("read", "ProcessingJob"))
    )
    execution_id = run.rpartition("/")[2]
    assert training.startswith(f"pipelines-{execution_id}-train-")
    assert processing.startswith(f"{lab.name}-{execution_id}-")
    [output] = lab.processed(processing)["ProcessingOutputConfig"]["Outputs"]
    assert lab.read(f"{output['S3Output']['S3Uri']}/words.txt") == b"world dear-world"


@pytest.mark.parametrize(("word", "outcome", "ran"), [("none", "True", "quiet"), ("some", "False", "loud")])
def test_a_condition_decides_which_steps_run(pipelines: PipelineLab, word: str, outcome: str, ran: str) -> None:
    compare = {
        "Name": "compare",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": WORD, "RightValue": "none"}],
            "IfSteps": [pipelines.read_step("quiet")],
            "ElseSteps": [pipelines.read_step("loud")],
        },
    }

    run = pipelines.start(pipelines.pipeline(pipelines.train_step(), compare), word)

    assert pipelines.ended(run)["PipelineExecutionStatus"] == "Succeeded"
    steps = pipelines.steps(run)
    assert steps["compare"]["Metadata"]["Condition"]["Outcome"] == outcome
    assert steps.keys() == {"train", "compare", ran}


def test_a_failed_job_fails_its_step_with_the_jobs_reason_and_no_later_step_runs(pipelines: PipelineLab) -> None:
    name = pipelines.pipeline(pipelines.train_step("raise RuntimeError('no rows')"), pipelines.read_step())

    run = pipelines.start(name)

    ended, steps = pipelines.ended(run), pipelines.steps(run)
    assert ended["PipelineExecutionStatus"] == "Failed"
    assert ended["FailureReason"] == "Step failure: One or multiple steps failed."
    assert "RuntimeError: no rows" in steps["train"]["FailureReason"]
    assert steps.keys() == {"train"}
    points = pipelines.lab.client("cloudwatch").list_metrics(
        Namespace="AWS/Sagemaker/ModelBuildingPipeline", MetricName="ExecutionFailed"
    )["Metrics"]
    assert [{"Name": "PipelineName", "Value": name}] in [each["Dimensions"] for each in points]


def test_a_stop_ends_the_running_job_and_then_the_run(pipelines: PipelineLab) -> None:
    run = pipelines.start(pipelines.pipeline(pipelines.train_step(SLEEP), pipelines.read_step()))
    job = wait_for(lambda: pipelines.steps(run).get("train", {}).get("Metadata"))["TrainingJob"]["Arn"].rpartition("/")[
        2
    ]

    pipelines.lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=run, ClientRequestToken=uuid.uuid4().hex)

    assert pipelines.ended(run)["PipelineExecutionStatus"] == "Stopped"
    assert pipelines.lab.trained(job)["TrainingJobStatus"] == "Stopped"
    assert pipelines.steps(run)["train"]["StepStatus"] == "Stopped"


def test_the_same_token_starts_one_run(pipelines: PipelineLab) -> None:
    name, token = pipelines.pipeline(pipelines.train_step()), uuid.uuid4().hex

    first = pipelines.start(name, token=token)

    assert pipelines.start(name, token=token) == first
    assert pipelines.start(name) != first


def test_jobs_are_started_with_the_leave_of_the_pipelines_role(lab: Lab) -> None:
    pipelines = PipelineLab(lab, allow("sagemaker:DescribeTrainingJob"), allow("iam:PassRole"))

    run = pipelines.start(pipelines.pipeline(pipelines.train_step()))

    assert pipelines.ended(run)["PipelineExecutionStatus"] == "Failed"
    assert "sagemaker:CreateTrainingJob" in pipelines.steps(run)["train"]["FailureReason"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"Name": "tell", "Type": "Lambda", "Arguments": {}}, "the type Lambda of step tell"),
        (
            {"Name": "train", "Type": "Training", "Arguments": {"RoleArn": {"Get": "Parameters.Lost"}}},
            "Parameters.Lost",
        ),
        ({"Name": "train", "Type": "Training", "Arguments": {}, "DependsOn": ["other"]}, "depends on other"),
        (
            {"Name": "train", "Type": "Training", "Arguments": {"X": {"Get": "Execution.StartDateTime"}}},
            "StartDateTime",
        ),
    ],
)
def test_a_definition_that_cannot_run_is_refused_when_it_is_made(
    pipelines: PipelineLab, step: dict[str, Any], said: str
) -> None:
    code, message = error_of(lambda: pipelines.pipeline(step))
    assert (code, said in message) == ("ValidationException", True), message


@pytest.mark.parametrize("given", [[], [{"Name": "Word", "Value": "a"}, {"Name": "Other", "Value": "b"}]])
def test_a_run_needs_exactly_the_parameters_of_its_pipeline(
    pipelines: PipelineLab, given: list[dict[str, str]]
) -> None:
    name = pipelines.pipeline(pipelines.train_step())
    code, message = error_of(
        lambda: pipelines.lab.sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=given)
    )
    assert code == "ValidationException"
    assert "parameters" in message


def test_after_a_restart_a_run_that_was_going_on_has_failed(own_server: Any) -> None:
    pipelines = PipelineLab(Lab(own_server))
    run = pipelines.start(pipelines.pipeline(pipelines.train_step(SLEEP)))
    wait_for(lambda: pipelines.steps(run).get("train", {}).get("Metadata"))

    own_server.stop()
    again = sys.modules[type(own_server).__module__].start_server(own_server.state_dir)

    try:
        ended = Lab(again, name=pipelines.lab.name).sagemaker.describe_pipeline_execution(PipelineExecutionArn=run)
        assert ended["PipelineExecutionStatus"] == "Failed"
        assert "the local server was stopped" in ended["FailureReason"]
    finally:
        again.stop()


def test_a_template_makes_changes_and_removes_a_pipeline(pipelines: PipelineLab) -> None:
    lab, cloudformation = pipelines.lab, pipelines.lab.client("cloudformation")
    name, stack = lab.unique("pipeline"), lab.unique("stack")

    def template(description: str) -> str:
        definition = {"Version": "2020-12-01", "Steps": [pipelines.train_step("pass") | {"Arguments": {}}]}
        properties = {
            "PipelineName": name,
            "PipelineDescription": description,
            "PipelineDefinition": {"PipelineDefinitionBody": json.dumps(definition)},
            "RoleArn": pipelines.role,
        }
        return json.dumps({"Resources": {"P": {"Type": "AWS::SageMaker::Pipeline", "Properties": properties}}})

    cloudformation.create_stack(StackName=stack, TemplateBody=template("first"))
    wait_for(lambda: "COMPLETE" in cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])
    assert lab.sagemaker.describe_pipeline(PipelineName=name)["PipelineDescription"] == "first"
    cloudformation.update_stack(StackName=stack, TemplateBody=template("second"))
    wait_for(lambda: lab.sagemaker.describe_pipeline(PipelineName=name)["PipelineDescription"] == "second")
    cloudformation.delete_stack(StackName=stack)
    wait_for(lambda: _is_gone(lab, name))


def _is_gone(lab: Lab, name: str) -> bool:
    try:
        lab.sagemaker.describe_pipeline(PipelineName=name)
    except lab.sagemaker.exceptions.ResourceNotFound:
        return True
    return False
