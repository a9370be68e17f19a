import json
import shlex
from typing import Any

import botocore.session
import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.monitoring import MonitoringParts, monitoring_machine
from constructs_lib.machines.score_rollback import GoingBack
from constructs_lib.names import metrics
from constructs_lib.names.monitoring_file import MOST_ROLLBACK_VERSIONS

PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/dev-flight-delays-models/3"
GIVEN = {"run_id": "any-event", "workload": "flight_delays", "as_of": "2026-03-01T01:23:00Z"}
BASELINE = "s3://artefacts/flight_delays/baselines/any-0-0/baseline.json"
FOUND = {
    "rows": 900,
    "labels": 0,
    "reference": "all rows of the dataset",
    "families": {"schema": {"violations": 0, "worst": 0.0}, "drift": {"violations": 2, "worst": 0.7}},
    "violations": [{"column": "temp"}, {"column": "dest"}],
}


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def body(content: Any) -> list[dict[str, Any]]:
    return result({"Body": json.dumps(content)})


def any_answers(**changed: Any) -> dict[str, Any]:
    """A model that serves, was looked at before, and was asked; nobody has told any outcome."""
    dataset = {"splits": {name: {"manifest_uri": f"s3://datasets/{name}.manifest"} for name in ("train", "test")}}
    package = {
        "InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://artefacts/m/model.tar.gz"}]},
        "CustomerMetadataProperties": {"dataset_version": "v7"},
        "ModelMetrics": {"ModelQuality": {"Statistics": {"S3Uri": "s3://artefacts/e/evaluation.json"}}},
    }
    return {
        "ReadLive": result({"Item": {"model_package_arn": {"S": PACKAGE}}}),
        "FindCapture": result({"KeyCount": 1}),
        "DescribePackage": result(package),
        "FindBaseline": result({"Item": {"baseline_uri": {"S": BASELINE}}}),
        "FindDataset": result({"KeyCount": 1}),
        "ReadDataset": body(dataset),
        "FindLabels": result({"KeyCount": 0}),
        "ReadMonitoring": body(FOUND),
        **{
            name: result({})
            for name in ("MakeBaseline", "Monitor", "RecordBaseline", "PublishMetrics", "RecordRun", "NothingServed")
        },
        **{name: result({}) for name in ("RecordNothing", "RecordFailure", "NotifyFailure")},
        **changed,
    }


def parts(**changed: Any) -> MonitoringParts:
    given: dict[str, Any] = {
        "place": JobPlace("image", ["subnet-1"], "sg-1", "key", "s3://assets/jobs.zip", "artefacts"),
        "datasets_bucket": "datasets",
        "endpoint_name": "dev-flight-delays-live",
        "variant": "primary",
        "processing_role_arn": "role",
        "limits": JobLimits("ml.m5.large", 60),
        "options_uri": "s3://assets/options.json",
        "every": "day",
        "in_process": True,
        **changed,
    }
    return MonitoringParts(**given)


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    return monitoring_machine(surroundings, parts())


def inputs(request: dict[str, Any]) -> dict[str, str]:
    return {each["InputName"]: each["S3Input"]["S3Uri"] for each in request["ProcessingInputs"]}


def test_looks_at_the_day_that_ended_last(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.status == "SUCCEEDED", done.cause
    folder = "flight_delays/capture/dev-flight-delays-live/primary/2026/02/28/"
    assert done.arguments("FindCapture")["Prefix"] == folder
    assert inputs(done.arguments("Monitor")) == {
        "job": "s3://assets/jobs.zip",
        "baseline": BASELINE,
        "capture": f"s3://artefacts/{folder}",
        "options": "s3://assets/options.json",
        "model": "s3://artefacts/m/model.tar.gz",
    }
    arguments = done.arguments("Monitor")["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--as_of") + 1] == GIVEN["as_of"]
    assert "--labels" not in arguments
    assert (done.output["monitored"], done.output["violations"]) == (True, 2)
    assert "MakeBaseline" not in done.path


def test_looks_at_the_hour_that_ended_last(surroundings: Surroundings, walk: Any) -> None:
    done = walk(monitoring_machine(surroundings, parts(every="hour")), GIVEN, any_answers())
    assert done.arguments("FindCapture")["Prefix"].endswith("/primary/2026/03/01/00/")


def test_publishes_the_families_that_were_looked_at_and_no_others(definition: dict[str, Any], walk: Any) -> None:
    told = {
        each["MetricName"]: each
        for each in walk(definition, GIVEN, any_answers()).arguments("PublishMetrics")["MetricData"]
    }
    assert {name: each["Value"] for name, each in told.items()} == {
        "RowsMonitored": 900,
        "SchemaViolations": 0,
        "SchemaWorst": 0,
        "DriftViolations": 2,
        "DriftWorst": 0.7,
    }
    dimensions = metrics.dimensions("dev", "flight_delays")
    assert all({each["Name"]: each["Value"] for each in figure["Dimensions"]} == dimensions for figure in told.values())


