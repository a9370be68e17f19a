"""The stack of a workload that is tuned: who may tune, and who reads the trials."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ConfigurationError, PlatformConfig
from stacks.platform import PlatformStage
from tests.stacks.test_own_code import template, workload
from tests.stacks.test_workload import allowed

ACTIONS = ("Create", "Describe", "Stop", "ListTrainingJobsFor")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return template(workload("linear_orders"), tmp_path_factory.mktemp("tuned"))


def test_the_machine_tunes_under_its_own_prefix_and_nobody_else_does(tuned: dict[str, Any]) -> None:
    for verb in ACTIONS:
        action = f"sagemaker:{verb}HyperParameterTuningJob"
        assert {each.rpartition(":")[2] for each in allowed(tuned, "ModelMachine", action)} == {
            "hyper-parameter-tuning-job/every-linear-orders-*"
        }
        assert not allowed(tuned, "Training", action)


def test_trials_are_written_by_the_machine_and_read_by_whoever_logs_them(tuned: dict[str, Any]) -> None:
    written = allowed(tuned, "ModelMachine", "s3:PutObject")
    assert [each for each in written if each.endswith("/linear_orders/tunings/*")]
    read = allowed(tuned, "ExperimentLogFunction", "s3:GetObject")
    assert [each for each in read if each.endswith("/linear_orders/tunings/*")]


def test_a_stage_refuses_a_workload_whose_name_leaves_no_room_for_tunings() -> None:
    linear = workload("linear_orders")
    content = linear.model_dump(mode="json", exclude_unset=True)
    config = PlatformConfig.parse({"staging": {"zones": ["eu-west-1a", "eu-west-1b"]}})
    long = WorkloadFile.parse({**content, "name": "orders_of_long_names"})
    with pytest.raises(
        ConfigurationError, match=r"orders_of_long_names/workload.yaml: training.tuning: names of AutoML and tuning"
    ):
        PlatformStage(App(), config=config.stages[0], workloads=[long])
