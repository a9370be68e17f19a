"""The stacks of workloads whose model a SageMaker pipeline or Autopilot makes: who may start what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stacks.test_built_in_algorithms import flights
from tests.stacks.test_workload import allowed, resources, synthesised


@pytest.fixture(scope="module")
def piped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesised(tmp_path_factory.mktemp("piped"), flights(model={"kind": "pipeline"}))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    model = {"kind": "automl", "allow_pickle": {"reason": "Autopilot keeps its models as pickles"}}
    return synthesised(tmp_path_factory.mktemp("found"), flights(model=model))


def test_the_pipeline_starts_jobs_and_the_machine_starts_the_pipeline(piped: dict[str, Any]) -> None:
    for job in ("TrainingJob", "ProcessingJob"):
        assert allowed(piped, "TrainingPipeline", f"sagemaker:Create{job}")
        own = allowed(piped, "ModelMachine", f"sagemaker:Create{job}")  # a replay repeats the step's request itself
        assert [each.rpartition("/")[2] for each in own] == ["dev-flight-delays-*"]
    [pipeline] = allowed(piped, "ModelMachine", "sagemaker:StartPipelineExecution")
    assert pipeline.endswith(":pipeline/dev-flight-delays-train")
    for action in ("DescribePipelineExecution", "ListPipelineExecutionSteps", "StopPipelineExecution"):
        assert allowed(piped, "ModelMachine", f"sagemaker:{action}") == [f"{pipeline}/execution/*"]


def test_jobs_of_a_pipeline_are_named_like_all_jobs_of_the_workload(piped: dict[str, Any]) -> None:
    assert {each.rpartition(":")[2] for each in allowed(piped, "TrainingPipeline", "sagemaker:CreateTrainingJob")} == {
        "training-job/dev-flight-delays-*"
    }


def test_a_failed_run_of_a_pipeline_raises_an_alarm_whoever_started_it(piped: dict[str, Any]) -> None:
    alarms = [
        alarm
        for alarm in resources(piped, "AWS::CloudWatch::Alarm").values()
        if alarm.get("Namespace") == "AWS/Sagemaker/ModelBuildingPipeline"
    ]
    [alarm] = alarms
    assert alarm["MetricName"] == "ExecutionFailed"
    assert alarm["Dimensions"] == [{"Name": "PipelineName", "Value": "dev-flight-delays-train"}]


def test_a_search_starts_its_jobs_under_its_own_role_and_the_machine_starts_searches(found: dict[str, Any]) -> None:
    for job in ("training", "processing", "transform"):
        action = f"sagemaker:Create{job.capitalize()}Job"
        assert {each.rpartition(":")[2] for each in allowed(found, "Training", action)} == {
            f"{job}-job/dev-flight-delays-*"
        }
    assert not allowed(found, "ModelMachine", "sagemaker:CreateTrainingJob")
    for action in ("CreateAutoMLJobV2", "DescribeAutoMLJobV2", "StopAutoMLJob"):
        assert {each.rpartition(":")[2] for each in allowed(found, "ModelMachine", f"sagemaker:{action}")} == {
            "automl-job/dev-flight-delays-*"
        }


@pytest.mark.parametrize(
    ("role", "repositories"),
    [
        ("Training", {"autogluon-inference", "autogluon-training", "sagemaker-sklearn-automl"}),
        ("Scoring", {"autogluon-inference", "sagemaker-scikit-learn"}),
        ("Endpoint", {"autogluon-inference", "sagemaker-scikit-learn"}),
    ],
)
def test_each_role_gets_the_images_that_it_needs(found: dict[str, Any], role: str, repositories: set[str]) -> None:
    assert {each.rpartition("/")[2] for each in allowed(found, role, "ecr:BatchGetImage")} == repositories
