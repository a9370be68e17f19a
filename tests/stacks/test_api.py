"""What an account needs for APIs is there only where a workload has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment
from aws_cdk.assertions import Template

from constructs_lib.names.workload_file import WorkloadFile
from stacks.account import AccountStack
from stacks.config import ROOT
from tests.stacks.test_workload import synthesised


@pytest.mark.parametrize("names", [[], ["dev-orders-api", "test-orders-api"]])
def test_access_logs_are_made_possible_where_there_is_an_api_and_for_its_log_only(names: list[str]) -> None:
    app = App(analytics_reporting=False, tree_metadata=False)
    stack = AccountStack(app, "Account", env=Environment(), tags={"zone": ("landing",)}, api_logs=names)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::ApiGateway::Account", 1 if names else 0)
    written = [
        resource
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "logs:PutLogEvents" in statement["Action"]
        for resource in statement["Resource"]
    ]
    assert [str(each).rpartition("log-group:")[2].partition(":*")[0] for each in written] == names


def test_exchanges_with_a_serverless_endpoint_are_kept_by_the_function(tmp_path: Path) -> None:
    file = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")
    content = file.model_dump(mode="json", exclude_unset=True)
    serving: dict[str, Any] = {"mode": "serverless", "api": {"rate": 10}, "capture_percent": 25}
    template = synthesised(tmp_path, WorkloadFile.parse({**content, "serving": serving}))
    settings = [
        each["Properties"]["Environment"]["Variables"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function" and "CAPTURE_URI" in json.dumps(each["Properties"])
    ]
    assert [each["CAPTURE_PERCENT"] for each in settings] == ["25"]
    assert "flight_delays/capture/" in json.dumps(settings[0]["CAPTURE_URI"])
    writing = [
        statement
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::IAM::Policy" and name.startswith("ServingFunction")
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if "s3:PutObject" in statement["Action"]
    ]
    assert len(writing) == 1
    assert "flight_delays/capture/*" in json.dumps(writing[0]["Resource"])