def test_lost_quality_is_told_to_whoever_watches_a_model_on_probation(definition: dict[str, Any], walk: Any) -> None:
    judged = {**FOUND, "families": {"quality": {"violations": 1, "worst": 0.51}}}
    told = walk(definition, GIVEN, any_answers(ReadMonitoring=body(judged))).arguments("PublishMetrics")["MetricData"]
    values = {each["MetricName"]: each["Value"] for each in told}
    assert values["LabelQualityLost"] == values["QualityViolations"] == 1


def test_a_worst_value_that_is_not_known_is_not_published(definition: dict[str, Any], walk: Any) -> None:
    few = {**FOUND, "families": {"drift": {"violations": 0, "worst": None}}}
    done = walk(definition, GIVEN, any_answers(ReadMonitoring=body(few)))
    assert [each["MetricName"] for each in done.arguments("PublishMetrics")["MetricData"]] == [
        "RowsMonitored",
        "DriftViolations",
    ]


def test_the_first_window_of_a_model_makes_its_baseline(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindBaseline=result({})))
    assert done.status == "SUCCEEDED", done.cause
    assert inputs(done.arguments("MakeBaseline")) == {
        "job": "s3://assets/jobs.zip",
        "train": "s3://datasets/train.manifest",
        "test": "s3://datasets/test.manifest",
        "evaluation": "s3://artefacts/e/evaluation.json",
        "options": "s3://assets/options.json",
        "model": "s3://artefacts/m/model.tar.gz",
    }
    written = done.arguments("RecordBaseline")
    assert written["Key"] == {"run": {"S": f"baseline#{PACKAGE}"}}
    made = written["ExpressionAttributeValues"][":baseline_uri"]["S"]
    assert made.startswith("s3://artefacts/flight_delays/baselines/") and made.endswith("/baseline.json")
    assert inputs(done.arguments("Monitor"))["baseline"] == made


def test_labels_are_read_while_there_are_any(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindLabels=result({"KeyCount": 1})))
    assert inputs(done.arguments("Monitor"))["labels"] == "s3://artefacts/flight_delays/outcomes/"
    assert "--labels" in done.arguments("Monitor")["AppSpecification"]["ContainerArguments"]


def test_a_model_that_the_job_cannot_load_is_not_given_to_it(surroundings: Surroundings, walk: Any) -> None:
    foreign = monitoring_machine(surroundings, parts(in_process=False))
    done = walk(foreign, GIVEN, any_answers(FindBaseline=result({})))
    assert done.status == "SUCCEEDED", done.cause
    for state in ("MakeBaseline", "Monitor"):
        assert "model" not in inputs(done.arguments(state))
        assert "--model" not in done.arguments(state)["AppSpecification"]["ContainerArguments"]


@pytest.mark.parametrize("quiet", [{"ReadLive": result({})}, {"FindCapture": result({"KeyCount": 0})}])
def test_a_window_in_which_nothing_was_served_is_no_failure(
    definition: dict[str, Any], walk: Any, quiet: dict[str, Any]
) -> None:
    done = walk(definition, GIVEN, any_answers(**quiet))
    assert done.status == "SUCCEEDED", done.cause
    assert done.output == {"monitored": False, "report_uri": "none", "violations": 0}
    assert done.arguments("NothingServed")["MetricData"][0]["Value"] == 0
    assert "Monitor" not in done.path


def test_a_model_whose_dataset_is_elsewhere_cannot_be_compared(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindBaseline=result({}), FindDataset=result({"KeyCount": 0})))
    assert (done.status, done.error) == ("FAILED", "NoBaseline")
    assert "dataset v7 of the serving model is not in this stage" in done.cause
    assert "NotifyFailure" in done.path


def test_what_a_run_found_is_on_record(definition: dict[str, Any], walk: Any) -> None:
    written = walk(definition, GIVEN, any_answers()).arguments("RecordRun")
    assert written["Key"] == {"run": {"S": "monitoring#any-event"}}
    values = {name: each["S"] for name, each in written["ExpressionAttributeValues"].items()}
    assert (values[":status"], values[":window"], values[":rows"]) == ("monitored", "2026/02/28", "900")
    assert json.loads(values[":families"]) == FOUND["families"]


WINDOW = "s3://artefacts/flight_delays/monitoring/any-earlier/window.json"


