"""A model machine whose training and evaluation are a SageMaker pipeline."""

import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.asl import jsonata
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace, LustrePlace
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.pipeline import PipelineMaker
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.makers.steps import NoCounterpart, pipeline_definition, translated
from constructs_lib.machines.model import model_machine
from tests.constructs_lib.machines import sdk_pipeline
from tests.constructs_lib.machines import test_reproduction as replays
from tests.constructs_lib.machines.test_model_machine import (
    CHAMPION,
    EXECUTION,
    GIVEN,
    REQUESTED,
    any_answers,
    any_parts,
    result,
    with_champion,
)

PIPELINE = "dev-flight-delays-train"
RUN = f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/{PIPELINE}/execution/abc"
ROLE = "arn:aws:iam::000000000000:role/any"
SHORT = JobLimits("ml.m5.large", 5)
TRAINING = "dev-flight-delays-train-abc-x1"
TRAINED: dict[str, Any] = {
    "TrainingJobName": TRAINING,
    "ModelArtifacts": {"S3ModelArtifacts": f"s3://artefacts/flight_delays/training/{TRAINING}/output/model.tar.gz"},
}
STEPS = [
    {
        "StepName": "train",
        "StepStatus": "Succeeded",
        "Metadata": {"TrainingJob": {"Arn": f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{TRAINING}"}},
    },
    {"StepName": "compare", "StepStatus": "Succeeded"},
    {"StepName": "evaluate-alone", "StepStatus": "Succeeded"},
]


def status(name: str, **more: Any) -> dict[str, Any]:
    return {"result": {"PipelineExecutionStatus": name, **more}}


def answers(base: Any = any_answers, **changed: Any) -> dict[str, Any]:
    return {
        **base(),
        "StartPipeline": result({"PipelineExecutionArn": RUN}),
        "DescribePipeline": [status("Executing"), status("Succeeded")],
        "StopPipeline": result({}),
        "ListPipelineSteps": result({"PipelineExecutionSteps": STEPS}),
        "TakeUpTraining": result(TRAINED),
        "DescribeTraining": result({**TRAINED, **REQUESTED}),
        **changed,
    }


@pytest.fixture
def parts(place: JobPlace) -> ModelParts:
    maker = PipelineMaker(image_uri=place.image_uri, pipeline_name=PIPELINE)
    roles = {"training_role_arn": ROLE, "processing_role_arn": ROLE}
    return any_parts(place, maker=maker, evaluated_by_maker=True, training=SHORT, **roles)


@pytest.fixture
def machine(surroundings: Surroundings, parts: ModelParts) -> dict[str, Any]:
    return model_machine(surroundings, parts)


def test_the_pipeline_trains_and_evaluates_in_the_machines_place(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert not {"Train", "Evaluate"} & set(done.path)
    folder = f"{EXECUTION}-0"
    assert done.arguments("ReadEvaluation")["Key"] == f"flight_delays/evaluations/{folder}/evaluation.json"
    given = {each["Name"]: each["Value"] for each in done.arguments("StartPipeline")["PipelineParameters"]}
    assert given["Results"] == f"s3://artefacts/flight_delays/evaluations/{folder}"
    assert given["Champion"] == "none"
    request = done.arguments("RegisterModel")
    assert request["CustomerMetadataProperties"]["training_job"] == TRAINING
    [container] = done.arguments("SignModel")["Payload"]["containers"]
    assert container["ModelDataUrl"] == TRAINED["ModelArtifacts"]["S3ModelArtifacts"]


def test_a_run_of_the_pipeline_is_started_once_for_each_try_of_the_execution(
    machine: dict[str, Any], walk: Any
) -> None:
    failed = [status("Failed", FailureReason="Step failure"), status("Succeeded")]
    done = walk(machine, GIVEN, answers(DescribePipeline=failed), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    tokens = [call["arguments"]["ClientRequestToken"] for call in done.calls if call["state"] == "StartPipeline"]
    assert len(tokens) == len(set(tokens)) == 2
    assert all(32 <= len(token) <= 128 and EXECUTION in token for token in tokens)


def test_the_token_fits_whatever_an_execution_is_called(machine: dict[str, Any], walk: Any) -> None:
    request = walk(machine, GIVEN, answers(), name="x" * 80).arguments("StartPipeline")
    assert 32 <= len(request["ClientRequestToken"]) <= 128
    assert len(request["PipelineExecutionDisplayName"]) <= 82


def test_a_redrive_after_the_pipeline_does_not_start_it_again(machine: dict[str, Any], walk: Any) -> None:
    lost = {"error": "Lambda.Unknown", "cause": "lost"}
    verdict = any_answers()["JudgeModel"][0]
    done = walk(machine, GIVEN, answers(JudgeModel=[lost, verdict]), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.count("StartPipeline") == 1
    assert done.path.count("ReadEvaluation") == 2


def test_the_reason_of_the_failed_step_is_told_and_named(machine: dict[str, Any], walk: Any) -> None:
    reason = "AlgorithmError: UnsafeArtefact: member model.pkl is a pickle, exit code: 1"
    steps = [STEPS[0], {"StepName": "evaluate-alone", "StepStatus": "Failed", "FailureReason": reason}]
    done = walk(
        machine,
        GIVEN,
        answers(DescribePipeline=[status("Failed")], ListPipelineSteps=result({"PipelineExecutionSteps": steps})),
        name=EXECUTION,
    )
    assert (done.status, done.error) == ("FAILED", "UnsafeArtefact")
    assert done.cause == f"evaluate-alone: {reason}"
    assert "RegisterModel" not in done.path


def test_a_run_that_takes_too_long_is_stopped_and_seen_ended_before_the_machine_fails(
    machine: dict[str, Any], walk: Any
) -> None:
    described = [*[status("Executing")] * 251, status("Stopping"), status("Stopped")]
    done = walk(machine, GIVEN, answers(DescribePipeline=described), name=EXECUTION)
    assert done.status == "FAILED"
    assert done.path.count("StopPipeline") == 1
    stop = done.path.index("StopPipeline")
    assert done.path[stop + 1 :].count("WaitForPipeline") > 1
    assert "the deadline has passed" in str(done.cause)


def test_a_run_that_does_not_stop_is_told(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(DescribePipeline=[status("Stopping")]), name=EXECUTION)
    assert "PipelineStuck" in str(done.cause)
    assert RUN in str(done.cause)


def test_the_record_holds_the_request_of_the_training_step(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    assert done.arguments("DescribeTraining") == {"TrainingJobName": TRAINING}
    assert json.loads(done.arguments("RecordRun")["ExpressionAttributeValues"][":training"]["S"]) == REQUESTED


def test_a_replay_repeats_the_training_step_s_request_and_evaluates_without_the_pipeline(
    machine: dict[str, Any], walk: Any
) -> None:
    done = walk(machine, replays.GIVEN, replays.any_answers(), name=replays.REPLAY_ID)
    assert done.status == "SUCCEEDED", done.cause
    assert done.output["replayed"]["identical"] is True
    assert not {"StartPipeline", "TakeUpTraining"} & set(done.path)
    asked = done.arguments("Remake")
    assert {name: asked[name] for name in REQUESTED} == REQUESTED
    folder = f"flight_delays/evaluations/{replays.REPLAY_ID}-0-0"
    assert done.arguments("ReadEvaluation")["Key"] == f"{folder}/evaluation.json"


def resolved(value: Any, parameters: dict[str, str], results: dict[str, str]) -> Any:
    """A request of a step with values in the place of references."""
    if isinstance(value, list):
        return [resolved(each, parameters, results) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Get"}:
        scope, _, name = value["Get"].partition(".")
        return parameters[name] if scope == "Parameters" else results[name]
    return {name: resolved(each, parameters, results) for name, each in value.items()}


def normalised(request: dict[str, Any]) -> dict[str, Any]:
    """A request without the name of its job and without the try that its results are kept under."""
    content = {name: value for name, value in request.items() if not name.endswith("JobName")}
    for output in content.get("ProcessingOutputConfig", {}).get("Outputs", []):
        assert output["S3Output"]["S3Uri"].startswith(f"s3://artefacts/flight_delays/evaluations/{EXECUTION}-0")
        output["S3Output"]["S3Uri"] = "results"
    return content


@pytest.mark.parametrize(
    ("base", "evaluated_by"), [(any_answers, "evaluate-alone"), (with_champion, "evaluate")], ids=["first", "champion"]
)
@pytest.mark.parametrize("lustre", [None, LustrePlace("fs-1", "/mounted/datasets", "datasets")], ids=["s3", "lustre"])
def test_both_routes_ask_for_the_same_jobs(
    surroundings: Surroundings, parts: ModelParts, walk: Any, base: Any, evaluated_by: str, lustre: LustrePlace | None
) -> None:
    parts = replace(parts, lustre=lustre)
    by_script = model_machine(
        surroundings, replace(parts, maker=ScriptMaker(parts.place.image_uri), evaluated_by_maker=False)
    )
    direct = walk(by_script, GIVEN, {**base(), "Train": result(TRAINED)}, name=EXECUTION)
    through = walk(model_machine(surroundings, parts), GIVEN, answers(base), name=EXECUTION)
    given = {each["Name"]: each["Value"] for each in through.arguments("StartPipeline")["PipelineParameters"]}
    steps = sdk_pipeline.steps_by_name(pipeline_definition(surroundings, parts, parts.place.image_uri))
    made = {"train.ModelArtifacts.S3ModelArtifacts": TRAINED["ModelArtifacts"]["S3ModelArtifacts"]}

    for state, step in (("Train", "train"), ("Evaluate", evaluated_by)):
        request = resolved(steps[step]["Arguments"], given, made)
        assert normalised(request) == normalised(direct.arguments(state))
    by_the_route: dict[str, Any] = {"CustomerMetadataProperties": {}, "ModelMetrics": {}, "ModelCard": {}}
    assert direct.arguments("RegisterModel") | by_the_route == through.arguments("RegisterModel") | by_the_route


def test_the_pipeline_compares_with_the_champion_that_the_machine_found(
    surroundings: Surroundings, parts: ModelParts, machine: dict[str, Any], walk: Any
) -> None:
    done = walk(machine, GIVEN, answers(with_champion), name=EXECUTION)
    given = {each["Name"]: each["Value"] for each in done.arguments("StartPipeline")["PipelineParameters"]}
    assert done.arguments("DescribeChampion") == {"ModelPackageName": CHAMPION}
    assert given["Champion"] == "s3://artefacts/champion/model.tar.gz"
    definition = pipeline_definition(surroundings, parts, parts.place.image_uri)
    assert set(given) == {each["Name"] for each in definition["Parameters"]}
    compare = sdk_pipeline.steps_by_name(definition)["compare"]["Arguments"]
    assert compare["Conditions"] == [
        {"Type": "Equals", "LeftValue": {"Get": "Parameters.Champion"}, "RightValue": "none"}
    ]
    assert [step["Name"] for step in compare["IfSteps"]] == ["evaluate-alone"]
    assert [step["Name"] for step in compare["ElseSteps"]] == ["evaluate"]


def test_the_definition_is_what_the_sagemaker_sdk_makes_of_the_same_requests(
    surroundings: Surroundings, parts: ModelParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = pipeline_definition(surroundings, parts, parts.place.image_uri)
    for name, value in sdk_pipeline.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    theirs = sdk_pipeline.definition_of(ours)
    assert sdk_pipeline.without_defaults(theirs) == json.loads(json.dumps(sdk_pipeline.without_training_name(ours)))


def test_refuses_an_expression_that_a_pipeline_cannot_know() -> None:
    with pytest.raises(NoCounterpart, match=r"expression '\$new' has no counterpart in a pipeline; known: \$old"):
        translated({"a": [jsonata("$new")]}, {"$old": "x"})
