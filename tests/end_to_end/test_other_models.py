"""Models that are made in other ways than by the machine's own training job."""

import datetime as dt
import json
import re
from typing import Any

from local.executions import Execution
from tests.end_to_end.live import Live
from tests.end_to_end.second_project import data_input
from tests.everything.orders import order_batch


def made_of_march(live: Live) -> Execution:
    """Run the model machine on ten days of orders."""
    given = data_input(live, order_batch(dt.date(2024, 3, 1), 10), "march")
    data = live.run("data", given)
    assert data.status == "SUCCEEDED", (data.error, data.cause)
    return live.run("model", {**given, "dataset": data.output["dataset"]})


def replayed(live: Live, original: Execution) -> dict[str, Any]:
    """What came of a run of the model machine that was made again."""
    again = live.run("model", {"run_id": f"p{original.name[1:]}", "workload": live.workload, "replay": original.name})
    assert again.status == "SUCCEEDED", (again.error, again.cause)
    return dict(again.output["replayed"])


def test_a_sagemaker_pipeline_trains_and_evaluates_a_model_that_is_then_judged_and_registered(piped: Live) -> None:
    done = made_of_march(piped)
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    assert done.output["registered"]
    record = piped.record(f"model#{done.name}")
    sagemaker: Any = piped.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName=record["training_job"])
    assert record["model_uri"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert job["TrainingJobName"].startswith("every-piped-orders-train-")
    assert piped.read_json(record["evaluation_uri"])["metrics"]["auc"] > 0.5
    assert re.fullmatch(r".*/sagemaker-xgboost@sha256:[0-9a-f]{64}", record["image"])
    assert json.loads(record["training"])["AlgorithmSpecification"]["TrainingImage"] == record["image"]
    again = replayed(piped, done)
    assert again["identical"] and again["model_sha256"] == record["model_sha256"]


def test_a_search_finds_a_model_that_is_scored_by_its_containers_judged_and_registered(found: Live) -> None:
    done = made_of_march(found)
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    assert done.output["registered"]
    record = found.record(f"model#{done.name}")
    sagemaker: Any = found.client("sagemaker")
    search = sagemaker.describe_auto_ml_job_v2(AutoMLJobName=record["training_job"])
    best = search["BestCandidate"]
    assert json.loads(record["hyperparameters"])["candidate"] == best["CandidateName"]
    assert found.read_json(record["evaluation_uri"])["metrics"]["auc"] > 0.5
    package = sagemaker.describe_model_package(ModelPackageName=done.output["model_package_arn"])
    programs = [each["Environment"]["SAGEMAKER_PROGRAM"] for each in package["InferenceSpecification"]["Containers"]]
    assert programs == ["request_adapter.py", "tabular_serve.py", "answer_adapter.py"]
    images = [each["Image"] for each in package["InferenceSpecification"]["Containers"]]
    assert [image.rpartition("/")[2].partition("@sha256:")[0] for image in images] == [
        *("sagemaker-scikit-learn", "autogluon-inference", "sagemaker-scikit-learn"),
    ]
    assert replayed(found, done)["difference"] == 0
