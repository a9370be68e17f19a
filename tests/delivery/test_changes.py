"""Which pipelines a push starts, over a real repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names.code_paths import PLATFORM, matching, model_code
from delivery.changes import changed_paths, contains, git, start_changed
from delivery.settings import Refused

FILTERS = {"platform": PLATFORM, "churn": model_code("churn"), "delays": model_code("delays")}


class Repository:
    """A repository of git that is written to commit by commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        return git(*who, *arguments, folder=self.folder)

    def commit(self, *paths: str) -> str:
        for path in paths:
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.read_text() + "x" if file.exists() else "x")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


class Pipelines:
    """Pipelines, each with the commits that it was started for."""

    def __init__(self, **commits: str) -> None:
        self.commits = {name: [commit] for name, commit in commits.items()}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_pipeline_executions"
        return self

    def paginate(self, pipelineName: str) -> list[Mapping[str, Any]]:
        summaries = [
            {"status": "Succeeded", "sourceRevisions": [{"revisionId": commit}]}
            for commit in reversed(self.commits.get(pipelineName, []))
        ]
        return [{"pipelineExecutionSummaries": summaries}]

    def start_pipeline_execution(self, name: str, clientRequestToken: str, sourceRevisions: list[Any]) -> None:
        assert sourceRevisions[0]["revisionValue"] == clientRequestToken
        self.commits.setdefault(name, []).append(clientRequestToken)


@pytest.mark.parametrize(
    ("changed", "started"),
    [
        (["workloads/churn/train.py"], ["churn"]),
        (["workloads/churn/features/shared.py"], ["churn"]),
        (["workloads/churn/tests/test_features.py"], ["churn"]),
        (["workloads/churn/workload.yaml"], ["platform"]),
        (["workloads/churn/train.py", "workloads/delays/workload.yaml"], ["platform", "churn"]),
        (["workloads/churn/rules.dqdl"], ["platform", "churn"]),
        (["stacks/network.py"], ["platform"]),
        (["cdk.json"], ["platform"]),
        (["docs/guide.md"], []),
        (["workloads/churn/notebook.ipynb"], []),
    ],
)
def test_a_push_starts_what_its_files_belong_to(repository: Repository, changed: list[str], started: list[str]) -> None:
    base = repository.commit("README.md")
    commit = repository.commit(*changed)
    pipelines = Pipelines(platform=base, churn=base, delays=base)
    assert start_changed(pipelines, FILTERS, commit, repository.folder) == started
    assert start_changed(pipelines, FILTERS, commit, repository.folder) == []


def test_a_push_that_was_missed_is_made_up_for(repository: Repository) -> None:
    base = repository.commit("README.md")
    repository.commit("workloads/churn/train.py")
    commit = repository.commit("docs/guide.md")
    assert start_changed(Pipelines(platform=base, churn=base, delays=base), FILTERS, commit, repository.folder) == [
        "churn"
    ]


def test_a_push_that_is_told_late_starts_nothing_over_again(repository: Repository) -> None:
    early = repository.commit("workloads/churn/train.py")
    late = repository.commit("workloads/churn/train.py")
    pipelines = Pipelines(platform=late, churn=late, delays=late)
    assert start_changed(pipelines, FILTERS, early, repository.folder) == []


def test_a_pipeline_that_never_ran_is_compared_with_nothing(repository: Repository) -> None:
    commit = repository.commit("workloads/churn/train.py", "stacks/network.py")
    assert start_changed(Pipelines(), FILTERS, commit, repository.folder) == ["platform", "churn"]


def test_a_history_that_was_rewritten_counts_as_all_new(repository: Repository) -> None:
    commit = repository.commit("stacks/network.py")
    assert changed_paths("0" * 40, commit, repository.folder) == ["stacks/network.py"]
    assert not contains(commit, "0" * 40, repository.folder)


def test_a_file_that_is_moved_away_is_a_change_of_where_it_was(repository: Repository) -> None:
    base = repository.commit("workloads/churn/train.py")
    (repository.folder / "docs").mkdir()
    repository.git("mv", "workloads/churn/train.py", "docs/train.py")
    repository.git("commit", "-q", "-m", "move")
    commit = repository.git("rev-parse", "HEAD").strip()
    assert matching(changed_paths(base, commit, repository.folder), model_code("churn")) == ["workloads/churn/train.py"]


def test_an_error_of_git_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="git rev-parse HEAD: "):
        git("rev-parse", "HEAD", folder=tmp_path)
