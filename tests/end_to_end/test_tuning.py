"""A workload whose hyperparameter is tuned: the trials, what is kept of them, and who may do it."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from local.chain import Chain
from local.executions import Execution
from tests.end_to_end.grants import Roles
from tests.end_to_end.live import Live
from tests.end_to_end.test_experiments import Page

ROLE = "ModelMachine"
NEEDED = {
    "sagemaker:CreateHyperParameterTuningJob": "",
    "sagemaker:DescribeHyperParameterTuningJob": "",
    "sagemaker:ListTrainingJobsForHyperParameterTuningJob": "",
    "s3:PutObject": "s3:artefacts/linear_orders/tunings/",
}
"""Actions of the machine to what they are granted on."""

UNSEEN = {"sagemaker:StopHyperParameterTuningJob": "a tuning is only stopped when it is too late"}


@pytest.fixture(scope="module")
def record(linear: Live, tuned: Chain) -> dict[str, Any]:
    assert tuned.outcome() == "deployed", tuned
    return linear.record(f"model#{tuned.run_id}")


def rerun(linear: Live, tuned: Chain) -> Execution:
    """The model machine once more on the same dataset."""
    model = tuned.of("model")
    assert model is not None
    return linear.run("model", {**model.input, "run_id": f"{uuid.uuid4().hex[:16]}-1"})


def test_the_best_of_all_trials_is_deployed_and_recorded_with_its_hyperparameters(
    linear: Live, record: dict[str, Any]
) -> None:
    tuning = json.loads(record["tuning"])
    assert (tuning["strategy"], tuning["metric"], tuning["goal"]) == ("Bayesian", "log_loss", "minimize")
    assert (tuning["trials"], tuning["completed"]) == (3, 3)
    kept = linear.read_json(tuning["trials_uri"])["trials"]
    best = min(kept, key=lambda trial: trial["objective"])
    assert tuning["best"]["name"] == best["name"] == record["training_job"]
    assert json.loads(record["hyperparameters"]) == {"seed": "0", **best["hyperparameters"]}
    job = linear.client("sagemaker").describe_training_job(TrainingJobName=best["name"])
    assert record["model_uri"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert job["TuningJobArn"].endswith(f":hyper-parameter-tuning-job/{tuning['name']}")
    assert all(trial["seconds"] > 0 and 0.01 <= float(trial["hyperparameters"]["strength"]) <= 10 for trial in kept)


def test_the_trials_are_shown(linear: Live, record: dict[str, Any]) -> None:
    told = linear.command("runs", "show", record["run"].removeprefix("model#"))
    trials = linear.read_json(json.loads(record["tuning"])["trials_uri"])["trials"]
    shown = [line for line in told.splitlines() if "strength=" in line]
    assert len(shown) == len(trials)
    assert [line.split()[0] for line in shown] == [trial["name"] for trial in trials]
    assert sum(" * " in line for line in shown) == 1


def test_the_trials_are_below_the_run_in_mlflow(linear: Live, record: dict[str, Any]) -> None:
    page = Page(linear.command("experiments").strip().removeprefix("http://"))
    run = page.ask(f"runs/get?run_id={record['mlflow_run']}")["run"]
    asked = {
        "experiment_ids": [run["info"]["experiment_id"]],
        "filter": f"tags.`mlflow.parentRunId` = '{record['mlflow_run']}'",
    }
    children = page.ask("runs/search", **asked)["runs"]
    logged = {
        child["info"]["run_name"]: {each["key"]: each["value"] for each in child["data"]["metrics"]}["log_loss"]
        for child in children
    }
    trials = linear.read_json(json.loads(record["tuning"])["trials_uri"])["trials"]
    assert logged == pytest.approx({trial["name"]: trial["objective"] for trial in trials})
    assert {child["info"]["status"] for child in children} == {"FINISHED"}


def test_a_replay_repeats_the_training_that_won_and_no_tuning(linear: Live, record: dict[str, Any]) -> None:
    client = linear.client("sagemaker")
    before = client.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    run = record["run"].removeprefix("model#")
    told = linear.command("runs", "replay", run)
    assert f"run {run} again gave the same model, byte for byte: {record['model_sha256']}" in told
    assert len(client.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]) == len(before)


def test_the_next_tuning_begins_with_what_this_one_has_found(
    linear: Live, tuned: Chain, record: dict[str, Any]
) -> None:
    done = rerun(linear, tuned)
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    tuning = json.loads(linear.record(f"model#{done.input['run_id']}")["tuning"])
    described = linear.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuning["name"]
    )
    assert described["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": json.loads(record["tuning"])["name"]}],
        "WarmStartType": "TransferLearning",
    }


# --- grants of the machine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", NEEDED)
def test_a_grant_that_is_taken_away_is_missed(linear: Live, tuned: Chain, action: str) -> None:
    roles = Roles(linear)
    with roles.without(ROLE, [action], NEEDED[action]):
        done = rerun(linear, tuned)
    assert done.status == "FAILED"
    assert re.search(roles.denial(ROLE, [action]), str(done.cause)), done.cause


def test_every_grant_of_tunings_is_seen_to_be_needed_or_listed(linear: Live) -> None:
    own = {grant.action for grant in Roles(linear).grants if "HyperParameterTuningJob" in grant.action}
    assert own == {action for action in NEEDED if action.startswith("sagemaker:")} | UNSEEN.keys()
