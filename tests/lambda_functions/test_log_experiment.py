"""What MLflow is told of a run, and where it is: what needs no server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from log_experiment.curves import curves, points
from log_experiment.describe import LONGEST, dataset, milliseconds, tell
from log_experiment.mlflow import place_of
from log_experiment.trials import MOST, tell_trials

SERVER = "arn:aws:sagemaker:eu-west-1:111122223333:mlflow-tracking-server/dev-experiments"
APP = "arn:aws:sagemaker:eu-west-1:111122223333:mlflow-app/app-ABC"
ENDED = 1_767_225_600_000
RECORD = {
    "status": "registered",
    "started": "2026-01-01T00:00:00.123Z",
    "commit": "c0ffee",
    "bundle": "b" * 64,
    "dataset_version": "v1",
    "triggered_by": "batch",
    "hyperparameters": json.dumps({"eta": "0.1", "seed": "2013"}),
    "metrics": json.dumps({"auc": 0.72, "rows": 10}),
    "rules": json.dumps([{"rule": "floor", "passed": True, "reason": "auc is 0.72"}]),
    "environment": json.dumps({"python": "3.11.9", "packages_sha256": "e" * 64, "packages": {"numpy": "2"}}),
}


def told(given: dict[str, str] | None = None, **changed: str) -> Any:
    return tell("run-1", {**RECORD, **changed}, given or {}, ENDED)


def test_a_server_and_an_app_are_called_each_in_its_own_way() -> None:
    server, app = place_of(SERVER, {}), place_of(APP, {})
    assert (server.url, server.service) == ("https://eu-west-1.experiments.sagemaker.aws", "sagemaker-mlflow")
    assert (app.url, app.service) == ("https://mlflow.sagemaker.eu-west-1.app.aws", "sagemaker")
    assert (server.header, app.header) == ("x-mlflow-sm-tracking-server-arn", "x-sm-mlflow-app-arn")
    assert (server.region, server.arn) == ("eu-west-1", SERVER)


def test_an_endpoint_for_all_services_holds_for_mlflow_too() -> None:
    assert place_of(APP, {"AWS_ENDPOINT_URL": "https://localhost:4566/"}).url == "https://localhost:4566"


@pytest.mark.parametrize("arn", ["", "arn:aws:s3:::bucket", APP.replace("arn:aws:", "arn:aws-cn:"), f"{APP[:-12]}/x"])
def test_refuses_what_is_no_managed_mlflow(arn: str) -> None:
    with pytest.raises(ValueError, match="not the ARN of a managed MLflow: "):
        place_of(arn, {})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[12]\ttrain-auc:0.81\tvalidation-auc:0.69", [("train-auc", 0.81, 12), ("validation-auc", 0.69, 12)]),
        ("Epoch 3/10 - loss=0.25, val_loss: 2.5e-1", [("loss", 0.25, 3), ("val_loss", 0.25, 3)]),
        ("step 100: loss: -.5", [("loss", -0.5, 100)]),
        ("[1] loss:nan", []),
        ("loss:0.25", []),
        ("[INFO] retries:3", []),
        ("2026-01-01 epoch", []),
        ("[3] version:1.2.3", []),
    ],
)
def test_reads_curves_from_lines_that_start_with_their_round(line: str, found: list[tuple[str, float, int]]) -> None:
    assert points(line) == found


def test_a_point_of_a_curve_has_the_time_at_which_it_was_logged() -> None:
    events = [{"timestamp": 5, "message": "[0] a:1\n[1] a:2"}, {"timestamp": 6, "message": "done"}]
    assert list(curves(events)) == [
        {"key": "a", "value": 1.0, "timestamp": 5, "step": 0},
        {"key": "a", "value": 2.0, "timestamp": 5, "step": 1},
    ]


def test_tells_parameters_metrics_commit_and_what_the_gate_said() -> None:
    run = told()
    assert run.status == "FINISHED"
    assert run.started == milliseconds("2026-01-01T00:00:00.123Z") == ENDED + 123
    assert run.parameters == {"eta": "0.1", "seed": "2013"}
    assert {"key": "auc", "value": 0.72, "timestamp": ENDED, "step": 0} in run.metrics
    assert run.tags["mlflow.source.git.commit"] == "c0ffee"
    assert run.tags["gapless.outcome"] == "registered"
    assert run.tags["gapless.dataset_version"] == "v1"
    assert run.tags["gapless.packages_sha256"] == "e" * 64
    assert run.tags["mlflow.note.content"] == "- passed: floor: auc is 0.72"


def test_a_rejected_run_is_finished_and_says_so() -> None:
    run = told(status="rejected")
    assert (run.status, run.tags["gapless.outcome"]) == ("FINISHED", "rejected")


def test_a_failed_run_says_why_and_what_it_was_given() -> None:
    record = {"status": "failed", "started": RECORD["started"], "error": "BadGate", "cause": "no metric"}
    run = tell("run-1", {**record, "failed_state": "JudgeModel"}, {"commit": "c0ffee", "dataset_version": "v1"}, ENDED)
    assert (run.status, run.parameters, run.metrics) == ("FAILED", {}, [])
    assert run.tags["mlflow.note.content"] == "- **failed** in JudgeModel: BadGate: no metric"
    assert (run.tags["gapless.dataset_version"], run.tags["gapless.error"]) == ("v1", "BadGate")


def test_a_run_that_went_well_at_last_has_no_error_any_more() -> None:
    assert told().tags["gapless.error"] == "none"


def test_tags_stay_within_what_mlflow_takes() -> None:
    assert len(told(cause="x" * 10_000, error="E").tags["gapless.cause"]) == LONGEST


def test_a_dataset_is_told_by_version_and_address() -> None:
    found = dataset("flights", "v1", "s3://datasets/flights/v1/manifest.json")
    assert (found["digest"], found["name"]) == ("v1", "flights")
    assert json.loads(found["source"]) == {"uri": "s3://datasets/flights/v1/manifest.json"}


TRIALS = {
    "tuning": {"metric": "validation:auc"},
    "trials": [
        {"name": "t-1", "status": "Completed", "objective": 0.7, "seconds": 12, "hyperparameters": {"eta": "0.1"}},
        {"name": "t-2", "status": "Failed", "hyperparameters": {"eta": "0.2"}, "reason": "boom"},
        {"name": "t-3", "status": "Stopped", "objective": 0.4, "seconds": 3, "hyperparameters": {"eta": "0.3"}},
    ],
}


def test_a_trial_is_told_below_its_run_with_what_it_was_told_and_what_it_reached() -> None:
    first, second, third = tell_trials(TRIALS, "run", ENDED)
    assert (first.name, first.status, first.ended - first.started) == ("t-1", "FINISHED", 12_000)
    assert first.parameters == {"eta": "0.1"}
    assert {each["key"]: each["value"] for each in first.metrics} == {"seconds": 12.0, "validation/auc": 0.7}
    assert first.tags == {"mlflow.parentRunId": "run", "gapless.trial": "t-1", "gapless.reason": "none"}
    assert (second.status, second.tags["gapless.reason"]) == ("FAILED", "boom")
    assert [each["key"] for each in second.metrics] == ["seconds"]
    assert third.status == "KILLED"


def test_no_more_trials_are_logged_than_a_call_has_time_for() -> None:
    many = {**TRIALS, "trials": [{"name": f"t-{number}", "status": "Completed"} for number in range(MOST + 5)]}
    assert len(list(tell_trials(many, "run", ENDED))) == MOST
