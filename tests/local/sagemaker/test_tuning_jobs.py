from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.local.sagemaker.conftest import Lab, allow, archive, error_of, wait_for

SCRIPT = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--size", type=float, default=0.0)
parser.add_argument("--kind", default="plain")
parser.add_argument("--rounds", type=int, default=1)
parser.add_argument("--pause", type=float, default=0.0)
options = parser.parse_args()
if options.kind == "broken":
    sys.exit("this kind is broken")
for number in range(1, options.rounds + 1):
    print(f"validation-score:{options.size * number}", flush=True)
    time.sleep(options.pause)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "x.json"), "w") as file:
    json.dump(options.size, file)
"""
X = {"ContinuousParameterRanges": [{"Name": "size", "MinValue": "0.1", "MaxValue": "1.0"}]}
KINDS = {"CategoricalParameterRanges": [{"Name": "kind", "Values": ["plain", "broken"]}]}
VALUES = {"CategoricalParameterRanges": [{"Name": "size", "Values": ["0.2", "0.9", "0.5", "0.7"]}]}

TWO = {"CategoricalParameterRanges": [{"Name": "size", "Values": ["0.2", "0.9"]}]}


class TuningLab:
    """A laboratory for tunings of one script."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def request(
        self, ranges: dict[str, Any], *, trials: int | None = 3, static: dict[str, str] | None = None, **config: Any
    ) -> dict[str, Any]:
        training = self.lab.training_request(SCRIPT, HyperParameters=static or {})
        static_ones = training.pop("HyperParameters")
        training.pop("TrainingJobName")
        training["AlgorithmSpecification"]["MetricDefinitions"] = [
            {"Name": "score", "Regex": r"validation-score:([0-9.]+)"}
        ]
        limits = {"MaxParallelTrainingJobs": 2, **({} if trials is None else {"MaxNumberOfTrainingJobs": trials})}
        return {
            "HyperParameterTuningJobName": self.lab.unique("h")[:32],
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
                "ResourceLimits": {**limits, **config.pop("limits", {})},
                "ParameterRanges": ranges,
                "RandomSeed": 7,
                **config,
            },
            "TrainingJobDefinition": {**training, "StaticHyperParameters": static_ones},
        }

    def start(self, request: dict[str, Any]) -> str:
        self.lab.sagemaker.create_hyper_parameter_tuning_job(**request)
        name: str = request["HyperParameterTuningJobName"]
        return name

    def tune(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.ended(self.start(request))

    def describe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.lab.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        def done() -> dict[str, Any] | None:
            job = self.describe(name)
            return job if job["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping") else None

        return wait_for(done, seconds=90)  # type: ignore[no-any-return]

    def trials(self, name: str, **asked: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.lab.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name, **{"SortBy": "CreationTime", "MaxResults": 100, **asked}
        )["TrainingJobSummaries"]
        return found


@pytest.fixture
def tuning(lab: Lab) -> TuningLab:
    return TuningLab(lab)


def values(trials: list[dict[str, Any]]) -> list[float]:
    return [each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for each in trials]


def test_trials_are_training_jobs_and_the_best_of_them_is_named(tuning: TuningLab) -> None:
    job = tuning.tune(tuning.request(X))
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    trials = tuning.trials(job["HyperParameterTuningJobName"])
    assert len(trials) == 3
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Maximize",
        "MetricName": "score",
        "Value": max(values(trials)),
    }
    assert {name: job["TrainingJobStatusCounters"][name] for name in ("Completed", "InProgress")} == {
        "Completed": 3,
        "InProgress": 0,
    }
    best = tuning.lab.sagemaker.describe_training_job(TrainingJobName=job["BestTrainingJob"]["TrainingJobName"])
    assert best["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert best["HyperParameters"]["size"] == job["BestTrainingJob"]["TunedHyperParameters"]["size"]
    assert best["HyperParameters"]["_tuning_objective_metric"] == "score"
    model = tuning.lab.members(best["ModelArtifacts"]["S3ModelArtifacts"])
    assert float(model["x.json"]) == float(best["HyperParameters"]["size"])


def test_a_grid_tries_every_combination_once(tuning: TuningLab) -> None:
    job = tuning.tune(tuning.request(VALUES, trials=None, Strategy="Grid"))
    trials = tuning.trials(job["HyperParameterTuningJobName"], SortBy="FinalObjectiveMetricValue")
    assert values(trials) == [0.2, 0.5, 0.7, 0.9]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"size": "0.9"}