def test_past_weeks_are_handed_from_one_window_to_the_next(surroundings: Surroundings, walk: Any) -> None:
    remembering = monitoring_machine(surroundings, parts(remembers=True))
    known = {"FindPast": result({"Item": {"window_uri": {"S": WINDOW}}}), "RecordWindow": result({})}
    labelled = result({"KeyCount": 1})
    done = walk(remembering, GIVEN, any_answers(**known, FindLabels=labelled))
    assert done.status == "SUCCEEDED", done.cause
    asked = done.arguments("Monitor")
    assert inputs(asked)["past"] == WINDOW
    arguments = asked["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--past") + 1].endswith("/past")
    assert "--labels" in arguments
    written = done.arguments("RecordWindow")
    assert written["Key"] == {"run": {"S": f"window#{PACKAGE}"}}
    values = [each["S"] for each in written["ExpressionAttributeValues"].values()]
    assert any(each.startswith("s3://artefacts/flight_delays/monitoring/") for each in values)
    assert any(each.endswith("/window.json") for each in values)


def test_the_first_window_of_a_model_has_no_past(surroundings: Surroundings, walk: Any) -> None:
    remembering = monitoring_machine(surroundings, parts(remembers=True))
    done = walk(remembering, GIVEN, any_answers(FindPast=result({}), RecordWindow=result({})))
    assert done.status == "SUCCEEDED", done.cause
    asked = done.arguments("Monitor")
    assert set(inputs(asked)) == {"job", "baseline", "capture", "options", "model"}
    assert not {"--past", "--labels"} & set(asked["AppSpecification"]["ContainerArguments"])


# --- going back by score ---------------------------------------------------------------------------------------------

EARLIER = PACKAGE.replace("/3", "/2")
BETTER = {
    "better": True,
    "place": 0,
    "text": "on 900 labelled rows auc is 0.8 of the earlier model, 0.6 of the serving one",
}


def scored_answers(*, approval: str = "Approved", earlier: Any = BETTER, **changed: Any) -> dict[str, Any]:
    """A model that serves, one that served before, labels, and what the job found."""
    live = {"model_package_arn": {"S": PACKAGE}, "previous_package_arn": {"S": EARLIER}}
    containers = [{"ModelDataUrl": "s3://artefacts/flight_delays/models/two/model.tar.gz"}]
    package = {"ModelApprovalStatus": approval, "InferenceSpecification": {"Containers": containers}}
    return any_answers(
        **{
            "ReadLive": result({"Item": live}),
            "FindLabels": result({"KeyCount": 1}),
            "DescribeEarlier": result(package),
            "FindEarlier": result({"KeyCount": 1}),
            "ReadLiveAgain": result({"Item": live}),
            "ReadMonitoring": body({**FOUND, "earlier": earlier}),
            **{name: result({}) for name in ("AuditScore", "ProposeRollback", "BeginRollback")},
            **changed,
        }
    )


