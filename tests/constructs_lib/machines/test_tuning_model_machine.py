"""A model machine whose training step is a tuning."""

import json
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.makers.built_in import BuiltInMaker
from constructs_lib.machines.makers.container import ContainerMaker
from constructs_lib.machines.makers.parts import ModelParts, TuningParts
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.model import model_machine
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.scan_file import Scan
from constructs_lib.names.tuning_file import Tuning
from constructs_lib.names.tuning_objective import default_pattern
from tests.constructs_lib.machines.test_model_machine import EXECUTION, GIVEN, any_answers, any_parts, result

TUNING = Tuning.model_validate(
    {
        "ranges": {
            "eta": {"continuous": [0.01, 0.3], "scaling": "log"},
            "max_depth": {"integer": [3, 9]},
            "booster": {"categorical": ["gbtree", "dart"]},
        },
        "budget": {"trials": 4, "minutes": 30},
    }
)


def parts_of(
    tuning: Tuning = TUNING,
    *,
    goal: Any = "maximize",
    warm_start: str | None = None,
    checkpoints: bool = False,
    space: str | None = None,
) -> TuningParts:
    return TuningParts(
        config=tuning.config("auc", goal, 2013),
        metric="auc",
        goal=goal,
        metric_definitions=[{"Name": "auc", "Regex": default_pattern("auc")}],
        minutes=tuning.budget.minutes,
        kinship="kin",
        warm_start=warm_start,
        checkpoints=checkpoints,
        space=space,
    )


def trial(number: int, objective: float | None, status: str = "Completed", **more: Any) -> dict[str, Any]:
    measured = {"MetricName": "auc", "Value": objective}
    return {
        "TrainingJobName": f"trial-{number}",
        "TrainingJobStatus": status,
        "TrainingStartTime": "2026-01-01T00:00:00Z",
        "TrainingEndTime": "2026-01-01T00:01:30Z",
        "TunedHyperParameters": {"eta": f"0.{number}"},
        **({"FinalHyperParameterTuningJobObjectiveMetric": measured} if objective is not None else {}),
        **more,
    }


TRIALS = [trial(1, 0.7), trial(2, 0.9), trial(3, 0.95, "Stopped"), trial(4, None, "Failed", FailureReason="boom")]


def status(name: str, **more: Any) -> dict[str, Any]:
    return {"result": {"HyperParameterTuningJobStatus": name, **more}}


def answers(**changed: Any) -> dict[str, Any]:
    best = {"TrainingJobName": "trial-2", "ModelArtifacts": {"S3ModelArtifacts": "s3://artefacts/2/model.tar.gz"}}
    return {
        **any_answers(),
        "StartTuning": result({"HyperParameterTuningJobArn": "arn"}),
        "StartWarmTuning": result({"HyperParameterTuningJobArn": "arn"}),
        "DescribeTuning": [status("InProgress"), status("Completed")],
        "StopTuning": result({}),
        "ListTrials": result({"TrainingJobSummaries": TRIALS}),
        "ListMoreTrials": result({"TrainingJobSummaries": TRIALS[2:]}),
        "KeepTrials": result({}),
        "DescribeBest": result(best),
        "FindParent": result({}),
        "DescribeParent": [status("Completed")],
        "RememberTuning": result({}),
        **changed,
    }


def machine_for(
    surroundings: Surroundings, place: JobPlace, tuning: TuningParts | None = None, **changed: Any
) -> dict[str, Any]:
    return model_machine(surroundings, tuned(place, tuning, **changed))


def tuned(place: JobPlace, tuning: TuningParts | None = None, **changed: Any) -> ModelParts:
    return any_parts(place, tuning=tuning if tuning is not None else parts_of(), **changed)


