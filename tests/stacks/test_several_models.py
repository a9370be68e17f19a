"""What the stack of a workload has where each segment has a model of its own: a function, grants, one more alarm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ROOT
from tests.stacks.test_workload import synthesised

VALUES = ["UA", "DL", "AA"]


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")
    content = file.model_dump(mode="json", exclude_unset=True)
    mode = {"kind": "multi_model", "segment": "carrier", "values": VALUES}
    serving = {"mode": mode, "instance_count": 2, "rollout": "canary", "api": {"rate": 10}}
    folder: Path = tmp_path_factory.mktemp("several")
    template = synthesised(folder, WorkloadFile.parse({**content, "serving": serving, "model_retention": {}}))
    return dict(template["Resources"])


def statements(resources: dict[str, Any], policy: str) -> Iterator[tuple[str, str]]:
    """Pairs of action and resource of the policies whose ids start like this."""
    for name, each in resources.items():
        if each["Type"] == "AWS::IAM::Policy" and name.startswith(policy):
            for statement in each["Properties"]["PolicyDocument"]["Statement"]:
                actions, where = statement["Action"], json.dumps(statement["Resource"])
                yield from ((action, where) for action in ([actions] if isinstance(actions, str) else actions))


def test_containers_read_sets_and_no_sealed_archive(resources: dict[str, Any]) -> None:
    read = [where for action, where in statements(resources, "EndpointRole") if action == "s3:GetObject"]
    assert any("flight_delays/segments/*" in where for where in read)
    assert not any("flight_delays/models/" in where for where in read)


def test_one_function_writes_sets_and_nobody_else(resources: dict[str, Any]) -> None:
    writers = {
        name
        for name in resources
        for action, where in statements(resources, name)
        if action == "s3:PutObject" and "flight_delays/segments/" in where
    }
    assert len(writers) == 1 and next(iter(writers)).startswith("ModelSetsUnpack")
    found = dict(statements(resources, "ModelSetsUnpack"))
    assert "flight_delays/models/*" in found["s3:GetObject"]


def test_whoever_asks_the_endpoint_knows_which_model(resources: dict[str, Any]) -> None:
    routed = [
        json.loads(each["Properties"]["Environment"]["Variables"]["ROUTING"])
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::Function" and "ROUTING" in json.dumps(each["Properties"])
    ]
    assert routed == [{"feature": "carrier", "values": VALUES}] * 3  # the API's function, and its two hooks


def test_the_script_that_trains_is_told_the_segments(resources: dict[str, Any]) -> None:
    machines = [json.dumps(each) for each in resources.values() if each["Type"] == "AWS::StepFunctions::StateMachine"]
    assert any("GAPLESS_SEGMENTS_0" in each and "_fallback" in each for each in machines)


def test_models_that_come_and_go_have_an_alarm_that_takes_no_rollout_back(resources: dict[str, Any]) -> None:
    (loading,) = [each for name, each in resources.items() if name.startswith("EndpointLoading")]
    metrics = [each["MetricStat"]["Metric"]["MetricName"] for each in loading["Properties"]["Metrics"][1:]]
    assert set(metrics) == {"Invocations", "ModelCacheHit"}
    assert loading["Properties"]["ComparisonOperator"] == "LessThanThreshold"
    assert "AlarmName" not in loading["Properties"]


def test_sets_that_nobody_serves_go_with_the_models(resources: dict[str, Any]) -> None:
    deleted = [where for action, where in statements(resources, "ModelRetirement") if action == "s3:DeleteObject"]
    assert any("flight_delays/segments/*" in where for where in deleted)
