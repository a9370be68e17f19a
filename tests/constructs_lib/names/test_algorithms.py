"""Built-in algorithms in ``workload.yaml``: what is refused, why, and where the images are."""

from __future__ import annotations

from typing import Any

import pytest

from constructs_lib.names.algorithm_images import IMAGES, REGISTRIES
from constructs_lib.names.algorithms import ALGORITHMS
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from tests.constructs_lib.names import algorithm_images

SOURCE = {"key": ["id"], "columns": {"id": "string", "at": "timestamp", "size": "double", "kind": "string"}}
PICKLE = {"reason": "the model is trained and served in this account alone"}
IMAGES_MODEL = {"kind": "built_in", "algorithm": "image-classification-tensorflow"}
TARGETS = {"binary_classification": "boolean", "multiclass_classification": "string", "regression": "double"}


def content(algorithm: str, problem: str = "regression", **changes: Any) -> dict[str, Any]:
    """A workload whose model an algorithm makes."""
    target = {"target": "wanted"} if problem in TARGETS else {}
    columns = {**SOURCE["columns"], **({"wanted": TARGETS[problem]} if target else {})}  # type: ignore[dict-item]
    return {
        "name": "things",
        "owner": "us@example.com",
        "problem": problem,
        **target,
        "event_time": "at",
        "sources": {"things": {**SOURCE, "columns": columns}},
        "model": {"kind": "built_in", "algorithm": algorithm},
        **changes,
    }


def finding(given: dict[str, Any]) -> str:
    with pytest.raises(WorkloadFileError) as caught:
        WorkloadFile.parse(given)
    return str(caught.value).removeprefix("workload.yaml: ")


def given(**hyperparameters: Any) -> dict[str, Any]:
    return {"training": {"hyperparameters": hyperparameters}}


def test_the_table_of_images_is_what_the_sagemaker_sdk_ships() -> None:
    assert algorithm_images.TARGET.read_text() == algorithm_images.render()


@pytest.mark.parametrize("algorithm", sorted(name for name, each in ALGORITHMS.items() if not each.pinned))
def test_each_algorithm_has_an_image_in_every_region_where_the_sdk_knows_one(algorithm: str) -> None:
    repository, tag, table = IMAGES[algorithm]
    assert (repository, tag, REGISTRIES[table]) == algorithm_images.known(algorithm)


def test_there_is_an_image_for_nothing_else_but_what_is_pinned_has_scripts() -> None:
    assert sorted(IMAGES) == sorted(name for name, each in ALGORITHMS.items() if not each.pinned)


def test_a_regression_by_xgboost_needs_its_rounds_only() -> None:
    workload = WorkloadFile.parse(content("xgboost", **given(num_round=10)))
    assert isinstance(workload.model, BuiltInModel) and workload.model.jobs_image == "xgboost:3.2-0"


def test_a_model_without_a_kind_is_a_script() -> None:
    assert WorkloadFile.parse({**content("xgboost"), "model": {"image": "xgboost:3.0-5"}}).model.kind == "script"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (content("xgbost"), "model.algorithm: 'xgbost' is not a built-in algorithm; did you mean 'xgboost'?"),
        (content("lightgbm"), "model.allow_pickle: models of lightgbm are pickles, which run what their author likes"),
        (
            content("catboost", model={"kind": "built_in", "algorithm": "catboost", "allow_pickle": PICKLE}),
            "model.allow_pickle: models of catboost are no pickles; leave it out",
        ),
        (
            content("image-classification-tensorflow", model={**IMAGES_MODEL, "channels": {"train": "image/jpeg"}}),
            "model.channels: image-classification-tensorflow has no encoder of the platform; name the channels that "
            "adapters.py writes, training among them, with their content types",
        ),
        (
            content("catboost", training={"tuning": {"ranges": {"depth": {"integer": [4, 8]}}}}),
            "training.tuning.objective.metric: catboost tells its metrics by its script alone",
        ),
        (
            content("catboost", training={"instance_count": 2}),
            "training.instance_count: catboost trains on one machine",
        ),
        (content("kmeans", **given(k=3)), "model.algorithm: kmeans does not solve regression (allowed: clustering)"),
        (content("xgboost"), "training.hyperparameters: xgboost needs num_round (required: num_round)"),
        (
            content("xgboost", "binary_classification", **given(num_round=1, objective="reg:squarederror")),
            "training.hyperparameters.objective: xgboost gets it from problem: binary_classification, which makes it "
            "binary:logistic; leave it out",
        ),
        (
            content("xgboost", **given(num_round=1, objective="binary:logistic")),
            "training.hyperparameters.objective: must be one of reg:squarederror, reg:absoluteerror",
        ),
        (
            content("linear-learner", **given(feature_dim=3)),
            "training.hyperparameters.feature_dim: linear-learner gets it from the encoded split; leave it out",
        ),
        (
            content("linear-learner", features={"size": "double", "at": "timestamp"}),
            "features.at: a timestamp has no encoding for linear-learner; make numbers of it in features.py",
        ),
        (
            content("blazingtext", "multiclass_classification"),
            "features: blazingtext learns from one text, a single column of type string",
        ),
        (
            content("xgboost", model={"kind": "built_in", "algorithm": "xgboost", "channels": {"train": "text/csv"}}),
            "model.channels: xgboost is encoded by the platform; leave channels out",
        ),
        (
            content("randomcutforest"),
            "model.channels: randomcutforest has no encoder of the platform; name the channels that adapters.py writes",
        ),
        (
            content(
                "semantic-segmentation",
                model={
                    "kind": "built_in",
                    "algorithm": "semantic-segmentation",
                    "channels": {"train": "image/jpeg", "train_annotation": "image/png"},
                },
                **given(num_classes=2, num_training_samples=100),
            ),
            "training.instance_type: semantic-segmentation trains on GPUs only, was ml.m5.large",
        ),
        (
            content("xgboost", training={"hyperparameters": {"num_round": 1}, "read_from": "lustre"}),
            "training.read_from: a built-in algorithm reads what was encoded, which lies in s3",
        ),
        (
            content("pca", "projection", **given(num_components=2, algorithm_mode="randomized")),
            "training.hyperparameters.algorithm_mode: must be one of regular",
        ),
    ],
)
def test_refuses_what_the_algorithm_cannot_do(wrong: dict[str, Any], message: str) -> None:
    assert finding(wrong).startswith(message)


def test_truth_values_of_hyperparameters_are_written_as_json_has_them() -> None:
    workload = WorkloadFile.parse(content("linear-learner", **given(use_bias=True, epochs=3, l1=0.5)))
    assert workload.training.texts() == {"use_bias": "true", "epochs": "3", "l1": "0.5", "seed": "0"}
