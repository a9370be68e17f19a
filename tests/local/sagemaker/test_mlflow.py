"""Managed MLflow on the local server, and the function that logs runs to it: a real MLflow server behind both."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from gapless_lambda.clients import client
from log_experiment.handler import Event, NoRecord, Settings, log_run
from log_experiment.mlflow import Mlflow, TrackingRefused, place_of
from tests.local.sagemaker.conftest import Lab, allow, error_of

ENDED = "2026-01-01T00:10:00.000Z"
LOG = ["[0]\ttrain-auc:0.7\tvalidation-auc:0.6", "[1]\ttrain-auc:0.8\tvalidation-auc:0.65", "[1]\ttrain-auc:0.80001"]


@dataclass(frozen=True)
class Tracked:
    """One tracking server or app, what somebody logs to it with, and a run that can be logged."""

    lab: Lab
    arn: str
    settings: Settings

    def any_run(self, **changed: str | None) -> str:
        """Record a run with an evaluation and a training log; returns its id."""
        run_id = f"{uuid.uuid4().hex[:16]}-1"
        job = f"train-{run_id}"
        evaluation = self.lab.put(f"flights/evaluations/{run_id}/evaluation.json", '{"metrics": {"auc": 0.72}}')
        self.lab.put(f"flights/evaluations/{run_id}/curves/roc.json", "[]")
        write_log(self.lab, job, LOG)
        record = {
            "workload": "flights",
            "status": "registered",
            "started": "2026-01-01T00:00:00.000Z",
            "commit": "c0ffee",
            "hyperparameters": '{"eta": "0.1"}',
            "metrics": '{"auc": 0.72}',
            "training_job": job,
            "evaluation_uri": evaluation,
            **changed,
        }
        item = {name: {"S": value} for name, value in record.items() if value is not None}
        self.lab.client("dynamodb").put_item(
            TableName=self.settings.runs_table, Item={"run": {"S": f"model#{run_id}"}, **item}
        )
        return run_id

    def log(self, run_id: str) -> dict[str, Any]:
        event: Event = {"run_id": run_id, "ended": ENDED, "given": {"dataset_version": "0123456789abcdef" * 2}}
        return dict(log_run(self.settings, Mlflow(place_of(self.arn)), event))

    def ask(self, path: str, **document: Any) -> dict[str, Any]:
        """Ask MLflow itself, as its page does."""
        return ask(self.url, f"/api/2.0/mlflow/{path}", document)

    def run(self, mlflow_run: str) -> dict[str, Any]:
        found: dict[str, Any] = ask(self.url, f"/api/2.0/mlflow/runs/get?run_id={mlflow_run}")["run"]
        return found

    def runs(self) -> list[dict[str, Any]]:
        """Every run of the experiment that was not deleted."""
        experiments = self.ask("experiments/search", filter=f"name = '{self.settings.experiment}'", max_results=10)
        ids = [each["experiment_id"] for each in experiments["experiments"]]
        found: list[dict[str, Any]] = self.ask("runs/search", experiment_ids=ids, max_results=100).get("runs", [])
        return found

    @property
    def url(self) -> str:
        url: str = self.lab.sagemaker.create_presigned_mlflow_app_url(Arn=self.arn)["AuthorizedUrl"]
        return url


def ask(url: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call MLflow past the local AWS, as a browser does."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    body = None if document is None else json.dumps(document)
    connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == http.client.OK, content
    found: dict[str, Any] = json.loads(content)
    return found


def write_log(lab: Lab, job: str, lines: list[str]) -> None:
    logs, group, stream = lab.client("logs"), "/aws/sagemaker/TrainingJobs", f"{job}/algo-1-1"
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": 1_767_225_600_000 + number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


@pytest.fixture(scope="module")
def shared(local_server: Any) -> Lab:
    return Lab(local_server)


@pytest.fixture(scope="module")
def arn(shared: Lab) -> Iterator[str]:
    made = shared.sagemaker.create_mlflow_app(
        Name=shared.unique("app"), ArtifactStoreUri=f"s3://{shared.bucket}/_experiments", RoleArn=shared.role
    )["Arn"]
    yield made
    shared.sagemaker.delete_mlflow_app(Arn=made)


@pytest.fixture
def tracked(shared: Lab, arn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracked]:
    """The app, seen by somebody who may log to it and nothing more."""
    table = shared.unique("runs")
    shared.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    keys = shared.server.user(
        allow("sagemaker:CallMlflowAppApi", on=arn),
        allow("dynamodb:GetItem", "dynamodb:UpdateItem", "s3:*", "logs:*"),
    )
    for name, value in {
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_ENDPOINT_URL": shared.server.endpoint,
        "AWS_CA_BUNDLE": shared.server.ca_file,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the keys that it was made with
    client.cache_clear()
    experiment = shared.unique("experiment")
    settings = Settings(
        workload="flights",
        runs_table=table,
        tracking_arn=arn,
        experiment=experiment,
        artefacts_uri=f"s3://{shared.bucket}/_experiments/flights",
        datasets_uri="s3://datasets/flights/",
    )
    yield Tracked(shared, arn, settings)
    client.cache_clear()


def test_logs_parameters_metrics_curves_dataset_and_artefacts(tracked: Tracked) -> None:
    logged = tracked.log(tracked.any_run())
    run = tracked.run(logged["mlflow_run"])
    assert run["info"]["status"] == "FINISHED"
    assert run["data"]["params"] == [{"key": "eta", "value": "0.1"}]
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert metrics == {"auc": 0.72, "train-auc": 0.80001, "validation-auc": 0.65}
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert (tags["mlflow.source.git.commit"], tags["gapless.outcome"]) == ("c0ffee", "registered")
    (dataset,) = run["inputs"]["dataset_inputs"]
    assert dataset["dataset"]["digest"] == "0123456789abcdef" * 2
    folder = run["info"]["artifact_uri"].removeprefix(f"s3://{tracked.lab.bucket}/")
    assert folder.startswith("_experiments/flights/")
    names = {key.removeprefix(f"{folder}/") for key in tracked.lab.keys(folder)}
    assert names == {"evaluation/evaluation.json", "evaluation/curves/roc.json"}


def test_logging_a_run_again_changes_nothing(tracked: Tracked) -> None:
    run_id = tracked.any_run()
    first = tracked.log(run_id)
    before = tracked.run(first["mlflow_run"])
    assert tracked.log(run_id) == first
    assert tracked.run(first["mlflow_run"]) == before
    assert len(tracked.runs()) == 1


def test_logging_a_run_several_times_at_once_gives_one_run(tracked: Tracked) -> None:
    run_id = tracked.any_run()
    tracked.log(tracked.any_run())
    with ThreadPoolExecutor(4) as pool:
        logged = list(pool.map(lambda _: tracked.log(run_id)["mlflow_run"], range(4)))
    assert len(set(logged)) == 1
    ids = [run["info"]["run_id"] for run in tracked.runs() if run["info"]["run_name"] == run_id]
    assert ids == [logged[0]]


def test_a_call_that_was_cut_off_leaves_no_second_run(tracked: Tracked) -> None:
    run_id = tracked.any_run()
    mlflow = Mlflow(place_of(tracked.arn))
    experiment = mlflow.experiment(tracked.settings.experiment, tracked.settings.artefacts_uri)
    left = mlflow.create_run(experiment, run_id, 0, {"gapless.run_id": run_id})
    assert tracked.log(run_id)["mlflow_run"] == left


def test_a_run_that_somebody_has_deleted_is_deleted(tracked: Tracked) -> None:
    mlflow = Mlflow(place_of(tracked.arn))
    experiment = mlflow.experiment(tracked.settings.experiment, tracked.settings.artefacts_uri)
    made = mlflow.create_run(experiment, "any", 0, {})
    for _ in range(2):
        mlflow.delete_run(made)
    assert tracked.runs() == []
    with pytest.raises(TrackingRefused, match="runs/get"):
        mlflow.delete_run("f" * 32)


def test_a_failed_run_that_goes_well_at_last_is_told_as_that(tracked: Tracked) -> None:
    run_id = tracked.any_run(status="failed", error="BadGate", cause="no metric", metrics=None)
    first = tracked.log(run_id)["mlflow_run"]
    assert tracked.run(first)["info"]["status"] == "FAILED"
    tracked.lab.client("dynamodb").update_item(
        TableName=tracked.settings.runs_table,
        Key={"run": {"S": f"model#{run_id}"}},
        UpdateExpression="SET #s = :s REMOVE #e",
        ExpressionAttributeNames={"#s": "status", "#e": "error"},
        ExpressionAttributeValues={":s": {"S": "registered"}},
    )
    assert tracked.log(run_id)["mlflow_run"] == first
    run = tracked.run(first)
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert (run["info"]["status"], tags["gapless.error"]) == ("FINISHED", "none")


def test_a_run_without_a_record_cannot_be_logged(tracked: Tracked) -> None:
    with pytest.raises(NoRecord, match="there is no record of run nothing"):
        tracked.log("nothing")


def test_an_experiment_that_was_deleted_is_named(tracked: Tracked) -> None:
    logged = tracked.log(tracked.any_run())
    tracked.ask("experiments/delete", experiment_id=logged["experiment_id"])
    with pytest.raises(TrackingRefused, match=f"experiment {tracked.settings.experiment} was deleted"):
        tracked.log(tracked.any_run())


def test_nobody_logs_without_permission(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tracked.lab.server.user(allow("sagemaker:CallMlflowAppApi", on=f"{tracked.arn}-other"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
    with pytest.raises(TrackingRefused, match="not authorized to perform: sagemaker:CallMlflowAppApi"):
        Mlflow(place_of(tracked.arn)).experiment("any", "s3://any")


def test_an_app_that_is_not_there_is_named(shared: Lab, arn: str) -> None:
    gone = f"{arn}0"
    code, message = error_of(lambda: shared.sagemaker.describe_mlflow_app(Arn=gone))
    assert (code, message) == ("ResourceNotFound", f"there is no {gone}")


def test_the_page_shows_artefacts_that_lie_in_the_lake(tracked: Tracked) -> None:
    logged = tracked.log(tracked.any_run())["mlflow_run"]
    path = f"/get-artifact?path=evaluation/evaluation.json&run_uuid={logged}"
    assert ask(tracked.url, path) == {"metrics": {"auc": 0.72}}


def test_what_was_logged_outlives_the_server_and_its_process_does_not(own_server: Any) -> None:
    lab, name = Lab(own_server), {"TrackingServerName": "dev-experiments"}
    lab.sagemaker.create_mlflow_tracking_server(**name, ArtifactStoreUri=f"s3://{lab.bucket}/x", RoleArn=lab.role)
    url = lab.sagemaker.create_presigned_mlflow_tracking_server_url(**name)["AuthorizedUrl"]
    ask(url, "/api/2.0/mlflow/experiments/create", {"name": "kept"})
    own_server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/health")
    (store,) = (own_server.state_dir / "mlflow").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(store)) as database:
        assert ("kept",) in database.execute("select name from experiments").fetchall()


def test_cloudformation_makes_changes_and_deletes_it(shared: Lab) -> None:
    cloudformation, name = shared.client("cloudformation"), shared.unique("stack")
    place = {"ArtifactStoreUri": f"s3://{shared.bucket}/x", "RoleArn": shared.role}
    server = {"TrackingServerName": shared.unique("server"), "TrackingServerSize": "Small", **place}

    def template(**changed: str) -> str:
        resources = {
            "Server": {"Type": "AWS::SageMaker::MlflowTrackingServer", "Properties": {**server, **changed}},
            "App": {"Type": "AWS::SageMaker::MlflowApp", "Properties": {"Name": shared.unique("app"), **place}},
        }
        outputs = {"Server": {"Value": {"Fn::GetAtt": "Server.TrackingServerArn"}}, "App": {"Value": {"Ref": "App"}}}
        return json.dumps({"Resources": resources, "Outputs": outputs})

    def done(status: str) -> dict[str, str]:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] == status, stack
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    body = template()
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = done("CREATE_COMPLETE")
    assert outputs["Server"].endswith(f":mlflow-tracking-server/{server['TrackingServerName']}")
    assert shared.sagemaker.describe_mlflow_app(Arn=outputs["App"])["Status"] == "Created"
    cloudformation.update_stack(StackName=name, TemplateBody=body.replace('"Small"', '"Large"'))
    cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    found = shared.sagemaker.describe_mlflow_tracking_server(TrackingServerName=server["TrackingServerName"])
    assert found["TrackingServerSize"] == "Large"
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert outputs["App"] not in {each["Arn"] for each in shared.sagemaker.list_mlflow_apps()["Summaries"]}
