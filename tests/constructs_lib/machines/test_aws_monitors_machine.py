"""The machine of SageMaker's own monitors, and the requests that make them."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from constructs_lib.asl import State
from constructs_lib.machines.aws_monitors import AwsMonitorsParts, Explained, monitors_machine
from constructs_lib.machines.common import Surroundings
from monitor_results import parse_options
from set_monitors.handler import definition_request, schedule_request
from tests.constructs_lib.machines.conftest import Walk, Walker
from tests.constructs_lib.machines.test_monitoring_machine import PACKAGE, any_answers, body, parts, result

ROLE = "arn:aws:iam::000000000000:role/monitors"
BASELINE = "s3://artefacts/flight_delays/baselines/any-0-0/baseline.json"
RESULTS = "s3://artefacts/flight_delays/monitors/results/dev-flight-delays-live/dev-flight-delays-monitor-"
MEASURED = {"families": {"drift": {"violations": 2, "worst": 0.4}, "bias": {"violations": 0, "worst": None}}}
GIVEN = {"run_id": "any", "workload": "flight_delays", "as_of": "2026-03-01T01:23:00Z", "triggered_by": "schedule"}
FOUND: dict[str, Any] = {
    "waiting": [],
    "failed": [],
    "folders": {"data": f"{RESULTS}data/2026/03/01/00/", "bias": f"{RESULTS}bias/2026/03/01/00/"},
    "rows": 900,
    "families": {"drift": {"violations": 2}, "bias": {"violations": 0}},
    "violations": [{"column": "temp"}, {"column": "dest"}],
}
SERVICE = botocore.session.get_session().get_service_model("sagemaker")


def aws_parts(**changed: Any) -> AwsMonitorsParts:
    given: dict[str, Any] = {
        "making": parts(in_process=False),
        "role_arn": ROLE,
        "model_monitor_uri": "1.dkr.ecr.us-east-1.amazonaws.com/analyzer:latest",
        "clarify_uri": "2.dkr.ecr.us-east-1.amazonaws.com/clarify:1.0",
        "preprocessor_uri": "s3://assets/columns.py",
        "options_digest": "0a1b2c",
        "problem": "binary_classification",
        "features": ("dest", "temp"),
        "target": "late",
        "set_arn": "set",
        "read_arn": "read",
        "favourable": (True,),
        "facets": ({"name_or_index": "dest", "value_or_threshold": ["BOS"]},),
        "explained": Explained("probability", "ml.m5.large", 100),
        **changed,
    }
    return AwsMonitorsParts(**given)


@pytest.fixture
def definition(surroundings: Surroundings) -> State:
    return monitors_machine(surroundings, aws_parts())


def answers(**changed: Any) -> dict[str, Any]:
    live = {"model_package_arn": {"S": PACKAGE}, "model": {"S": "dev-flight-delays-0a1b"}}
    return any_answers(
        **{
            "ReadLive": result({"Item": live}),
            "FindBaseline": result({"Item": {"baseline_uri": {"S": BASELINE}}}),
            "SetMonitors": result({"Payload": {"schedules": [], "removed": []}}),
            "ReadMonitors": result({"Payload": FOUND}),
            "ShowResults": result({}),
            "ReadResults": body(MEASURED),
            "PublishWorst": result({}),
            "RecordSet": result({}),
            **changed,
        }
    )


def figures(done: Walk, state: str = "PublishMetrics") -> dict[str, float]:
    return {each["MetricName"]: each["Value"] for each in done.arguments(state)["MetricData"]}


def test_sets_schedules_and_publishes_what_they_found_as_the_own_monitor_does(definition: State, walk: Walker) -> None:
    done = walk(definition, GIVEN, answers())
    assert done.status == "SUCCEEDED"
    assert done.output["monitored"] is True
    assert done.output["violations"] == 2
    assert figures(done) == {"RowsMonitored": 900, "DriftViolations": 2, "BiasViolations": 0}


def test_measures_and_shows_what_those_that_have_looked_wrote(definition: State, walk: Walker) -> None:
    done = walk(definition, GIVEN, answers())
    job = done.arguments("ShowResults")
    assert problems("CreateProcessingJob", {**job, "RoleArn": ROLE}) == ""
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in job["ProcessingInputs"]}
    assert {name: inputs[name] for name in ("data", "bias", "baseline")} == {**FOUND["folders"], "baseline": BASELINE}
    given = job["AppSpecification"]["ContainerArguments"]
    options = parse_options(given)
    assert (set(options.folders), options.as_of) == ({"data", "bias"}, GIVEN["as_of"])
    folder = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    key = done.arguments("ReadResults")["Key"]
    assert f"s3://artefacts/{key}" == f"{folder}/monitoring.json"
    assert done.output["report_uri"] == f"{folder}/report.html"
    assert f"{folder}/report.html" in json.dumps(done.arguments("RecordRun"))
    assert figures(done, "PublishWorst") == {"DriftWorst": 0.4}


def test_violations_are_published_before_anything_is_measured(definition: State, walk: Walker) -> None:
    done = walk(definition, GIVEN, answers(ShowResults=[{"error": "States.TaskFailed"}] * 9))
    assert done.status == "FAILED"
    assert figures(done)["DriftViolations"] == 2


def test_a_window_that_nobody_could_look_at_has_no_page(definition: State, walk: Walker) -> None:
    nothing = {**FOUND, "folders": {}, "families": {}, "violations": [], "rows": 0}
    done = walk(definition, GIVEN, answers(ReadMonitors=result({"Payload": nothing})))
    assert done.output == {"monitored": True, "report_uri": "none", "violations": 0}
    assert "ShowResults" not in done.path


def test_sagemaker_would_take_every_request(definition: State, walk: Walker) -> None:
    payload = walk(definition, GIVEN, answers()).arguments("SetMonitors")["Payload"]
    kinds = {each["kind"]: each for each in payload["monitors"]}
    assert list(kinds) == ["DataQuality", "ModelQuality", "ModelBias", "ModelExplainability"]
    for kind, each in kinds.items():
        config = "s3://artefacts/flight_delays/monitors/configs/0a1b.json" if "config" in each else None
        request = definition_request(payload["prefix"], each, config)
        assert problems(f"Create{kind}JobDefinition", request) == ""
        schedule = schedule_request(payload["prefix"], kind, request["JobDefinitionName"], payload["every"])
        assert problems("CreateMonitoringSchedule", schedule) == ""
        assert request["RoleArn"] == ROLE
    assert kinds["ModelExplainability"]["config"]["predictor"]["model_name"] == "dev-flight-delays-0a1b"
    quality = kinds["DataQuality"]["definition"]["DataQualityBaselineConfig"]
    assert quality["StatisticsResource"]["S3Uri"] == BASELINE.replace("baseline.json", "statistics.json")
    isolated = {kind: each["definition"]["NetworkConfig"]["EnableNetworkIsolation"] for kind, each in kinds.items()}
    assert [kind for kind, alone in isolated.items() if not alone] == ["ModelExplainability"]


def problems(operation: str, request: dict[str, Any]) -> str:
    shape = SERVICE.operation_model(operation).input_shape
    report: str = ParamValidator().validate(request, shape).generate_report()
    return report


def test_after_a_deployment_schedules_are_set_and_nothing_is_read(definition: State, walk: Walker) -> None:
    done = walk(definition, {**GIVEN, "triggered_by": "deployment"}, answers())
    assert done.status == "SUCCEEDED"
    assert "SetMonitors" in done.path
    assert "ReadMonitors" not in done.path


def test_a_model_gets_its_baseline_once_and_anew_when_the_workload_asks_otherwise(
    definition: State, walk: Walker
) -> None:
    done = walk(definition, GIVEN, answers(FindBaseline=result({})))
    made = done.arguments("MakeBaseline")["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    constraints = done.arguments("SetMonitors")["Payload"]["monitors"][0]["definition"]["DataQualityBaselineConfig"]
    assert constraints["ConstraintsResource"]["S3Uri"] == f"{made}/constraints.json"
    assert done.arguments("RecordBaseline")["Key"] == {"run": {"S": f"aws-baseline#{PACKAGE}#0a1b2c"}}


def test_waits_for_monitors_and_says_which_have_not_ended(definition: State, walk: Walker) -> None:
    waiting = {**FOUND, "waiting": ["dev-flight-delays-monitor-bias"]}
    done = walk(definition, GIVEN, answers(ReadMonitors=[*result({"Payload": waiting}), *result({"Payload": FOUND})]))
    assert (done.status, done.path.count("ReadMonitors")) == ("SUCCEEDED", 2)
    late = walk(definition, GIVEN, answers(ReadMonitors=result({"Payload": waiting}) * 40))
    assert (late.status, late.error) == ("FAILED", "MonitorFailed")
    assert "not ended: dev-flight-delays-monitor-bias" in str(late.cause)
    assert figures(late)["DriftViolations"] == 2


def test_a_monitor_that_failed_is_told_after_what_the_others_found(definition: State, walk: Walker) -> None:
    failed = {**FOUND, "failed": ["dev-flight-delays-monitor-data: no permission"]}
    done = walk(definition, GIVEN, answers(ReadMonitors=result({"Payload": failed})))
    assert (done.status, done.error) == ("FAILED", "MonitorFailed")
    assert "no permission" in json.dumps(done.arguments("NotifyFailure"))
    assert figures(done)["DriftViolations"] == 2


def test_nothing_is_set_while_nothing_serves(definition: State, walk: Walker) -> None:
    done = walk(definition, GIVEN, answers(ReadLive=result({})))
    assert done.status == "SUCCEEDED"
    assert "SetMonitors" not in done.path


def test_what_has_no_labels_has_no_monitor_of_answers(surroundings: Surroundings, walk: Walker) -> None:
    unlabelled = monitors_machine(surroundings, aws_parts(problem="clustering", target=None, facets=(), explained=None))
    done = walk(unlabelled, GIVEN, answers())
    kinds = [each["kind"] for each in done.arguments("SetMonitors")["Payload"]["monitors"]]
    assert kinds == ["DataQuality"] == done.arguments("ReadMonitors")["Payload"]["kinds"]
