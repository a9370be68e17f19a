"""What a workload file may say of machines, of one phase and of one stage."""

from typing import Any

import pytest

from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from tests.constructs_lib.names.test_workload_file import flights


def parsed(**more: Any) -> WorkloadFile:
    return WorkloadFile.parse({**flights(), **more})


def told(**more: Any) -> str:
    with pytest.raises(WorkloadFileError) as error:
        parsed(**more)
    return str(error.value)


def built_in(algorithm: str, **training: Any) -> dict[str, Any]:
    required = {"kmeans": {"k": 3}, "linear-learner": {}, "xgboost": {"num_round": 5}}[algorithm]
    problem = {"problem": "clustering", "target": None} if algorithm == "kmeans" else {}
    gate: dict[str, Any] = {"gate": {}} if algorithm == "kmeans" else {}
    return {
        **problem,
        **gate,
        "evaluation": {},
        "model": {"kind": "built_in", "algorithm": algorithm},
        "training": {"hyperparameters": required, **training},
    }


def test_a_stage_replaces_values_and_leaves_all_others() -> None:
    workload = parsed(
        stages={"prod": {"training": {"instance_type": "ml.m5.4xlarge"}, "evaluation": {"volume_gb": 90}}}
    )
    here, there = workload.for_stage("dev"), workload.for_stage("prod")
    assert here is workload
    assert (there.training.instance_type, there.evaluation.volume_gb) == ("ml.m5.4xlarge", 90)
    assert there.training.hyperparameters == workload.training.hyperparameters
    assert there.evaluation.slices == workload.evaluation.slices
    assert there.stages == {}
    assert there.contract_digest() == workload.contract_digest()


def test_null_takes_a_value_away_in_a_stage() -> None:
    training = {**flights()["training"], "spot": {"max_wait_minutes": 60}}
    workload = parsed(training=training, stages={"prod": {"training": {"spot": None}}})
    assert workload.training.spot is not None
    assert workload.for_stage("prod").training.spot is None


TUNED: dict[str, Any] = {
    **flights()["training"],
    "instance_type": "ml.m5.xlarge",
    "hyperparameters": {},
    "tuning": {
        "ranges": {"max_depth": {"integer": [2, 8]}},
        "budget": {"trials": 20, "parallel": 4},
        "trial": {"instance_type": "ml.m5.large", "max_runtime_minutes": 10},
    },
}


def test_trials_have_machines_of_their_own() -> None:
    training = parsed(training=TUNED).training
    assert (training.compute.instance_type, training.compute.max_runtime_minutes) == ("ml.m5.large", 10)
    assert training.compute.volume_gb == training.volume_gb
    assert parsed(training={**TUNED, "tuning": None}).training.compute.instance_type == "ml.m5.xlarge"


def test_a_stage_replaces_single_values_of_a_tuning_or_does_without_it() -> None:
    dearer = {"training": {"tuning": {"budget": {"trials": 40}, "trial": {"instance_type": "ml.m5.4xlarge"}}}}
    workload = parsed(training=TUNED, stages={"prod": dearer, "dev": {"training": {"tuning": None}}})
    there = workload.for_stage("prod").training
    assert there.tuning is not None
    assert (there.tuning.trials, there.tuning.budget.parallel) == (40, 4)
    assert (there.compute.instance_type, there.compute.max_runtime_minutes) == ("ml.m5.4xlarge", 10)
    here = workload.for_stage("dev").training
    assert (here.tuning, here.compute.instance_type) == (None, "ml.m5.xlarge")


