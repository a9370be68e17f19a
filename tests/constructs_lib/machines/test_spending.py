"""What a run's record says that the run has cost."""

import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.scoring import Scoring
from tests.constructs_lib.machines.test_model_machine import EXECUTION, GIVEN, REQUESTED, any_answers, any_parts, result

START = 1_790_000_000_000
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1}


def evaluated(start: Any, end: Any) -> list[dict[str, Any]]:
    return result(
        {
            "ProcessingStartTime": start,
            "ProcessingEndTime": end,
            "ProcessingResources": {"ClusterConfig": CLUSTER},
        }
    )


def record_of(done: Any) -> dict[str, str]:
    """What the run's record says: attribute to text."""
    asked = done.arguments("RecordRun")
    return {name.removeprefix(":"): value["S"] for name, value in asked["ExpressionAttributeValues"].items()}


def recorded(walk: Any, definition: dict[str, Any], **changed: Any) -> tuple[str, dict[str, Any]]:
    """The estimate and its basis, as the run's record has them."""
    answers = any_answers(**{"Evaluate": evaluated(START, START + 72_000), **changed})
    done = walk(definition, GIVEN, answers, name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    record = record_of(done)
    return record["cost_usd_estimate"], json.loads(record["cost_basis"])


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return model_machine(surroundings, any_parts(place))


def described(seconds: int, count: int = 1, machine: str = "ml.m5.large") -> list[dict[str, Any]]:
    resources = {**REQUESTED["ResourceConfig"], "InstanceType": machine, "InstanceCount": count}  # type: ignore[dict-item]
    return result({**REQUESTED, "ResourceConfig": resources, "BillableTimeInSeconds": seconds})


def test_adds_up_billable_seconds_times_machines_times_the_price_of_an_hour(
    definition: dict[str, Any], walk: Any
) -> None:
    estimate, basis = recorded(walk, definition, DescribeTraining=described(360, count=2))
    assert float(estimate) == pytest.approx(0.115 * (2 * 360 + 72) / 3600, abs=1e-6)
    assert basis["region"] == "us-east-1"
    training = next(job for job in basis["jobs"] if job["job"] == "training")
    assert (training["seconds"], training["instance_count"], training["price_of"]) == (360, 2, "2026-08-11")


def test_a_machine_without_a_sourced_price_makes_no_estimate_and_is_named(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    parts = any_parts(place, training=JobLimits("ml.c7i.large", 30))
    definition = model_machine(surroundings, parts)
    estimate, basis = recorded(walk, definition, DescribeTraining=described(360, machine="ml.c7i.large"))
    assert estimate == "none"
    unpriced = [job["job"] for job in basis["jobs"] if "usd" not in job]
    assert unpriced == ["training"]


def test_times_that_come_as_text_are_understood(definition: dict[str, Any], walk: Any) -> None:
    as_text = evaluated("2026-11-01T10:00:00.000Z", "2026-11-01T10:01:12.000Z")
    _, basis = recorded(walk, definition, Evaluate=as_text, DescribeTraining=described(360))
    assert {job["job"]: job["seconds"] for job in basis["jobs"]} == {"training": 360, "evaluation": 72}


def test_an_evaluation_that_was_done_again_counts_once(definition: dict[str, Any], walk: Any) -> None:
    failed = {"error": "States.TaskFailed", "cause": "no room"}
    answers = [failed, *any_answers()["ReadEvaluation"]]
    _, basis = recorded(walk, definition, ReadEvaluation=answers, DescribeTraining=described(360))
    assert sorted(job["job"] for job in basis["jobs"]) == ["evaluation", "training"]


def test_spot_asks_for_it_waits_and_keeps_checkpoints_under_the_execution(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    limits = JobLimits("ml.m5.large", 30, spot_minutes=120, volume_gb=50)
    definition = model_machine(surroundings, any_parts(place, training=limits))
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    asked = done.arguments("Train")
    assert asked["EnableManagedSpotTraining"] is True
    assert asked["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800, "MaxWaitTimeInSeconds": 7200}
    assert asked["CheckpointConfig"] == {
        "S3Uri": f"s3://artefacts/flight_delays/checkpoints/{EXECUTION}/",
        "LocalPath": "/opt/ml/checkpoints",
    }
    assert asked["ResourceConfig"]["VolumeSizeInGB"] == 50
    assert definition["States"]["Train"]["TimeoutSeconds"] == 7200 + 1800


def test_machines_train_together_and_are_kept_for_the_next_job(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    limits = JobLimits("ml.m5.large", 30, instance_count=3, warm_pool_minutes=20)
    parts = replace(any_parts(place, training=limits), switches={"sagemaker_mpi_enabled": "true"})
    done = walk(model_machine(surroundings, parts), GIVEN, any_answers(), name=EXECUTION)
    asked = done.arguments("Train")
    assert asked["ResourceConfig"]["InstanceCount"] == 3
    assert asked["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 1200
    assert asked["HyperParameters"]["sagemaker_mpi_enabled"] == "true"
    assert "CheckpointConfig" not in asked
    assert "EnableManagedSpotTraining" not in asked


def test_processing_jobs_have_a_machine_of_their_own(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    parts = any_parts(place, jobs=JobLimits("ml.m5.xlarge", 90, volume_gb=80))
    done = walk(model_machine(surroundings, parts), GIVEN, any_answers(), name=EXECUTION)
    asked = done.arguments("Evaluate")
    cluster = asked["ProcessingResources"]["ClusterConfig"]
    assert (cluster["InstanceType"], cluster["InstanceCount"], cluster["VolumeSizeInGB"]) == ("ml.m5.xlarge", 1, 80)
    assert asked["StoppingCondition"] == {"MaxRuntimeInSeconds": 5400}
    assert done.arguments("Train")["ResourceConfig"]["InstanceType"] == "ml.m5.large"


def scored(machine: str) -> dict[str, Any]:
    """The answers of a run whose model is scored by a batch transform of an hour."""
    written = {
        "ProcessingStartTime": START,
        "ProcessingEndTime": START,
        "ProcessingResources": {"ClusterConfig": CLUSTER},
    }
    transformed = {
        "TransformOutput": {"S3OutputPath": "s3://artefacts/answers"},
        "TransformStartTime": START,
        "TransformEndTime": START + 3_600_000,
        "TransformResources": {"InstanceType": machine, "InstanceCount": 1},
    }
    return {
        "WriteRequests": result(written),
        "CreateScored": result({}),
        "Score": result(transformed),
        "DeleteScored": result({}),
        "DropScored": result({}),
        "DescribeTraining": described(0),
        "Evaluate": evaluated(START, START),
    }


def of_scored_run(surroundings: Surroundings, place: JobPlace, walk: Any, machine: str) -> dict[str, str]:
    """The record of a run that is scored by batch transform on a machine."""
    parts = any_parts(place, scoring=Scoring("scoring-role", JobLimits(machine, 30)), serving_instance_type=machine)
    done = walk(model_machine(surroundings, parts), GIVEN, any_answers(**scored(machine)), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    return record_of(done)


def test_a_run_that_is_scored_by_batch_transform_has_a_total_and_says_what_it_assumes(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    record = of_scored_run(surroundings, place, walk, "ml.m5.large")
    assert float(record["cost_usd_estimate"]) == pytest.approx(0.115)
    assumed = "no source gives the price of Transform on ml.m5.large in us-east-1: that of Processing is assumed"
    assert record["cost_assumption"] == assumed
    jobs = {job["job"]: job.get("assumption") for job in json.loads(record["cost_basis"])["jobs"]}
    assert jobs == {"training": None, "requests": None, "scoring 1": assumed, "evaluation": None}


def test_nothing_is_assumed_of_a_machine_whose_other_price_has_no_source(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    record = of_scored_run(surroundings, place, walk, "ml.c6i.large")
    assert (record["cost_usd_estimate"], record["cost_assumption"]) == ("none", "none")


def test_a_run_of_sourced_prices_assumes_nothing(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(DescribeTraining=described(360)), name=EXECUTION)
    assert record_of(done)["cost_assumption"] == "none"
