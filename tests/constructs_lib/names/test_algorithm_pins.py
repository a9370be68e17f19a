"""Algorithms that AWS ships as scripts: what is pinned, and what is refused because it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names.algorithm_pins import (
    MODEL_IDS,
    Hyperparameter,
    check_pinned,
    pin_of,
    pins,
    task_of,
)
from constructs_lib.names.algorithms import ALGORITHMS


def check(algorithm: str = "lightgbm", **changed: Any) -> None:
    asked = {
        "problem": "binary_classification",
        "region": "us-west-2",
        "hyperparameters": {},
        "training": "ml.m5.large",
        "serving": "ml.m5.large",
    }
    check_pinned(algorithm, **{**asked, **changed})


def test_each_algorithm_of_scripts_has_a_model_for_each_of_its_problems() -> None:
    of_scripts = {name: each for name, each in ALGORITHMS.items() if each.pinned}
    assert MODEL_IDS.keys() == of_scripts.keys()
    for name, traits in of_scripts.items():
        assert all(task_of(name, problem) in MODEL_IDS[name] for problem in traits.problems or ["regression"])


def test_each_pin_is_of_the_model_that_its_algorithm_trains_and_names_its_source() -> None:
    found = [(name, task, pin) for name, tasks in pins().items() for task, pin in tasks.items()]
    assert found
    for name, task, pin in found:
        assert pin.model_id == MODEL_IDS[name][task]
        assert pin.source.text and pin.source.date
        assert pin.settings["sagemaker_program"] and pin.training.script.key.endswith("/sourcedir.tar.gz")
        assert all(pin.regions[region].bucket.endswith(f"-{region}") for region in pin.regions)


def test_both_kinds_of_classification_are_one_task() -> None:
    assert pin_of("lightgbm", "multiclass_classification") == pin_of("lightgbm", "binary_classification")


def test_takes_what_is_pinned_and_knows_nothing_of_images() -> None:
    check(hyperparameters={"num_boost_round": 30, "learning_rate": 0.1})
    check("xgboost", region="mars-north-1", hyperparameters={"eta": 1})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"region": "us-east-1"},
            "model.algorithm: lightgbm is not pinned for binary_classification in us-east-1 (pinned in: us-west-2); "
            "pin it where AWS can be reached: python -m gate.algorithms lightgbm --region us-east-1",
        ),
        (
            {"problem": "regression", "region": None},
            "model.algorithm: lightgbm is not pinned for regression; pin it where AWS can be reached: "
            "python -m gate.algorithms lightgbm --region <region>",
        ),
        (
            {"algorithm": "image-classification-tensorflow", "problem": "multiclass_classification"},
            "model.algorithm: image-classification-tensorflow is not pinned for multiclass_classification in us-west-2",
        ),
        (
            {"hyperparameters": {"num_boost_rounds": 3}},
            "training.hyperparameters: 'num_boost_rounds' is not a hyperparameter of lightgbm-classification-model "
            "1.0.0; did you mean 'num_boost_round'?",
        ),
        (
            {"hyperparameters": {"num_leaves": 1}},
            "training.hyperparameters.num_leaves: must be at least 2 and at most 131072, was 1",
        ),
        (
            {"hyperparameters": {"num_leaves": 2.5}},
            "training.hyperparameters.num_leaves: must be an integer, was 2.5",
        ),
        (
            {"hyperparameters": {"learning_rate": "fast"}},
            'training.hyperparameters.learning_rate: must be a number, was "fast"',
        ),
        (
            {"algorithm": "autogluon", "training": "ml.m5.xlarge"},
            "serving.instance_type: AWS has not tried autogluon on ml.m5.large (allowed: ml.p2.xlarge",
        ),
        ({"training": "ml.c7g.large"}, "training.instance_type: there is an image of lightgbm for machines with x86"),
    ],
)
def test_refuses_what_is_not_pinned_or_not_allowed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(**wrong)
    assert str(caught.value).startswith(message)


def test_truth_values_are_compared_as_they_are_sent() -> None:
    switch = Hyperparameter(name="auto_stack", type="text", default="False", options=("True", "False"))
    assert switch.refusal("True") is None
    assert switch.refusal(True) == "must be one of True, False, was true"


def test_a_file_that_nobody_wrote_like_this_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pins.json").write_text('{"lightgbm": {"classification": {"model_id": "x"}}}')
    with pytest.raises(ValueError, match=r"lightgbm\.classification\.version"):
        pins(tmp_path / "pins.json")