@pytest.mark.parametrize(
    ("training", "stages", "message"),
    [
        (
            {
                **TUNED,
                "spot": {"max_wait_minutes": 60},
                "tuning": {**TUNED["tuning"], "trial": {"max_runtime_minutes": 90}},
            },
            {},
            "training.tuning.trial: spot.max_wait_minutes: includes",
        ),
        (
            TUNED,
            {"prod": {"training": {"tuning": {"budget": {"trials": 2}}}}},
            "stages.prod.training.tuning.budget.parallel: must be at most the 2 trials",
        ),
        (
            {},
            {"prod": {"training": {"tuning": {"budget": {"trials": 2}}}}},
            "stages.prod.training.tuning.ranges: is required",
        ),
        (
            {**TUNED, "tuning": {**TUNED["tuning"], "trial": {"instance_type": "ml.m7g.large"}}},
            {},
            "training.instance_type",
        ),
    ],
)
def test_refuses_trials_that_cannot_be(training: dict[str, Any], stages: dict[str, Any], message: str) -> None:
    assert message in told(training=training, stages=stages)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"training": {"instance_count": 2}}, "stages.prod.training.distribution: says how the script is started on 2"),
        ({"training": {"spot": {"max_wait_minutes": 5}}}, "stages.prod.training.spot.max_wait_minutes: includes"),
        ({"training": {"instance_type": "m5"}}, "stages.prod.training.instance_type: must match"),
        ({"training": {"instance_type": None}}, "stages.prod.training.instance_type: "),
        (
            {"serving": {"instance_count": 1}},
            "stages.prod.serving.instance_count: a rollout by canary needs at least two",
        ),
        ({"evaluation": {"instance_type": "ml.m6g.large"}}, "stages.prod.evaluation.instance_type: there is an image"),
        ({"train": {}}, "stages.prod.train: 'train' is not a known key; did you mean 'training'? (allowed: prepa"),
        ({"training": {"seed": 3}}, "stages.prod.training.seed: 'seed' is not a known key"),
    ],
)
def test_refuses_what_cannot_be_in_a_stage_by_its_name(stage: dict[str, Any], message: str) -> None:
    assert message in told(stages={"prod": stage})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"training": {"spot": {"max_wait_minutes": 90}, "warm_pool_minutes": 5}},
            "training.warm_pool_minutes: does not go together with spot",
        ),
        ({"training": {"warm_pool_minutes": 61}}, "training.warm_pool_minutes: input should be less than or equal"),
        ({"training": {"distribution": "hosts"}}, "training.distribution: hosts needs an instance_count of at least 2"),
        (
            {"training": {"instance_count": 2, "distribution": "mpi"}},
            "training.distribution: xgboost is not started by mpi (allowed: hosts)",
        ),
        (
            {"training": {"instance_count": 2}, "model": {"image": "scikit-learn:1.9-0"}},
            "training.instance_count: scikit-learn trains on one machine, was 2",
        ),
        ({"training": {"distribution": "smdataparallel"}}, "training.distribution: allowed: 'hosts', 'mpi' or"),
        (built_in("kmeans", instance_count=2), "training.instance_count: kmeans trains on one machine, was 2"),
        (built_in("linear-learner", distribution="mpi"), "training.distribution: linear-learner spreads itself"),
        (
            built_in("linear-learner", max_runtime_minutes=30, spot={"max_wait_minutes": 90}),
            "training.spot.max_wait_minutes: linear-learner keeps no checkpoints, so SageMaker allows at most 60, "
            "was 90",
        ),
    ],
)
def test_refuses_machines_that_cannot_be_had(more: dict[str, Any], message: str) -> None:
    assert message in told(**more)


def test_an_algorithm_that_keeps_checkpoints_may_wait_longer() -> None:
    training = built_in("xgboost", spot={"max_wait_minutes": 300})
    assert parsed(**training).training.most_minutes == 300


def test_the_way_a_script_is_started_is_told_to_the_image_and_not_to_the_script() -> None:
    training = {"instance_count": 2, "distribution": "torch_distributed", "instance_type": "ml.g5.xlarge"}
    workload = parsed(training=training, model={"image": "pytorch:2.6.0"}, evaluation={})
    assert workload.training.switches() == {
        "sagemaker_torch_distributed_enabled": "true",
        "sagemaker_instance_type": "ml.g5.xlarge",
    }
    assert list(workload.training.texts()) == ["seed"]


def test_machines_are_no_part_of_what_the_evaluation_must_know() -> None:
    asked = {**flights()["evaluation"], "instance_type": "ml.m5.xlarge", "volume_gb": 80}
    assert parsed(evaluation=asked).evaluation_options() == parsed().evaluation_options()
