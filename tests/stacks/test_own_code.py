"""The stacks of workloads whose models answer by batch transforms: which images are pulled, and by whom."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ConfigurationError, PlatformConfig, project_context
from stacks.platform import PlatformStage, build_platform, read_workloads
from tests.everything.platform import FOLDER, LOCAL_STAGE, with_settings
from tests.stacks.test_workload import allowed, resources, statements_with

PULL = "ecr:GetDownloadUrlForLayer"
BOXES = ":repository/every-boxed-orders-images"


def template(workload: WorkloadFile, folder: Path, stack: str = "Workload") -> dict[str, Any]:
    app = App(outdir=str(folder), context=project_context())
    config = PlatformConfig.parse({"every": LOCAL_STAGE})
    stage = PlatformStage(app, config=config.stages[0], workloads=[workload])
    name = "".join(word.capitalize() for word in workload.name.split("_"))
    found = stage.node.find_child(f"{name}{stack}")
    assert isinstance(found, Stack)
    return dict(Template.from_stack(found).to_json())


def workload(name: str) -> WorkloadFile:
    return next(each for each in read_workloads(FOLDER) if each.name == name)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return template(workload("boxed_orders"), tmp_path_factory.mktemp("boxed"))


@pytest.fixture(scope="module")
def torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = {"model": {"image": "pytorch:2.6.0"}, "training": {"instance_type": "ml.g5.xlarge"}}
    return template(with_settings(workload("linear_orders"), settings), tmp_path_factory.mktemp("torch"))


@pytest.mark.parametrize("role", ["Training", "Scoring", "Endpoint"])
def test_what_a_container_runs_as_may_pull_its_images_and_no_others(boxed: dict[str, Any], role: str) -> None:
    (repository,) = allowed(boxed, role, PULL)
    assert repository.endswith(BOXES)


def test_jobs_around_a_container_run_in_a_framework_s_image(boxed: dict[str, Any]) -> None:
    (repository,) = allowed(boxed, "Processing", PULL)
    assert repository.endswith(":repository/sagemaker-xgboost")


def test_the_model_machine_may_find_and_build_the_image(boxed: dict[str, Any]) -> None:
    (project,) = allowed(boxed, "ModelMachine", "codebuild:StartBuild")
    assert project.endswith(":project/every-boxed-orders-image")
    looked_at = allowed(boxed, "ModelMachine", "ecr:DescribeImages")
    assert [each.endswith(BOXES) for each in looked_at] == [True]
    found = {each.rpartition("/")[2] for each in allowed(boxed, "ModelMachine", "ecr:BatchGetImage")}
    assert found == {BOXES.rpartition("/")[2], "sagemaker-xgboost"}


@pytest.mark.parametrize("role", ["ModelMachine", "DeploymentMachine"])
def test_machines_may_make_models_for_the_time_of_a_transform_only(boxed: dict[str, Any], role: str) -> None:
    for action in ("sagemaker:CreateTransformJob", "sagemaker:StopTransformJob", "sagemaker:DeleteModel"):
        assert all(resource.endswith("/every-boxed-orders-*") for resource in allowed(boxed, role, action)), action
    passed = [statement["Condition"] for statement in statements_with(boxed, role, "iam:PassRole")]
    assert {json.dumps(each) for each in passed} == {
        json.dumps({"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})
    }


def test_containers_that_score_read_and_write_what_scoring_needs(boxed: dict[str, Any]) -> None:
    read = {resource.partition("/")[2] for resource in allowed(boxed, "Scoring", "s3:GetObject")}
    written = {resource.partition("/")[2] for resource in allowed(boxed, "Scoring", "s3:PutObject")}
    assert read == {"boxed_orders/training/*", "boxed_orders/models/*", "boxed_orders/scoring/*"}
    assert written == {"boxed_orders/scoring/*"}


def test_the_tag_that_is_built_is_the_one_that_is_asked_for(boxed: dict[str, Any]) -> None:
    (project,) = resources(boxed, "AWS::CodeBuild::Project").values()
    variables = {each["Name"]: each["Value"] for each in project["Environment"]["EnvironmentVariables"]}
    model = workload("boxed_orders").model
    assert variables["TAG"] == getattr(model, "tag")  # noqa: B009 - of one kind of model only
    assert variables["REPOSITORY"] == "every-boxed-orders-images"
    machines = json.dumps(resources(boxed, "AWS::StepFunctions::StateMachine"))
    assert variables["TAG"] in machines


def test_images_are_kept_with_what_a_workload_must_not_lose(tmp_path: Path) -> None:
    state = template(workload("boxed_orders"), tmp_path, "State")
    (repository,) = resources(state, "AWS::ECR::Repository").values()
    assert repository["RepositoryName"] == "every-boxed-orders-images"


def test_a_framework_trains_on_a_gpu_and_serves_without_one(torch: dict[str, Any]) -> None:
    pulled = {role: allowed(torch, role, PULL)[0].rpartition("/")[2] for role in ("Training", "Scoring", "Endpoint")}
    assert pulled == {
        "Training": "pytorch-training",
        "Scoring": "pytorch-inference",
        "Endpoint": "pytorch-inference",
    }
    machines = json.dumps(resources(torch, "AWS::StepFunctions::StateMachine"))
    for repository, tag in (("pytorch-training", "2.6.0-gpu-py312"), ("pytorch-inference", "2.6.0-cpu-py312")):
        assert f"{repository}:{tag}" not in machines
        assert re.search(rf'"repository\W+{repository}\b.{{,400}}"tag\W+{re.escape(tag)}', machines)


def test_a_region_has_to_have_the_images_that_train_and_serve(tmp_path: Path) -> None:
    workload_of_words = with_settings(
        workload("linear_orders"),
        {"model": {"image": "huggingface:4.49.0"}, "training": {"instance_type": "ml.g5.xlarge"}},
    )
    config = PlatformConfig.parse({"dev": {"region": "ap-south-2", "zones": ["ap-south-2a", "ap-south-2b"]}})
    with pytest.raises(ConfigurationError, match="model: there is no image of it in ap-south-2, the region of stage"):
        build_platform(App(outdir=str(tmp_path)), config, [workload_of_words])


def test_a_workload_that_is_evaluated_in_process_has_no_part_of_that(tmp_path: Path) -> None:
    linear = template(workload("linear_orders"), tmp_path)
    assert not resources(linear, "AWS::CodeBuild::Project")
    assert not [name for name in linear["Resources"] if name.startswith("Scoring")]
    (repository,) = allowed(linear, "Endpoint", PULL)
    assert repository.endswith(":repository/sagemaker-scikit-learn")
