"""Publishing scripts and asking for a training with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from delivery.model_code import deliver, is_deployed, must_wait, newest_run, wait_for_platform
from delivery.settings import Refused
from tests.delivery.test_changes import Repository

KEY = "a" * 64


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print('train')\n")
    return tmp_path


class Session:
    """A training stage: buckets and outputs by moto, and machines whose executions do not end by themselves."""

    def __init__(self) -> None:
        self.session = boto3.Session(region_name="us-east-1")
        self.session.client("s3").create_bucket(Bucket="artefacts")
        self.sent: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []

    def client(self, service: str, **_: Any) -> Any:
        return self if service in ("cloudformation", "events", "stepfunctions") else self.session.client(service)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        outputs = {"ArtefactsBucket": "artefacts", "LoopMachineArn": "loop"}
        return {"Stacks": [{"Outputs": [{"OutputKey": key, "OutputValue": each} for key, each in outputs.items()]}]}

    def list_executions(self, stateMachineArn: str, maxResults: int) -> dict[str, Any]:
        assert (stateMachineArn, maxResults) == ("loop", 1)
        return {"executions": [{"executionArn": str(len(self.runs) - 1)}] if self.runs else []}

    def describe_execution(self, executionArn: str) -> dict[str, str]:
        return {"input": json.dumps(self.runs[int(executionArn)])}

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.sent += Entries
        return {"FailedEntryCount": 0, "Entries": [{}]}


@pytest.fixture
def stage() -> Iterator[Session]:
    with mock_aws():
        yield Session()


def pointer(stage: Session) -> dict[str, str]:
    body = stage.client("s3").get_object(Bucket="artefacts", Key="churn/bundles/current.json")["Body"].read()
    return dict(json.loads(body))


def test_new_scripts_are_published_and_train_on_the_newest_batch(stage: Session, scripts: Path) -> None:
    stage.runs = [{"run_key": KEY, "bundle": {"bundle": "old"}}]
    done = deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c1")
    assert done.endswith("asked for a training of the newest batch")
    published = pointer(stage)
    assert published["commit"] == "c1"
    (event,) = stage.sent
    assert (event["Source"], event["DetailType"]) == ("gapless", "Re-run Requested")
    assert json.loads(event["Detail"]) == {"workload": "churn", "run_key": KEY, "bundle": published["bundle"]}


def test_scripts_that_run_already_start_nothing(stage: Session, scripts: Path) -> None:
    deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c1")
    stage.runs = [{"run_key": KEY, "bundle": {"bundle": pointer(stage)["bundle"]}}]
    assert deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c2").endswith("runs with it already")
    assert stage.sent == []


def test_without_a_batch_the_scripts_wait_for_one(stage: Session, scripts: Path) -> None:
    assert "no batch has landed yet" in deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c1")
    assert newest_run(stage, "loop") is None
    assert stage.sent == []


def test_tests_and_notebooks_are_no_part_of_what_is_published(stage: Session, scripts: Path) -> None:
    deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c1")
    before = pointer(stage)["bundle"]
    (scripts / "tests").mkdir()
    (scripts / "tests" / "test_train.py").write_text("")
    (scripts / "notebook.py").write_text("# %%\n")
    deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c2")
    assert pointer(stage)["bundle"] == before


def test_a_request_that_the_bus_refuses_fails(stage: Session, scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.runs = [{"run_key": KEY}]
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorMessage": "throttled"}]}
    monkeypatch.setattr(stage, "put_events", lambda **_: answer)
    with pytest.raises(Refused, match="the event bus did not take the request: throttled"):
        deliver(stage, "churn", "dev-ChurnWorkload", scripts, "c1")


# A commit that changes the platform as well


class Platform:
    """The platform's pipeline: executions, newest first, and which of them its stage is at."""

    def __init__(self, *executions: tuple[str, str], at: int | None = None, parts: int = 1) -> None:
        self.executions, self.at, self.parts = executions, at, parts

    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        if self.at is None:
            return {"stageStates": [{"stageName": "dev"}]}
        latest = {"pipelineExecutionId": str(self.at), "status": self.executions[self.at][1]}
        names = ["dev"] if self.parts == 1 else [f"dev.{part + 1}" for part in range(self.parts)]
        return {"stageStates": [{"stageName": each, "latestExecution": latest} for each in names]}

    def get_pipeline_execution(self, pipelineName: str, pipelineExecutionId: str) -> dict[str, Any]:
        commit, _ = self.executions[int(pipelineExecutionId)]
        return {"pipelineExecution": {"artifactRevisions": [{"revisionId": commit}]}}

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, pipelineName: str) -> list[dict[str, Any]]:
        summaries = [
            {"status": status, "sourceRevisions": [{"revisionId": commit}]} for commit, status in self.executions
        ]
        return [{"pipelineExecutionSummaries": summaries}]


@pytest.fixture
def commits(tmp_path: Path) -> tuple[Repository, str, str]:
    repository = Repository(tmp_path)
    return repository, repository.commit("README.md"), repository.commit("cdk.json", "workloads/churn/train.py")


def test_waits_exactly_where_what_is_deployed_changes_too(commits: tuple[Repository, str, str]) -> None:
    repository, first, both = commits
    scripts_only = repository.commit("workloads/churn/train.py")
    assert must_wait(first, both, repository.folder)
    assert not must_wait(both, scripts_only, repository.folder)
    assert must_wait(first, scripts_only, repository.folder)
    assert must_wait(None, scripts_only, repository.folder)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_commit_is_deployed_once_the_stage_has_it_or_a_later_one(
    commits: tuple[Repository, str, str], parts: int
) -> None:
    repository, first, both = commits
    later = repository.commit("cdk.json")
    folder = repository.folder

    def deployed(*executions: tuple[str, str], at: int | None = None) -> bool:
        return is_deployed(Platform(*executions, at=at, parts=parts), "gapless", "dev", both, folder)

    assert deployed((both, "Succeeded"), at=0)
    assert deployed((later, "Succeeded"), at=0)
    assert not deployed((both, "InProgress"), (first, "Succeeded"), at=1)
    assert not deployed((both, "InProgress"), at=0)
    assert not deployed()
    assert not deployed((later, "InProgress"), (both, "Superseded"))


def test_a_platform_that_gave_up_on_the_commit_ends_the_wait(commits: tuple[Repository, str, str]) -> None:
    repository, first, both = commits
    platform = Platform((both, "Failed"), (first, "Succeeded"), at=1)
    with pytest.raises(Refused, match="ended failed"):
        is_deployed(platform, "gapless", "dev", both, repository.folder)


def test_the_wait_has_an_end() -> None:
    with pytest.raises(Refused, match="has not deployed this commit within 0 minutes"):
        wait_for_platform(lambda: False, 0, pause=lambda _: None)
    answers = iter((False, False, True))
    wait_for_platform(lambda: next(answers), 60, pause=lambda _: None)