@pytest.fixture(params=["propose", "perform"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def going_back(surroundings: Surroundings, way: Any, versions: int = 3) -> dict[str, Any]:
    return monitoring_machine(surroundings, parts(going_back=GoingBack(way, "arn:deploy", versions)))


def test_a_better_version_is_proposed_with_the_command_that_goes_back(surroundings: Surroundings, walk: Any) -> None:
    done = walk(going_back(surroundings, "propose"), GIVEN, scored_answers())
    assert done.status == "SUCCEEDED", done.cause
    assert inputs_given(done)["earlier1"] == "s3://artefacts/flight_delays/models/two/model.tar.gz"
    assert done.arguments("FindEarlier")["Prefix"] == "flight_delays/models/two/model.tar.gz"
    entry = done.arguments("AuditScore")["Item"]
    assert entry["event"] == {"S": "rollback-proposed#any-event"}
    assert (entry["model_package_arn"], entry["serving"]) == ({"S": EARLIER}, {"S": PACKAGE})
    told = json.loads(done.arguments("ProposeRollback")["Message"])
    *command, wish_text = shlex.split(told["command"])
    assert command == ["aws", "stepfunctions", "start-execution", "--state-machine-arn", "arn:deploy", "--input"]
    wish = json.loads(wish_text)
    assert (wish["action"], wish["model_package_arn"]) == ("rollback", EARLIER)
    assert "BeginRollback" not in done.path


def test_a_better_version_goes_back_into_service_where_that_is_asked_for(surroundings: Surroundings, walk: Any) -> None:
    done = walk(going_back(surroundings, "perform"), GIVEN, scored_answers())
    assert done.arguments("AuditScore")["Item"]["event"] == {"S": "rollback-by-score#any-event"}
    started = done.arguments("BeginRollback")
    assert (started["StateMachineArn"], started["Name"]) == ("arn:deploy", "any-event-score")
    assert {name: started["Input"][name] for name in ("action", "actor", "cause", "model_package_arn")} == {
        "action": "rollback",
        "actor": "the monitor",
        "cause": "score",
        "model_package_arn": EARLIER,
    }


VERSIONS = [PACKAGE.replace("/3", f"/{number}") for number in (2, 1, 7, 5, 4)]
"""Those that served before, the last one first; the second was rejected since, and the archive of the third is gone."""


def several_answers(**changed: Any) -> dict[str, Any]:
    """As ``scored_answers``, with five versions that served before."""

    def package(folder: int, approval: str = "Approved") -> Any:
        url = f"s3://artefacts/flight_delays/models/{folder}/model.tar.gz"
        containers = [{"ModelDataUrl": url}]
        return {"result": {"ModelApprovalStatus": approval, "InferenceSpecification": {"Containers": containers}}}

    live = {
        "model_package_arn": {"S": PACKAGE},
        "previous_package_arn": {"S": "none"},
        "earlier_package_arns": {"S": json.dumps(VERSIONS)},
    }
    there, gone = ({"result": {"KeyCount": count}} for count in (1, 0))
    return scored_answers(
        **{
            "ReadLive": result({"Item": live}),
            "DescribeEarlier": [package(2), package(1, "Rejected"), package(7), package(5), package(4)],
            "FindEarlier": [there, gone, there, there],
            **changed,
        }
    )


@pytest.mark.parametrize("versions", [1, 2, 3])
def test_every_version_that_is_kept_is_scored_the_last_ones_first(
    surroundings: Surroundings, walk: Any, versions: int
) -> None:
    best = {**BETTER, "place": versions - 1}
    done = walk(going_back(surroundings, "perform", versions), GIVEN, several_answers(earlier=best))
    assert done.status == "SUCCEEDED", done.cause
    scored = {f"earlier{place + 1}": number for place, number in enumerate((2, 5, 4)[:versions])}
    given = {name: uri for name, uri in inputs_given(done).items() if name.startswith("earlier")}
    assert given == {
        name: f"s3://artefacts/flight_delays/models/{number}/model.tar.gz" for name, number in scored.items()
    }
    arguments = done.arguments("Monitor")["AppSpecification"]["ContainerArguments"]
    folders = [arguments[place + 1] for place, each in enumerate(arguments) if each == "--earlier"]
    assert [each.rpartition("/")[2] for each in folders] == list(scored)
    expected = PACKAGE.replace("/3", f"/{(2, 5, 4)[versions - 1]}")
    assert done.arguments("AuditScore")["Item"]["model_package_arn"] == {"S": expected}
    assert done.arguments("BeginRollback")["Input"]["model_package_arn"] == expected


def test_with_everything_that_it_may_be_given_the_job_has_no_more_inputs_than_sagemaker_takes(
    surroundings: Surroundings, walk: Any
) -> None:
    largest = parts(going_back=GoingBack("propose", "arn:deploy", MOST_ROLLBACK_VERSIONS), remembers=True)
    known: dict[str, Any] = {"FindPast": result({"Item": {"window_uri": {"S": WINDOW}}}), "RecordWindow": result({})}
    names = [PACKAGE.replace("/3", f"/{number}") for number in range(10, 20)]
    live = {"model_package_arn": {"S": PACKAGE}, "earlier_package_arns": {"S": json.dumps(names)}}
    done = walk(
        monitoring_machine(surroundings, largest), GIVEN, scored_answers(ReadLive=result({"Item": live}), **known)
    )
    assert done.status == "SUCCEEDED", done.cause
    shape = botocore.session.get_session().get_service_model("sagemaker").shape_for("ProcessingInputs")
    assert len(inputs_given(done)) == shape.metadata["max"]


def inputs_given(done: Any) -> dict[str, str]:
    return inputs(done.arguments("Monitor"))


@pytest.mark.parametrize(
    ("what", "answers"),
    [
        ("it is no better", scored_answers(earlier={**BETTER, "better": False})),
        ("the serving model is good enough", scored_answers(earlier=None)),
        ("its approval was taken back", scored_answers(approval="Rejected", earlier=None)),
        ("its archive is gone", scored_answers(FindEarlier=result({"KeyCount": 0}), earlier=None)),
        (
            "another one serves by now",
            scored_answers(ReadLiveAgain=result({"Item": {"model_package_arn": {"S": "x"}}})),
        ),
        ("it cannot be described", scored_answers(DescribeEarlier=[{"error": "X", "cause": "gone"}], earlier=None)),
        ("nothing served before", any_answers(FindLabels=result({"KeyCount": 1}))),
    ],
)
def test_nobody_goes_back_where(surroundings: Surroundings, walk: Any, way: str, what: str, answers: Any) -> None:
    done = walk(going_back(surroundings, way), GIVEN, answers)
    assert done.status == "SUCCEEDED", (what, done.cause)
    assert not {"AuditScore", "ProposeRollback", "BeginRollback"} & set(done.path)
    scored = what in ("it is no better", "the serving model is good enough", "another one serves by now")
    assert ("earlier1" in inputs_given(done)) == scored
    assert "labels" in inputs_given(done)
