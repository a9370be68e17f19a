"""When a build approves by itself, and when a person has to."""

from __future__ import annotations

import subprocess
from typing import Any

import boto3
import pytest

from delivery import review
from delivery.review import approve, broadens, main, waiting_token
from delivery.settings import Refused


def state(execution: str = "e1", status: str = "InProgress", token: str = "t") -> dict[str, Any]:  # noqa: S107
    action = {"actionName": "Approve", "latestExecution": {"status": status, "token": token}}
    stage = {
        "stageName": "dev-review",
        "latestExecution": {"pipelineExecutionId": execution},
        "actionStates": [{"actionName": "Compare"}, action],
    }
    return {"stageStates": [{"stageName": "Source", "actionStates": []}, stage]}


class Pipelines:
    """A pipeline that asks for an approval after some looks."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.approved: list[dict[str, Any]] = []

    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def put_approval_result(self, **result: Any) -> None:
        self.approved.append(result)


def test_approves_once_the_pipeline_asks() -> None:
    pipelines = Pipelines(state(status="Succeeded", token="old"), state(token="new"))
    approve(pipelines, "gapless", "dev-review", "e1", pause=lambda _: None)
    assert [(each["token"], each["result"]["status"]) for each in pipelines.approved] == [("new", "Approved")]


def test_never_approves_for_another_execution() -> None:
    with pytest.raises(Refused, match="is at execution e2, which has superseded e1"):
        approve(Pipelines(state("e2")), "gapless", "dev-review", "e1", pause=lambda _: None)


def test_gives_up_when_it_is_not_asked() -> None:
    with pytest.raises(Refused, match="did not ask for an approval within 300 seconds"):
        approve(Pipelines(state(status="Succeeded")), "gapless", "dev-review", "e1", pause=lambda _: None)


def test_refuses_an_unknown_stage() -> None:
    with pytest.raises(Refused, match="has no stage prod-review"):
        waiting_token(state(), "prod-review", "e1")


@pytest.mark.parametrize(("code", "broader"), [(0, False), (1, True)])
def test_asks_the_cdk_whether_permissions_grow(code: int, broader: bool) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, code)

    assert broadens("cdk.out", ["dev/*"], run) is broader
    assert ran[0][:4] == ["cdk", "diff", "--app", "cdk.out"]
    assert {"--security-only", "--fail"} <= set(ran[0]) and ran[0][-1] == "dev/*"


@pytest.mark.parametrize(
    ("mode", "code", "approvals"), [("unless-broadened", 0, 1), ("unless-broadened", 1, 0), ("never", 0, 0)]
)
def test_a_person_decides_on_more_permissions_and_where_one_always_does(
    mode: str, code: int, approvals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = Pipelines(state())
    given = {"APPROVE": mode, "EXECUTION": "e1", "PIPELINE": "gapless", "STAGE": "dev-review", "STACKS": "dev/*"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(review, "broadens", lambda *_: bool(code))
    monkeypatch.setattr(boto3, "client", lambda *_, **__: pipelines)
    assert main(["cdk.out"]) == 0
    assert len(pipelines.approved) == approvals
