"""Models whose containers nothing else can load answer by batch transforms, in the model and the deployment machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.deployment import DeploymentParts, Fleet, Rollout, deployment_machine
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.scoring import Scoring
from constructs_lib.machines.signing import SigningParts
from tests.constructs_lib.machines import test_deployment_machine as deployment
from tests.constructs_lib.machines import test_model_machine as model
from tests.constructs_lib.machines.conftest import Walk, Walker

SIGNING = SigningParts("sign", "verify")
SCORING = Scoring("scoring-role", JobLimits("ml.m5.large", 30))
RUN = f"{model.EXECUTION}-0"
REQUESTS = f"s3://artefacts/flight_delays/scoring/requests/v1/{RUN}-0/"


def answered(kind: str) -> dict[str, Any]:
    folder = "" if kind == "gold" else "v1/"
    uri = f"s3://artefacts/flight_delays/scoring/predictions/{folder}{kind}-{RUN}-0"
    return {"result": {"TransformOutput": {"S3OutputPath": uri}}}


def scored(**changed: Any) -> dict[str, Any]:
    asked = {
        "WriteRequests": model.result({}),
        "CreateScored": model.result({}),
        "Score": [answered("score"), answered("champ")],
        "DeleteScored": model.result({}),
        "DropScored": model.result({}),
    }
    return {**asked, **changed}


def parts(place: JobPlace) -> ModelParts:
    return ModelParts(
        place=place,
        datasets_bucket="datasets",
        group_name="models",
        judge_model_arn="judge",
        signing=SIGNING,
        maker=ScriptMaker(image_uri=place.image_uri),
        training_role_arn="training-role",
        processing_role_arn="processing-role",
        problem="binary_classification",
        target="late",
        training=JobLimits("ml.m5.large", 30),
        jobs=JobLimits("ml.m5.large", 60),
        hyperparameters={},
        evaluation_options_uri="s3://assets/options.json",
        gate={"metric": "auc"},
        approval="automatic",
        serving_instance_type="ml.m5.large",
        scoring=SCORING,
    )


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return model_machine(surroundings, parts(place))


@pytest.fixture
def run(definition: dict[str, Any], walk: Walker) -> Any:
    def run(answers: dict[str, Any], redrives: int = 0) -> Walk:
        return walk(definition, model.GIVEN, answers, name=model.EXECUTION, redrives=redrives)

    return run


def calls(done: Walk, state: str) -> list[Any]:
    return [call["arguments"] for call in done.calls if call["state"] == state]


def inputs(request: dict[str, Any]) -> dict[str, str]:
    return {each["InputName"]: each["S3Input"]["S3Uri"] for each in request["ProcessingInputs"]}


def test_a_first_model_answers_the_test_split_and_is_evaluated_by_its_answers(run: Any) -> None:
    done = run(model.any_answers(**scored()))
    assert done.status == "SUCCEEDED", done.cause
    assert inputs(calls(done, "WriteRequests")[0])["test"] == "s3://datasets/test.manifest"
    (job,) = calls(done, "Score")
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == REQUESTS
    assert job["TransformInput"]["SplitType"] == "None"
    assert (job["ModelName"], job["TransformJobName"]) == (
        f"dev-flight-delays-score-{RUN}",
        f"dev-flight-delays-score-{RUN}-0",
    )
    request = done.arguments("Evaluate")
    assert inputs(request)["predictions"] == f"s3://artefacts/flight_delays/scoring/predictions/v1/score-{RUN}-0/"
    assert f"{job['TransformOutput']['S3OutputPath']}/" == inputs(request)["predictions"]
    arguments = request["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--predictions") + 1] == "/opt/ml/processing/input/predictions"
    assert "--champion_predictions" not in arguments


def test_the_model_has_the_containers_that_serve_and_is_cut_off(run: Any) -> None:
    (made,) = calls(run(model.any_answers(**scored())), "CreateScored")
    (container,) = made["Containers"]
    assert container["ModelDataUrl"] == "s3://artefacts/new/model.tar.gz"
    assert (made["ExecutionRoleArn"], made["EnableNetworkIsolation"]) == ("scoring-role", True)
    assert made["VpcConfig"]["SecurityGroupIds"] == ["sg-1"]


def test_the_champion_answers_the_same_requests(run: Any) -> None:
    done = run(model.with_champion(**scored()))
    assert done.status == "SUCCEEDED", done.cause
    assert calls(done, "CreateScored")[1]["Containers"] == [{"ModelPackageName": model.CHAMPION}]
    assert [job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] for job in calls(done, "Score")] == [
        REQUESTS,
        REQUESTS,
    ]
    request = done.arguments("Evaluate")
    assert inputs(request)["champion_predictions"].endswith(f"predictions/v1/champ-{RUN}-0/")
    assert "--champion_predictions" in request["AppSpecification"]["ContainerArguments"]


def test_models_that_only_scored_are_deleted_again(run: Any) -> None:
    done = run(model.with_champion(**scored()))
    deleted = [request["ModelName"] for request in calls(done, "DeleteScored")]
    assert deleted == [request["ModelName"] for request in calls(done, "CreateScored")]
    assert deleted == [f"dev-flight-delays-score-{RUN}", f"dev-flight-delays-champ-{RUN}"]


def test_a_model_that_does_not_answer_fails_the_run_and_is_deleted_as_well(run: Any) -> None:
    refused = [{"error": "States.TaskFailed", "cause": '{"FailureReason": "ClientError: the model answered 500"}'}]
    done = run(model.any_answers(**scored(Score=refused)))
    assert calls(done, "DropScored") == [{"ModelName": f"dev-flight-delays-score-{RUN}"}]
    assert done.status == "FAILED"
    assert "the model answered 500" in str(done.cause)
    assert "Evaluate" not in done.path


def test_a_model_that_an_earlier_call_made_is_taken(run: Any) -> None:
    done = run(model.any_answers(**scored(CreateScored=[deployment.EXISTS])))
    assert done.status == "SUCCEEDED", done.cause
    assert len(calls(done, "Score")) == 1


def test_a_model_that_cannot_be_made_fails_the_run(run: Any) -> None:
    denied = [{"error": "SageMaker.SageMakerException", "cause": "not authorized to perform: sagemaker:CreateModel"}]
    done = run(model.any_answers(**scored(CreateScored=denied)))
    assert done.status == "FAILED"
    assert "not authorized" in str(done.cause)


def test_a_redriven_run_scores_under_names_of_its_own(run: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": "{}"}
    done = run(model.any_answers(**scored(Score=[lost, answered("score")])), redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    names = [request["ModelName"] for request in calls(done, "CreateScored")]
    assert names == [f"dev-flight-delays-score-{model.EXECUTION}-{redrive}" for redrive in (0, 1)]


def test_names_stay_within_what_sagemaker_takes_whatever_an_execution_is_called(
    definition: dict[str, Any], walk: Walker
) -> None:
    done = walk(definition, model.GIVEN, model.with_champion(**scored()), name="x" * 80)
    names = [name for job in calls(done, "Score") for name in (job["ModelName"], job["TransformJobName"])]
    assert max(map(len, names)) <= 63


def test_golden_requests_are_answered_by_a_transform_before_the_endpoint_is_touched(
    surroundings: Surroundings, place: JobPlace, walk: Walker
) -> None:
    own_artefact = {
        "model_sha256": "a" * 64,
        "bundle": "b" * 64,
        "run_id": "r",
        "model_uri": "s3://artefacts/own.tar.gz",
    }
    answers = deployment.any_answers(
        **scored(WriteGolden=deployment.result({}), Score=[answered("gold")]),
        DescribePackage=deployment.package(CustomerMetadataProperties=own_artefact),
        DescribeRollout=[deployment.endpoint("Failed", "any")],
    )
    made = DeploymentParts(
        place=place,
        signing=SIGNING,
        check_golden_arn="check-golden",
        processing_role_arn="processing-role",
        golden_jobs=JobLimits("ml.m5.xlarge", 60),
        endpoint_role_arn="endpoint-role",
        endpoint_name="live",
        alarm_names=["errors"],
        fleet=Fleet("ml.m5.large", 1, 100),
        rollout=Rollout("all_at_once", 5),
        scoring=SCORING,
        refusals=4,
    )
    done = walk(deployment_machine(surroundings, made), deployment.GIVEN, answers, name=model.EXECUTION)
    called = [call["state"] for call in done.calls]
    assert called.index("WriteGolden") < called.index("Score") < called.index("DeleteScored")
    assert called.index("DeleteScored") < called.index("GoldenBefore") < called.index("CreateModel")
    written = calls(done, "Score")[0]["TransformOutput"]["S3OutputPath"]
    assert written == f"s3://artefacts/flight_delays/scoring/predictions/gold-{RUN}-0"
    assert calls(done, "CreateScored")[0]["Containers"] == [{"ModelPackageName": deployment.PACKAGE}]
    job = done.arguments("GoldenBefore")
    assert job["AppSpecification"]["ImageUri"] == place.image_uri
    told = job["AppSpecification"]["ContainerArguments"]
    assert told[told.index("--refusals") + 1] == "4"
    assert inputs(job)["answers"].endswith(f"scoring/predictions/gold-{RUN}-0/")
    assert inputs(job)["model"] == "s3://artefacts/own.tar.gz"


def test_machines_with_disks_of_their_own_get_no_key_for_them(surroundings: Surroundings, place: JobPlace) -> None:
    gpu = replace(parts(place), scoring=Scoring("role", JobLimits("ml.g5.xlarge", 30)))
    flow = model_machine(surroundings, gpu)["States"]["ScoreModels"]["ItemProcessor"]["States"]
    resources = flow["Score"]["Arguments"]["TransformResources"]
    assert resources == {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}