def test_failed_trials_count_and_do_not_sink_the_tuning(tuning: TuningLab) -> None:
    job = tuning.tune(tuning.request(KINDS, trials=None, Strategy="Grid"))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counters = job["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["NonRetryableError"]) == (1, 1)
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    (failed,) = tuning.trials(job["HyperParameterTuningJobName"], StatusEquals="Failed")
    assert "this kind is broken" in failed["FailureReason"]


def test_a_tuning_without_a_good_trial_fails_with_the_reason(tuning: TuningLab) -> None:
    job = tuning.tune(tuning.request(X, static={"kind": "broken"}))
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after 3 attempts: ")
    assert "this kind is broken" in job["FailureReason"]


def test_a_tuning_is_stopped_with_its_trials(tuning: TuningLab) -> None:
    name = tuning.start(tuning.request(X, static={"rounds": "500", "pause": "1"}))
    wait_for(lambda: [each for each in tuning.trials(name) if "TrainingStartTime" in each])
    tuning.lab.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert tuning.ended(name)["HyperParameterTuningJobStatus"] == "Stopped"
    assert {each["TrainingJobStatus"] for each in tuning.trials(name)} == {"Stopped"}


def test_trials_that_fall_behind_are_stopped_early(tuning: TuningLab) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "size", "Values": ["0.9", "0.8", "0.1", "0.2"]}]}
    one_by_one = {"MaxParallelTrainingJobs": 1}
    request = tuning.request(
        ranges,
        trials=None,
        static={"rounds": "8", "pause": "0.2"},
        limits=one_by_one,
        Strategy="Grid",
        TrainingJobEarlyStoppingType="Auto",
        RandomSeed=5,
    )
    name = tuning.tune(request)["HyperParameterTuningJobName"]
    by_x = {each["TunedHyperParameters"]["size"]: each["TrainingJobStatus"] for each in tuning.trials(name)}
    order = [each["TunedHyperParameters"]["size"] for each in tuning.trials(name)]
    medians = {x: sorted(map(float, order[:at])) for at, x in enumerate(order)}
    behind = [x for x, others in medians.items() if len(others) >= 2 and float(x) < others[len(others) // 2 - 1]]
    assert behind and {by_x[x] for x in behind} == {"Stopped"}
    assert by_x["0.9"] == "Completed"


def test_hyperband_stops_what_is_not_among_the_best_of_its_rung(tuning: TuningLab) -> None:
    request = tuning.request(
        X,
        trials=8,
        static={"rounds": "9", "pause": "0.1"},
        Strategy="Hyperband",
        StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
    )
    job = tuning.tune(request)
    trials = tuning.trials(job["HyperParameterTuningJobName"])
    statuses = [each["TrainingJobStatus"] for each in trials]
    assert {"Completed", "Stopped"} == set(statuses)
    assert job["BestTrainingJob"]["TrainingJobStatus"] == "Completed"


def test_a_warm_start_knows_what_its_parent_found(tuning: TuningLab) -> None:
    parent = tuning.request(TWO, trials=None, Strategy="Grid")
    name = tuning.tune(parent)["HyperParameterTuningJobName"]
    child = tuning.request(X, trials=1, Strategy="Bayesian", limits={"MaxParallelTrainingJobs": 1})
    child["TrainingJobDefinition"] = parent["TrainingJobDefinition"]
    cold = tuning.tune(child)
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name}],
        "WarmStartType": "TransferLearning",
    }
    child = {**child, "HyperParameterTuningJobName": tuning.lab.unique("w"), "WarmStartConfig": warm}
    warmed = tuning.tune(child)
    assert warmed["WarmStartConfig"] == warm
    told = [tuning.trials(job["HyperParameterTuningJobName"])[0]["TunedHyperParameters"] for job in (cold, warmed)]
    assert told[0] != told[1]


