"""What a pull request is shown to change: what ``make diff`` says, as a comment that fits."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from delivery import pull_request
from delivery.pull_request import LONGEST_COMMENT, comment, compared, main, post
from delivery.settings import Refused


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Lets the comparison say something; gives the commands that were run."""

    def answer(code: int, out: str = "", problem: str = "") -> list[list[str]]:
        asked: list[list[str]] = []

        def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
            if command[0] == "git":
                return subprocess.CompletedProcess(command, 0, "head\n", "")
            asked.append(command[1:])
            return subprocess.CompletedProcess(command, code, out, problem)

        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return answer


def test_compares_as_make_diff_does_with_the_branch_that_the_request_goes_to(
    says: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = says(0, "dev-Lake: +1 ~0 -0\n")
    monkeypatch.setenv("BRANCH", "main")
    monkeypatch.delenv("BASE", raising=False)
    assert main() == 0
    assert asked == [["-m", "gate.change", "--base", "origin/main"]]
    assert capsys.readouterr().out == "dev-Lake: +1 ~0 -0\n"


def test_a_change_that_would_lose_data_fails_and_is_commented_nevertheless(
    says: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    says(2, "refused: dev-Lake/Runs (AWS::DynamoDB::Table)\n")
    posted: list[dict[str, Any]] = []

    class Commits:
        def post_comment_for_pull_request(self, **comment: Any) -> None:
            posted.append(comment)

    monkeypatch.setattr(boto3, "client", lambda *_, **__: Commits())
    for name, value in {"BASE": "base", "REPOSITORY": "models", "PULL_REQUEST": "7"}.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    assert "refused: dev-Lake/Runs" in posted[0]["content"]
    assert (posted[0]["beforeCommitId"], posted[0]["afterCommitId"]) == ("base", "head")


@pytest.mark.parametrize("code", [1, 2])
def test_what_cannot_be_compared_is_no_difference(says: Callable[..., list[list[str]]], code: int) -> None:
    says(code, problem="app.py of base ended with exit code 1")
    with pytest.raises(Refused, match=r"app\.py of base ended"):
        compared("base")


def test_equal_templates_are_said_to_be_equal(says: Callable[..., list[list[str]]]) -> None:
    says(0)
    assert compared("base") == ("No template changes.", 0)


def test_a_comment_fits_and_keeps_the_judgement_at_the_end() -> None:
    assert "The whole is in the log" not in comment("short")
    long = comment("ü" * LONGEST_COMMENT + "\nrefused: dev-Lake/Runs")
    assert len(long.encode()) <= LONGEST_COMMENT
    assert "refused: dev-Lake/Runs\n```" in long
    assert long.endswith("The whole is in the log of the build.")


def test_the_same_commits_are_commented_once() -> None:
    posted: list[dict[str, Any]] = []

    class Commits:
        def post_comment_for_pull_request(self, **comment: Any) -> None:
            posted.append(comment)

    for _ in range(2):
        post(Commits(), "models", "7", "base", "head", "text")
    assert {each["clientRequestToken"] for each in posted} == {"base-head"}
    assert posted[0]["pullRequestId"] == "7"


def test_keeps_the_difference_under_the_name_of_its_own_session(
    says: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    says(2, "refused: dev-Lake/Runs\n")
    kept: list[dict[str, Any]] = []

    class Anything:
        def get_caller_identity(self) -> dict[str, str]:
            return {"UserId": "AROAEXAMPLE:AWSCodeBuild-1"}

        def put_object(self, **given: Any) -> None:
            kept.append(given)

    monkeypatch.setattr(boto3, "client", lambda *_, **__: Anything())
    monkeypatch.setenv("BRANCH", "main")
    monkeypatch.setenv("DIFFERENCES_URI", "s3://artefacts/pull-requests/")
    assert main() == 2
    body = b"refused: dev-Lake/Runs"
    assert kept == [{"Bucket": "artefacts", "Key": "pull-requests/AROAEXAMPLE:AWSCodeBuild-1", "Body": body}]
    monkeypatch.setattr(pull_request, "LONGEST_KEPT", 5_000)
    says(0, "x" * 9_000 + "\nrefused: dev-Lake/Runs\n")
    assert main() == 0
    assert len(kept[1]["Body"]) < 5_100
    assert kept[1]["Body"].endswith(b"\nrefused: dev-Lake/Runs")


@pytest.mark.parametrize("text", ["```", "<script>"])
def test_a_comment_holds_the_difference_as_it_is(text: str) -> None:
    assert text in comment(text)
