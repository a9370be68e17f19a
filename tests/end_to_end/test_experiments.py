"""Runs are logged to MLflow by the deployed function, under its own role."""

from __future__ import annotations

import http.client
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from local.chain import Chain
from tests.end_to_end.grants import Grant, Roles
from tests.end_to_end.live import Live

ROLE = "ExperimentLogFunction"
LAKE_KEY = "kms:lake"
NEEDED: tuple[tuple[str, str], ...] = (
    ("dynamodb:GetItem", ""),
    ("dynamodb:UpdateItem", ""),
    ("s3:ListBucket", "artefacts"),
    ("s3:GetObject", "artefacts"),
    ("s3:PutObject", "artefacts"),
    ("kms:Decrypt", LAKE_KEY),
    ("kms:GenerateDataKey", LAKE_KEY),
    ("logs:DescribeLogStreams", ""),
    ("logs:GetLogEvents", ""),
    *(
        (f"sagemaker-mlflow:{action}", "")
        for action in (
            "CreateExperiment",
            "CreateRun",
            "GetExperimentByName",
            "GetRun",
            "LogBatch",
            "LogInputs",
            "SearchRuns",
            "UpdateRun",
        )
    ),
)
"""Action, and what it is granted on."""

UNSEEN = {
    "logs:CreateLogStream": "Lambda writes the function's log as the role",
    "logs:PutLogEvents": "Lambda writes the function's log as the role",
    "xray:PutTelemetryRecords": "Lambda sends the function's traces as the role",
    "xray:PutTraceSegments": "Lambda sends the function's traces as the role",
    "kms:DescribeKey": "asked for by SDKs before they use a key",
    "s3:GetBucketLocation": "SDKs ask in which region a bucket is; there is one region here",
    "s3:AbortMultipartUpload": "large objects are written in parts, which is only seen when that is interrupted",
    "s3:ListMultipartUploadParts": "large objects are written in parts, which is only seen when that is interrupted",
    "sagemaker-mlflow:DeleteRun": "asked for when two calls make a run at the same moment",
}


@dataclass(frozen=True)
class Page:
    """MLflow's page, as a browser sees it."""

    host: str

    def ask(self, path: str, **document: Any) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        body = json.dumps(document) if document else None
        headers = {"Content-Type": "application/json"}
        connection.request("POST" if body else "GET", f"/api/2.0/mlflow/{path}", body, headers)
        found: dict[str, Any] = json.load(connection.getresponse())
        connection.close()
        return found


@pytest.fixture(scope="module")
def record(everything: Live, march: Chain) -> dict[str, Any]:
    """The record of a run that was deployed at last."""
    model = march.of("model")
    assert model is not None
    return everything.record(f"model#{model.input['run_id']}")


@pytest.fixture(scope="module")
def page(everything: Live) -> Page:
    return Page(everything.command("experiments").strip().removeprefix("http://"))


def test_a_run_is_found_in_mlflow_with_all_that_is_known_of_it(
    everything: Live, record: dict[str, Any], page: Page
) -> None:
    run = page.ask(f"runs/get?run_id={record['mlflow_run']}")["run"]
    assert run["info"]["status"] == "FINISHED"
    experiment = page.ask(f"experiments/get?experiment_id={run['info']['experiment_id']}")["experiment"]
    assert experiment["name"] == "every-orders"
    logged = {
        kind: {each["key"]: each["value"] for each in run["data"][kind]} for kind in ("params", "metrics", "tags")
    }
    assert logged["params"] == json.loads(record["hyperparameters"])
    recorded = json.loads(record["metrics"])
    assert {name: logged["metrics"][name] for name in recorded} == pytest.approx(recorded)
    assert logged["tags"]["mlflow.source.git.commit"] == record["commit"]
    assert logged["tags"]["gapless.outcome"] == "registered"
    (dataset,) = run["inputs"]["dataset_inputs"]
    assert dataset["dataset"]["digest"] == record["dataset_version"]
    history = page.ask(f"metrics/get-history?run_id={record['mlflow_run']}&metric_key=validation-auc&max_results=1000")
    assert len({point["step"] for point in history["metrics"]}) > 1
    names = {
        each["path"] for each in page.ask(f"artifacts/list?run_id={record['mlflow_run']}&path=evaluation")["files"]
    }
    assert "evaluation/evaluation.json" in names
    assert run["info"]["artifact_uri"].startswith(f"s3://{everything.outputs.artefacts_bucket}/_experiments/orders/")


def test_a_failed_run_is_found_in_mlflow_with_its_reason(everything: Live, record: dict[str, Any], page: Page) -> None:
    given = {"as_of": record["as_of"], "bundle": everything.bundle, "dataset": {"version": "0" * 32, "splits": {}}}
    done = everything.run("model", given)
    assert done.status == "FAILED"
    run = page.ask(f"runs/get?run_id={everything.record('model#' + done.name)['mlflow_run']}")["run"]
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert (run["info"]["status"], tags["gapless.error"]) == ("FAILED", "DatasetRetired")
    assert tags["gapless.dataset_version"] == "0" * 32


# --- grants of the function -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roles(everything: Live, record: dict[str, Any]) -> Roles:
    return Roles(everything)


@pytest.fixture(scope="module")
def said(everything: Live, record: dict[str, Any], roles: Roles) -> dict[tuple[str, str], str]:
    """What the function said without each of its grants, of runs that were never logged."""
    resources = everything.client("cloudformation").describe_stack_resources(StackName="every-OrdersWorkload")
    (function,) = [
        each["PhysicalResourceId"]
        for each in resources["StackResources"]
        if each["ResourceType"] == "AWS::Lambda::Function" and each["LogicalResourceId"].startswith("ExperimentLog")
    ]
    found = {}
    for action, on in NEEDED:
        run_id = f"{uuid.uuid4().hex[:16]}-1"
        item = {**{name: value for name, value in record.items() if name != "mlflow_run"}, "run": f"model#{run_id}"}
        everything.client("dynamodb").put_item(
            TableName=everything.outputs.runs_table, Item={name: {"S": value} for name, value in item.items()}
        )
        event = {"run_id": run_id, "ended": "2026-01-01T00:00:00Z", "given": {"dataset_version": "1" * 32}}
        with roles.without(ROLE, [action], on):
            answer = everything.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        found[action, on] = str(answer["Payload"].read().decode())
    return found


@pytest.mark.parametrize("needed", NEEDED, ids="-".join)
def test_a_grant_of_the_function_that_is_taken_away_is_missed(
    roles: Roles, said: Mapping[tuple[str, str], str], needed: tuple[str, str]
) -> None:
    assert re.search(roles.denial(ROLE, [needed[0]]), said[needed]), said[needed]


def test_every_grant_of_the_function_is_seen_to_be_needed_or_listed(roles: Roles) -> None:
    def needed(grant: Grant) -> bool:
        return any(grant.action == action and re.search(on, grant.resource) for action, on in NEEDED)

    own = [grant for grant in roles.grants if grant.role == ROLE]
    assert [grant for grant in own if needed(grant) == (grant.action in UNSEEN)] == []
    assert set(UNSEEN) <= {grant.action for grant in own}
