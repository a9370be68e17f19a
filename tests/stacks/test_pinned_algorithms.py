"""The stack of a workload whose algorithm AWS ships as scripts: who reads what of AWS's, and what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ConfigurationError, PlatformConfig
from stacks.platform import build_platform
from tests.stacks.test_built_in_algorithms import flights
from tests.stacks.test_workload import allowed, definitions, resources, statements_with, synthesised

PICKLE = {"reason": "LightGBM's script keeps its models by joblib"}


def by_lightgbm(**hyperparameters: Any) -> WorkloadFile:
    model = {"kind": "built_in", "algorithm": "lightgbm", "allow_pickle": PICKLE}
    return flights(model=model, training={"hyperparameters": hyperparameters or {"num_boost_round": 30}})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesised(tmp_path_factory.mktemp("synthesis"), by_lightgbm())


def names(arns: list[str]) -> set[str]:
    return {each.rpartition("/")[2] for each in arns}


@pytest.mark.parametrize(
    ("role", "repositories"),
    [
        ("Training", {"pytorch-training"}),
        ("Scoring", {"pytorch-inference", "sagemaker-scikit-learn"}),
        ("Endpoint", {"pytorch-inference", "sagemaker-scikit-learn"}),
        ("ModelMachine", {"pytorch-training", "pytorch-inference", "sagemaker-scikit-learn", "sagemaker-xgboost"}),
    ],
)
def test_each_role_gets_the_images_that_it_needs(template: dict[str, Any], role: str, repositories: set[str]) -> None:
    assert names(allowed(template, role, "ecr:BatchGetImage")) == repositories


def test_only_the_machine_reads_of_aws_s_bucket_and_only_the_pinned_archives(template: dict[str, Any]) -> None:
    readers = {
        role: [
            json.dumps(resource)
            for statement in statements_with(template, role, "s3:GetObject")
            for resource in statement["Resource"]
            if "Buckets" in json.dumps(resource)
        ]
        for role in ("ModelMachine", "Training", "Processing", "Scoring", "Endpoint")
    }
    assert {role for role, found in readers.items() if found} == {"ModelMachine"}
    keys = sorted(each.split('"/')[-1].split('"')[0] for each in readers["ModelMachine"])
    assert keys == [
        "lightgbm-training/train-lightgbm-classification-model.tar.gz",
        "source-directory-tarballs/lightgbm/inference/classification/v1.0.0/sourcedir.tar.gz",
        "source-directory-tarballs/lightgbm/transfer_learning/classification/v1.0.0/sourcedir.tar.gz",
    ]
    assert not any("*" in key for key in keys)


def test_the_machine_alone_writes_the_copies_and_trainings_read_them(template: dict[str, Any]) -> None:
    for action, roles in (("s3:PutObject", {"ModelMachine"}), ("s3:GetObject", {"Training"})):
        found = {
            role
            for role in ("ModelMachine", "Training", "Scoring", "Endpoint")
            if any(each.endswith("/flight_delays/algorithms/*") for each in allowed(template, role, action))
        }
        assert found == roles


def test_only_processing_jobs_write_packed_models(template: dict[str, Any]) -> None:
    writers = {
        name.partition("RoleDefaultPolicy")[0]
        for name in resources(template, "AWS::IAM::Policy")
        if any(
            each.endswith("/training/packed/*")
            for each in allowed(template, name.partition("RoleDefaultPolicy")[0], "s3:PutObject")
        )
    }
    assert writers == {"Processing"}


def test_the_training_is_told_the_defaults_that_are_pinned_and_what_the_workload_says(template: dict[str, Any]) -> None:
    model = dict(definitions(template))["dev-flight-delays-model"]
    for told in ('"num_boost_round":"30"', '"num_leaves":"67"', '"sagemaker_program":"transfer_learning.py"'):
        assert told in model
    assert "--allow_pickle" in model


def test_where_it_is_not_pinned_the_command_that_pins_it_is_named() -> None:
    zones = {"zones": ["us-east-1a", "us-east-1b"]}
    message = "python -m gate.algorithms lightgbm --region us-east-1"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_platform(App(), PlatformConfig.parse({"dev": zones}), [by_lightgbm()])


def test_a_hyperparameter_that_the_pinned_script_lacks_is_refused() -> None:
    zones = {"zones": ["us-west-2a", "us-west-2b"]}
    message = (
        "workloads/flight_delays/workload.yaml, stage dev: training.hyperparameters: 'num_rounds' is not a "
        "hyperparameter of lightgbm-classification-model 1.0.0"
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_platform(App(), PlatformConfig.parse({"dev": zones}), [by_lightgbm(num_rounds=3)])