@pytest.mark.parametrize(
    ("repository", "channels", "searched", "static", "objective"),
    [
        (
            None,
            ("train", "validation"),
            {"Name": "max_depth", "MinValue": "1", "MaxValue": "4"},
            {"num_round": "3", "objective": "binary:logistic"},
            {"Type": "Minimize", "MetricName": "validation:error"},
        ),
        (
            "knn:1",
            ("train", "test"),
            {"Name": "k", "MinValue": "1", "MaxValue": "9"},
            {"predictor_type": "classifier", "feature_dim": "2", "sample_size": "100"},
            {"Type": "Maximize", "MetricName": "test:accuracy"},
        ),
    ],
)
def test_a_built_in_algorithm_is_tuned_by_its_own_metric(
    tuning: TuningLab,
    repository: str | None,
    channels: tuple[str, ...],
    searched: dict[str, str],
    static: dict[str, str],
    objective: dict[str, str],
) -> None:
    lab, rows = tuning.lab, "".join(f"{number % 2},{number % 7},{number % 3}\n" for number in range(200))
    given = []
    for channel in channels:
        lab.put(f"{lab.name}/{channel}/rows.csv", rows)
        given.append({**lab.channel(channel, f"s3://{lab.bucket}/{lab.name}/{channel}/"), "ContentType": "text/csv"})
    ranges = {"IntegerParameterRanges": [searched]}
    request = tuning.request(ranges, trials=1, limits={"MaxParallelTrainingJobs": 1})
    definition = request["TrainingJobDefinition"]
    definition["AlgorithmSpecification"].pop("MetricDefinitions")
    definition["StaticHyperParameters"] = static
    definition["InputDataConfig"] = given
    if repository is not None:
        registry = "382416733822.dkr.ecr.us-east-1.amazonaws.com"
        definition["AlgorithmSpecification"]["TrainingImage"] = f"{registry}/{repository}"
    request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] = objective
    job = tuning.tune(request)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert all(0 <= value <= 1 for value in values(tuning.trials(job["HyperParameterTuningJobName"])))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Strategy": "Grid"}, "Strategy Grid takes categorical hyperparameters only, not size"),
        ({"Strategy": "Hyperband"}, "Strategy Hyperband without MinResource and MaxResource"),
        ({"limits": {"MaxParallelTrainingJobs": 4}}, "MaxParallelTrainingJobs is 4; at most 3 are allowed here"),
        ({"limits": {"MaxNumberOfTrainingJobs": 751}}, "may start 751 training jobs; at most 750"),
        ({"static": {"size": "1"}}, "cannot be both static and tunable: size"),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "other"}},
            "the objective metric other is none of MetricDefinitions: score",
        ),
        (
            {"ParameterRanges": {"IntegerParameterRanges": [{"Name": "size", "MinValue": "3", "MaxValue": "2"}]}},
            "the range of size must have a MinValue below its MaxValue",
        ),
        (
            {
                "Strategy": "Hyperband",
                "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
                "TrainingJobEarlyStoppingType": "Auto",
            },
            "TrainingJobEarlyStoppingType must be Off for Strategy Hyperband",
        ),
    ],
)
def test_refuses_what_sagemaker_refuses(tuning: TuningLab, change: dict[str, Any], said: str) -> None:
    request = tuning.request(X, **change)
    code, message = error_of(lambda: tuning.lab.sagemaker.create_hyper_parameter_tuning_job(**request))
    assert code == "ValidationException"
    assert said in message


def test_a_name_is_given_once_and_has_32_characters(tuning: TuningLab) -> None:
    request = tuning.request(X, trials=2, static={"kind": "broken"})
    tuning.tune(request)
    code, message = error_of(lambda: tuning.lab.sagemaker.create_hyper_parameter_tuning_job(**request))
    assert (code, "already exists" in message) == ("ResourceInUse", True)
    request["HyperParameterTuningJobName"] = "n" * 33
    code, _ = error_of(lambda: tuning.lab.sagemaker.create_hyper_parameter_tuning_job(**request))
    assert code == "ValidationException"


def test_a_caller_needs_the_leave_to_pass_the_role(tuning: TuningLab) -> None:
    key, secret = tuning.lab.server.user(allow("sagemaker:*"))
    client = tuning.lab.server.client_as("sagemaker", key, secret)
    request = tuning.request(X)
    code, message = error_of(lambda: client.create_hyper_parameter_tuning_job(**request))
    assert (code, "iam:PassRole" in message) == ("AccessDeniedException", True)