@pytest.fixture
def machine(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return machine_for(surroundings, place)


def check_request(request: dict[str, Any]) -> None:
    """See that SageMaker's own model of the request takes it."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateHyperParameterTuningJob").input_shape
    role = "arn:aws:iam::000000000000:role/training"
    definition = {**request["TrainingJobDefinition"], "RoleArn": role}
    report = ParamValidator().validate({**request, "TrainingJobDefinition": definition}, shape)
    assert not report.has_errors(), report.generate_report()


def test_asks_for_trials_by_the_members_of_a_training(
    machine: dict[str, Any], surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    request = done.arguments("StartTuning")
    check_request(request)
    once = walk(model_machine(surroundings, any_parts(place)), GIVEN, any_answers(), name=EXECUTION).arguments("Train")
    same = request["TrainingJobDefinition"]
    assert same["StaticHyperParameters"] == once["HyperParameters"]
    assert same["AlgorithmSpecification"] == {
        **once["AlgorithmSpecification"],
        "MetricDefinitions": [{"Name": "auc", "Regex": default_pattern("auc")}],
    }
    others = once.keys() - {"TrainingJobName", "HyperParameters", "AlgorithmSpecification"}
    assert {name: same[name] for name in others} == {name: once[name] for name in others}


def names_of(done: Any) -> list[str]:
    """The names that tunings were asked for by."""
    return [call["arguments"]["HyperParameterTuningJobName"] for call in done.calls if call["state"] == "StartTuning"]


def test_the_name_is_short_and_has_the_prefix(machine: dict[str, Any], walk: Any) -> None:
    (name,) = names_of(walk(machine, GIVEN, answers(), name=EXECUTION))
    assert name.startswith("dev-flight-delays-") and len(name) == 32


def test_another_try_of_a_failed_tuning_has_another_name(machine: dict[str, Any], walk: Any) -> None:
    failed = [status("Failed"), status("Completed")]
    done = walk(machine, GIVEN, answers(DescribeTuning=failed), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    assert len(set(names_of(done))) == 2


def test_a_redriven_execution_goes_on_with_the_tuning_that_it_had(machine: dict[str, Any], walk: Any) -> None:
    lost = [{"error": "SageMaker.AccessDenied", "cause": "not today"}, status("Completed")]
    taken = [{"result": {}}, {"error": "SageMaker.ResourceInUseException", "cause": "exists"}]
    done = walk(machine, GIVEN, answers(DescribeTuning=lost, StartTuning=taken), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    names = names_of(done)
    assert len(names) == 2 and len(set(names)) == 1


def test_the_best_trial_that_has_ended_becomes_the_model(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    assert done.arguments("DescribeBest") == {"TrainingJobName": "trial-2"}
    assert done.arguments("DescribeTraining") == {"TrainingJobName": "trial-2"}
    values = done.arguments("RecordRun")["ExpressionAttributeValues"]
    assert values[":model_uri"]["S"] == "s3://artefacts/2/model.tar.gz"
    assert json.loads(values[":hyperparameters"]["S"]) == {"num_round": "200", "seed": "2013", "eta": "0.2"}


def test_least_is_best_where_the_goal_says_so(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    done = walk(machine_for(surroundings, place, parts_of(goal="minimize")), GIVEN, answers(), name=EXECUTION)
    assert done.arguments("DescribeBest") == {"TrainingJobName": "trial-1"}


def test_every_trial_is_written_down_and_the_record_names_the_list(machine: dict[str, Any], walk: Any) -> None:
    pages = {"ListTrials": result({"TrainingJobSummaries": TRIALS[:2], "NextToken": "next"})}
    done = walk(machine, GIVEN, answers(**pages), name=EXECUTION)
    assert done.arguments("ListMoreTrials")["NextToken"] == "next"
    written = done.arguments("KeepTrials")
    name = done.arguments("StartTuning")["HyperParameterTuningJobName"]
    assert (written["Bucket"], written["Key"]) == ("artefacts", f"flight_delays/tunings/{name}.json")
    assert [each["name"] for each in written["Body"]["trials"]] == [f"trial-{number}" for number in (1, 2, 3, 4)]
    assert written["Body"]["trials"][0] == {
        "name": "trial-1",
        "status": "Completed",
        "objective": 0.7,
        "seconds": 90,
        "hyperparameters": {"eta": "0.1"},
    }
    assert written["Body"]["trials"][3]["reason"] == "boom"
    kept = json.loads(done.arguments("RecordRun")["ExpressionAttributeValues"][":tuning"]["S"])
    assert kept == {
        "name": name,
        "strategy": "Bayesian",
        "metric": "auc",
        "goal": "maximize",
        "trials": 4,
        "completed": 2,
        "trials_uri": f"s3://artefacts/flight_delays/tunings/{name}.json",
        "best": {"name": "trial-2", "objective": 0.9, "hyperparameters": {"eta": "0.2"}},
    }


def test_a_tuning_whose_start_got_lost_is_followed(machine: dict[str, Any], walk: Any) -> None:
    taken = [{"error": "SageMaker.ResourceInUseException", "cause": "exists"}]
    done = walk(machine, GIVEN, answers(StartTuning=taken), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.count("StartTuning") == 1


def test_a_tuning_that_is_too_late_is_stopped_and_seen_to_end(machine: dict[str, Any], walk: Any) -> None:
    late = [status("InProgress")] * 61 + [status("Stopping"), status("Stopped")]
    done = walk(machine, GIVEN, answers(DescribeTuning=late), name=EXECUTION)
    assert done.path.count("StopTuning") == 1
    assert done.path.index("StopTuning") < done.path.index("ListTrials") < done.path.index("TuningFailed")
    assert "TuningFailed: " in str(done.cause) and "the deadline has passed" in str(done.cause)


def test_a_tuning_that_does_not_stop_ends_the_run(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(DescribeTuning=[status("InProgress")]), name=EXECUTION)
    assert "TuningStuck: " in str(done.cause)


def test_a_tuning_that_a_person_stops_ends_with_the_best_until_then(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(DescribeTuning=[status("Stopped")]), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("DescribeBest") == {"TrainingJobName": "trial-2"}


@pytest.mark.parametrize("ended", ["Completed", "Failed"])
def test_a_tuning_without_a_model_fails_with_the_reason_and_its_trials_are_kept(
    machine: dict[str, Any], walk: Any, ended: str
) -> None:
    failed = result({"TrainingJobSummaries": TRIALS[2:]})
    described = [status(ended, FailureReason="nothing came of it")]
    done = walk(machine, GIVEN, answers(DescribeTuning=described, ListTrials=failed), name=EXECUTION)
    assert "KeepTrials" in done.path
    assert "nothing came of it; 0 of 2 trials have come to their end, one has failed by: boom; all" in str(done.cause)


def test_trials_are_none_where_none_was_begun(machine: dict[str, Any], walk: Any) -> None:
    none = result({"TrainingJobSummaries": []})
    done = walk(machine, GIVEN, answers(DescribeTuning=[status("Failed")], ListTrials=none), name=EXECUTION)
    assert done.arguments("KeepTrials")["Body"]["trials"] == []
    assert "Failed; 0 of 0 trials" in str(done.cause)


KIN = {"name": {"S": "earlier"}, "kinship": {"S": "kin"}}
MADE_OF = {"dataset_version": {"S": "v1"}, "bundle": {"S": "b" * 64}}


@pytest.mark.parametrize(
    ("warm_start", "item", "begins_with"),
    [
        ("TransferLearning", KIN, "earlier"),
        ("TransferLearning", {**KIN, "kinship": {"S": "stranger"}}, None),
        ("TransferLearning", None, None),
        ("IdenticalDataAndAlgorithm", {**KIN, **MADE_OF}, "earlier"),
        ("IdenticalDataAndAlgorithm", {**KIN, **MADE_OF, "dataset_version": {"S": "v0"}}, None),
        ("IdenticalDataAndAlgorithm", {**KIN, **MADE_OF, "bundle": {"S": "a" * 64}}, None),
    ],
)
def test_begins_with_the_last_tuning_that_fits(
    surroundings: Surroundings, place: JobPlace, walk: Any, warm_start: str, item: Any, begins_with: str | None
) -> None:
    image = {"image": {"S": place.image_uri}}
    found = {} if item is None else {"Item": {**item, **image}}
    machine = machine_for(surroundings, place, parts_of(warm_start=warm_start))
    done = walk(machine, GIVEN, answers(FindParent=result(found)), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    if begins_with is None:
        assert "StartWarmTuning" not in done.path
        assert "WarmStartConfig" not in done.arguments("StartTuning")
    else:
        request = done.arguments("StartWarmTuning")
        check_request(request)
        assert request["WarmStartConfig"] == {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": begins_with}],
            "WarmStartType": warm_start,
        }


def test_a_parent_that_is_gone_is_done_without(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    gone = [{"error": "SageMaker.ResourceNotFoundException", "cause": "no such tuning"}]
    machine = machine_for(surroundings, place, parts_of(warm_start="TransferLearning"))
    done = walk(machine, GIVEN, answers(FindParent=result({"Item": KIN}), DescribeParent=gone), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert "StartTuning" in done.path


def test_trials_on_spare_machines_share_no_checkpoints(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    spare = JobLimits("ml.m5.large", 30, spot_minutes=60)
    done = walk(machine_for(surroundings, place, training=spare), GIVEN, answers(), name=EXECUTION)
    request = done.arguments("StartTuning")
    check_request(request)
    assert request["TrainingJobDefinition"]["EnableManagedSpotTraining"] is True
    assert "CheckpointConfig" not in request["TrainingJobDefinition"]
    assert "GAPLESS_CHECKPOINTS" not in request["TrainingJobDefinition"]["Environment"]


def test_trials_that_keep_checkpoints_apart_are_told_so(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    spare = JobLimits("ml.m5.large", 30, spot_minutes=60)
    done = walk(
        machine_for(surroundings, place, parts_of(checkpoints=True), training=spare), GIVEN, answers(), name=EXECUTION
    )
    request = done.arguments("StartTuning")
    check_request(request)
    assert request["TrainingJobDefinition"]["CheckpointConfig"] == {
        "S3Uri": f"s3://artefacts/flight_delays/checkpoints/{EXECUTION}/",
        "LocalPath": "/opt/ml/checkpoints",
    }
    once = walk(model_machine(surroundings, any_parts(place)), GIVEN, any_answers(), name=EXECUTION).arguments("Train")
    assert request["TrainingJobDefinition"]["Environment"] == {**once["Environment"], "GAPLESS_CHECKPOINTS": "apart"}


def test_trials_on_machines_that_are_kept_keep_no_checkpoints(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    done = walk(machine_for(surroundings, place, parts_of(checkpoints=True)), GIVEN, answers(), name=EXECUTION)
    definition = done.arguments("StartTuning")["TrainingJobDefinition"]
    assert "CheckpointConfig" not in definition
    assert "GAPLESS_CHECKPOINTS" not in definition["Environment"]


def test_what_all_trials_took_is_in_the_estimate(machine: dict[str, Any], walk: Any) -> None:
    machines = {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}
    best = answers()["DescribeBest"][0]["result"]
    done = walk(machine, GIVEN, answers(DescribeBest=result({**best, **machines})), name=EXECUTION)
    basis = json.loads(done.arguments("RecordRun")["ExpressionAttributeValues"][":cost_basis"]["S"])
    (others,) = [job for job in basis["jobs"] if job["job"] == "other trials"]
    assert (others["instance_type"], others["seconds"]) == ("ml.m5.large", 270)


def test_the_next_tuning_finds_this_one(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    machine = machine_for(surroundings, place, parts_of(warm_start="TransferLearning"))
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    written = done.arguments("RememberTuning")
    assert written["Key"] == {"run": {"S": "last-tuning#flight_delays"}} == done.arguments("FindParent")["Key"]
    values = {name: value["S"] for name, value in written["ExpressionAttributeValues"].items()}
    assert values == {
        ":workload": "flight_delays",
        ":name": done.arguments("StartTuning")["HyperParameterTuningJobName"],
        ":kinship": "kin",
        ":dataset_version": "v1",
        ":bundle": "b" * 64,
        ":image": place.image_uri,
    }


def test_a_container_is_tuned_by_its_digest(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    maker = ContainerMaker("images", "registry/images", "tag", "build", 60, Scan())
    machine = machine_for(surroundings, place, maker=maker)
    image = {"Images": [{"ImageId": {"ImageDigest": "sha256:1"}}]}
    clean = {"ImageScanStatus": {"Status": "COMPLETE"}, "ImageScanFindings": {"FindingSeverityCounts": {}}}
    done = walk(machine, GIVEN, answers(FindImage=result(image), ReadScan=result(clean)), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    specification = done.arguments("StartTuning")["TrainingJobDefinition"]["AlgorithmSpecification"]
    assert specification["TrainingImage"] == "registry/images@sha256:1"


def test_a_built_in_algorithm_is_tuned_on_what_was_encoded(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    model = BuiltInModel.model_validate({"kind": "built_in", "algorithm": "xgboost"})
    maker = BuiltInMaker(model=model, image_uri="registry/xgboost:3", adapter_image_uri="adapters")
    tuning = replace(parts_of(), metric_definitions=())
    encoded = {"hyperparameters": {}, "adapters_sha256": "d" * 64}
    told = answers(Encode=result({}), ReadEncoded=result({"Body": json.dumps(encoded)}))
    done = walk(machine_for(surroundings, place, tuning, maker=maker), GIVEN, told, name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    request = done.arguments("StartTuning")
    check_request(request)
    definition = request["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"]["objective"] == "binary:logistic"
    assert "MetricDefinitions" not in definition["AlgorithmSpecification"]
    kept = json.loads(done.arguments("RecordRun")["ExpressionAttributeValues"][":hyperparameters"]["S"])
    assert kept == {**definition["StaticHyperParameters"], "eta": "0.2"}


def test_what_is_measured_on_a_test_channel_is_measured_on_the_validation_split(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    model = BuiltInModel.model_validate({"kind": "built_in", "algorithm": "knn"})
    maker = BuiltInMaker(model=model, image_uri="registry/knn:1", adapter_image_uri="adapters")
    encoded = {"hyperparameters": {"feature_dim": "3", "sample_size": "9"}, "adapters_sha256": "d" * 64}
    told = answers(Encode=result({}), ReadEncoded=result({"Body": json.dumps(encoded)}))
    machine = machine_for(surroundings, place, replace(parts_of(), metric_definitions=()), maker=maker)
    request = walk(machine, GIVEN, told, name=EXECUTION).arguments("StartTuning")
    check_request(request)
    folder = f"s3://artefacts/flight_delays/encoded/v1/{EXECUTION}-0-0"
    channels = request["TrainingJobDefinition"]["InputDataConfig"]
    assert {each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in channels} == {
        "train": f"{folder}/train/",
        "test": f"{folder}/validation/",
    }
    assert {each["ContentType"] for each in channels} == {"text/csv"}
    plain = model_machine(surroundings, replace(tuned(place, maker=maker), tuning=None))["States"]
    assert [each["ChannelName"] for each in plain["Train"]["Arguments"]["InputDataConfig"]] == ["train"]


def test_a_machine_without_tuning_knows_nothing_of_it(surroundings: Surroundings, place: JobPlace) -> None:
    plain = replace(tuned(place), tuning=None)
    assert isinstance(plain.maker, ScriptMaker)
    assert "uning" not in json.dumps(model_machine(surroundings, plain))
