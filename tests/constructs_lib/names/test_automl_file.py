"""What a workload that lets a model be searched for may say, and where the images of a search are."""

import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.automl_images import AUTOGLUON, PREPARATION, REGISTRIES, SERVING, TRAINING
from constructs_lib.names.model_file import PipelineModel, ScriptModel
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from stacks.config import ConfigurationError, PlatformConfig
from stacks.platform import PlatformStage

FOUND = Path(__file__).parents[2] / "everything" / "workloads" / "found_orders" / "workload.yaml"


def parsed(**changed: Any) -> WorkloadFile:
    """The workload of the tests whose model is searched for, with some keys changed."""
    return WorkloadFile.parse({**yaml.safe_load(FOUND.read_text()), **changed})


def model(**changed: Any) -> dict[str, Any]:
    given = yaml.safe_load(FOUND.read_text())["model"] | changed
    return {key: value for key, value in given.items() if value is not None}


def test_searches_for_the_problems_first_objective_unless_another_is_asked_for() -> None:
    found = parsed().model
    assert isinstance(found, AutoMLModel)
    assert found.objective_of("binary_classification") == "AUC"
    assert found.objective_of("regression") == "RMSE"
    asked = parsed(model=model(objective="F1")).model
    assert isinstance(asked, AutoMLModel)
    assert asked.objective_of("binary_classification") == "F1"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": model(allow_pickle=None)}, "model.allow_pickle: is required"),
        ({"model": model(allow_pickle={"reason": "no"})}, "model.allow_pickle.reason: "),
        ({"model": model(candidates=0)}, "model.candidates: "),
        ({"model": model(max_runtime_minutes=4)}, "model.max_runtime_minutes: "),
        ({"model": model(objective="auc")}, "model.objective: "),
        ({"model": model(objective="RMSE")}, "model.objective: "),
        ({"model": model(mode="AUTO")}, "model.mode: "),
        ({"problem": "clustering", "target": None}, "model.kind: automl does not solve clustering"),
        ({"training": {"hyperparameters": {"eta": 0.1}}}, "training.hyperparameters: automl finds them by itself"),
        ({"training": {"read_from": "lustre"}}, "training.read_from: automl reads a table of its own"),
        ({"training": {"guard": {}}}, "training.guard: automl trains many models"),
        ({"features": {"amount": "double", "since": "date"}}, "features.since: automl is not given a date"),
    ],
)
def test_refuses_what_autopilot_cannot_do(changed: dict[str, Any], said: str) -> None:
    if changed.get("target", "") is None:
        changed = {**changed, "gate": {}}
    with pytest.raises(WorkloadFileError) as caught:
        parsed(**changed)
    assert said in str(caught.value)


def test_a_stage_refuses_a_workload_whose_name_leaves_no_room_for_searches() -> None:
    from aws_cdk import App

    config = PlatformConfig.parse({"staging": {"zones": ["eu-west-1a", "eu-west-1b"]}})
    workload = parsed(name="orders_of_long_names")
    with pytest.raises(ConfigurationError, match=r"orders_of_long_names/workload.yaml: model.kind: automl: names of"):
        PlatformStage(App(), config=config.stages[0], workloads=[workload])


def test_a_pipeline_is_a_script_in_an_image_that_evaluates_as_well() -> None:
    piped = parsed(model={"kind": "pipeline"}).model
    assert isinstance(piped, PipelineModel) and isinstance(piped, ScriptModel)
    assert piped.evaluated_in_process
    with pytest.raises(
        WorkloadFileError, match=r"model.image: a pipeline evaluates in the image that trains; allowed: "
    ):
        parsed(model={"kind": "pipeline", "image": "pytorch:2.6.0"})


def test_the_accounts_of_images_are_those_that_the_sdk_knows() -> None:
    folder = importlib.resources.files("sagemaker.core").joinpath("image_uri_config")
    known = json.loads(folder.joinpath("autogluon.json").read_text())
    *_, newest = known["inference"]["versions"].values()
    assert newest["registries"] == AUTOGLUON
    assert newest["repository"] == SERVING
    *_, training = known["training"]["versions"].values()
    assert training["repository"] == TRAINING
    xgboost = json.loads(folder.joinpath("xgboost.json").read_text())["training"]["versions"]["3.2-0"]["registries"]
    assert REGISTRIES[PREPARATION] == xgboost