def test_nobody_describes_a_tuning_that_is_not_there(tuning: TuningLab) -> None:
    code, _ = error_of(lambda: tuning.describe("nobody"))
    assert code == "ResourceNotFound"


APART = """
import os, pathlib, time
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
assert os.environ["GAPLESS_CHECKPOINTS"] == "apart"
kept = model.parent / "checkpoints" / os.environ["TRAINING_JOB_NAME"] / "count"
kept.parent.mkdir(exist_ok=True)
start = int(kept.read_text()) if kept.exists() else 0
for number in range(start + 1, 4):
    kept.with_suffix(".new").write_text(str(number))
    kept.with_suffix(".new").replace(kept)
    if start == 0:
        time.sleep(600)  # until its machine is taken away
print(f"validation-score:{start}", flush=True)
(model / "began_at").write_text(str(start))
"""


def test_trials_on_spare_machines_go_on_from_what_they_kept_apart(tuning: TuningLab) -> None:
    lab, request = tuning.lab, tuning.request(TWO, trials=None, Strategy="Grid")
    replace_script(lab, request, APART)
    folder = f"s3://{lab.bucket}/{lab.name}/kept/"
    request["TrainingJobDefinition"] |= {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
        "CheckpointConfig": {"S3Uri": folder, "LocalPath": "/opt/ml/checkpoints"},
        "Environment": {**request["TrainingJobDefinition"].get("Environment", {}), "GAPLESS_CHECKPOINTS": "apart"},
    }
    job = tuning.tune(request)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    trials = tuning.trials(job["HyperParameterTuningJobName"])
    assert len(trials) == 2 and min(values(trials)) >= 1
    assert {lab.read(f"{folder}{each['TrainingJobName']}/count") for each in trials} == {b"3"}


def test_a_tuning_goes_on_after_the_server_was_killed(tmp_path: Path, own_server: Any) -> None:
    """Roles and buckets are those of a server that was stopped in good order; of the tuning nothing was."""
    start = sys.modules[type(own_server).__module__].start_server
    tuning, gate = TuningLab(Lab(own_server)), tmp_path / "gate"
    request = tuning.request(VALUES, trials=None, Strategy="Grid")
    small_ones_wait = f"while options.size < 0.6 and not os.path.exists({str(gate)!r}): time.sleep(0.05)"
    replace_script(tuning.lab, request, SCRIPT.replace("for number", f"{small_ones_wait}\nfor number", 1))
    own_server.stop()

    killed = start(own_server.state_dir)
    tuning = TuningLab(Lab(killed))
    name = tuning.start(request)
    wait_for(lambda: only_small_ones_run(tuning, name), seconds=60)
    before = {each["TrainingJobName"]: each["TrainingJobStatus"] for each in tuning.trials(name)}
    killed.process.kill()
    killed.process.wait(10)
    (killed.state_dir / "server.json").unlink()
    gate.touch()

    again = start(own_server.state_dir)
    try:
        tuning = TuningLab(Lab(again))
        job = tuning.ended(name)
        assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
        trials = tuning.trials(name)
        assert sorted(values(trials)) == [0.2, 0.5, 0.7, 0.9]
        had_ended = {job for job, status in before.items() if status == "Completed"}
        assert had_ended < {each["TrainingJobName"] for each in trials}
        assert job["TrainingJobStatusCounters"]["RetryableError"] == len(before) - len(had_ended) == 2
    finally:
        again.stop()


def only_small_ones_run(tuning: TuningLab, name: str) -> bool:
    """Whether the trials that wait are the only ones that run."""
    trials = tuning.trials(name)
    running = [each for each in trials if each["TrainingJobStatus"] == "InProgress" and "TrainingStartTime" in each]
    return len(running) == 2 and all(float(each["TunedHyperParameters"]["size"]) < 0.6 for each in running)


def replace_script(lab: Lab, request: dict[str, Any], script: str) -> None:
    uri = request["TrainingJobDefinition"]["InputDataConfig"][-1]["DataSource"]["S3DataSource"]["S3Uri"]
    bucket, _, folder = uri.removeprefix("s3://").partition("/")
    lab.s3.put_object(Bucket=bucket, Key=f"{folder}sourcedir.tar.gz", Body=archive({"train.py": script}))
