"""The stack of a workload whose model a built-in algorithm makes: who pulls which image, who reads what is encoded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ROOT, ConfigurationError, PlatformConfig
from stacks.platform import build_platform
from tests.everything.platform import merged
from tests.stacks.test_workload import allowed, definitions, resources, synthesised

BUILT_IN = {
    "model": {"kind": "built_in", "algorithm": "linear-learner"},
    "training": {"hyperparameters": {"epochs": 3, "use_bias": True}},
}


def flights(**more: Any) -> WorkloadFile:
    content = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml").model_dump(
        mode="json", exclude_unset=True
    )
    return WorkloadFile.parse(merged({**content, "training": {}, "model": {}, "evaluation": {}}, more))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesised(tmp_path_factory.mktemp("synthesis"), flights(**BUILT_IN))


@pytest.mark.parametrize(
    ("role", "repositories"),
    [
        ("Training", {"linear-learner"}),
        ("Processing", {"sagemaker-xgboost"}),
        ("Scoring", {"linear-learner", "sagemaker-scikit-learn"}),
        ("Endpoint", {"linear-learner", "sagemaker-scikit-learn"}),
        ("ModelMachine", {"linear-learner", "sagemaker-scikit-learn", "sagemaker-xgboost"}),
    ],
)
def test_each_role_gets_the_images_that_it_needs(template: dict[str, Any], role: str, repositories: set[str]) -> None:
    found = allowed(template, role, "ecr:BatchGetImage")
    assert {each.rpartition("/")[2] for each in found} == repositories


@pytest.mark.parametrize("role", ["Training", "Scoring", "ModelMachine"])
def test_what_is_encoded_is_read_where_it_is_needed(template: dict[str, Any], role: str) -> None:
    assert any(each.endswith("/flight_delays/encoded/*") for each in allowed(template, role, "s3:GetObject"))


def test_only_processing_jobs_encode(template: dict[str, Any]) -> None:
    writers = {
        name.partition("RoleDefaultPolicy")[0]
        for name in resources(template, "AWS::IAM::Policy")
        if any(
            each.endswith("/encoded/*")
            for each in allowed(template, name.partition("RoleDefaultPolicy")[0], "s3:PutObject")
        )
    }
    assert writers == {"Processing"}


def test_a_script_has_nothing_to_do_with_encoding(tmp_path: Path) -> None:
    template = synthesised(tmp_path, flights())
    assert "encoded" not in str(template)
    assert "sagemaker-scikit-learn" not in str(template)


def test_truth_values_reach_the_algorithm_as_json_has_them(template: dict[str, Any]) -> None:
    model = dict(definitions(template))["dev-flight-delays-model"]
    assert '"use_bias":"true"' in model and '"epochs":"3"' in model


def test_a_region_without_the_algorithm_s_image_is_refused() -> None:
    model = {"kind": "built_in", "algorithm": "lda", "channels": {"train": "text/csv"}}
    topics = {"hyperparameters": {"feature_dim": 3, "mini_batch_size": 100, "num_topics": 2}}
    zones = {"region": "eu-north-1", "zones": ["eu-north-1a", "eu-north-1b"]}
    message = "workloads/flight_delays/workload.yaml: model: there is no image of it in eu-north-1, the region of stage"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_platform(App(), PlatformConfig.parse({"dev": zones}), [flights(model=model, training=topics)])
