"""The guard over templates of the platform itself, with changes as people make them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

import stacks.data_lake
from constructs_lib.data_lake import DataLake
from constructs_lib.letting_go import let_go
from gate.assembly import StackTemplate, templates
from gate.change.compare import compare
from gate.change.specification import specification
from gate.change.stateful import HOLDS
from stacks.config import ROOT, PlatformConfig, project_context
from stacks.platform import build_platform


def synthesised(folder: Path, allow_removal: bool = False, **settings: Any) -> Path:
    """The assembly of a stage without workloads."""
    app = App(context=project_context(), outdir=str(folder))
    stage = {"zones": ["us-east-1a", "us-east-1b"], "removable": True, **settings}
    build_platform(app, PlatformConfig.parse({"dev": stage}, allow_removal), ())
    return Path(app.synth().directory)


@pytest.fixture(scope="module", autouse=True)
def without_validation() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDK_VALIDATION", "false")
        yield


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, without_validation: None) -> Path:
    """The stage as it is."""
    return synthesised(tmp_path_factory.mktemp("change") / "before")


def judged(before: list[StackTemplate], after: list[StackTemplate]) -> dict[str, str]:
    return {change.where: change.effect.name for change in compare(before, after, specification())}


def renamed_lake(scope: Any, construct_id: str, **arguments: Any) -> DataLake:
    return DataLake(scope, f"{construct_id}House", **arguments)


def lake_that_is_let_go(scope: Any, construct_id: str, **arguments: Any) -> DataLake:
    lake = DataLake(scope, construct_id, **arguments)
    let_go(lake.landing, "raw files are landed in a bucket of the source's own team")
    return lake


def test_a_construct_that_is_renamed_takes_nothing_with_it(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks.data_lake, "DataLake", renamed_lake)
    after = synthesised(tmp_path / "after")
    refused = judged(templates(before), templates(after))
    assert refused.pop("dev-DataLake/GovernanceLocationsLanding6741E62E") == "REPLACED"
    assert refused["dev-DataLake/LakeLanding2ADFF402"] == "RENAMED"
    assert refused["dev-DataLake/LakeKey7B6C155C"] == "RENAMED"
    assert refused["dev-DataLake/LakeRuns22685F8F"] == "RENAMED"
    command = [sys.executable, "-m", "gate.change", "--before", str(before), "--after", str(after)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 2
    assert "[-] AWS::S3::Bucket LakeLanding2ADFF402 orphan" in done.stdout
    assert "override_logical_id('LakeLanding2ADFF402')" in done.stdout
    assert "Traceback" not in done.stderr


def test_settings_of_a_stage_change_nothing_that_holds_data(before: Path, tmp_path: Path) -> None:
    after = synthesised(tmp_path / "after", log_retention_days=7, on_call_email="on-call@example.com")
    assert judged(templates(before), templates(after)) == {}


def test_the_marked_first_step_is_harmless(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks.data_lake, "DataLake", lake_that_is_let_go)
    marked = synthesised(tmp_path / "marked")
    assert judged(templates(before), templates(marked)) == {}
    without = templates(marked)
    for stack in without:
        stack.resources.pop("LakeLanding2ADFF402", None)
    changes = compare(templates(marked), without, specification())
    assert [(change.where, change.allowed) for change in changes] == [
        (
            "dev-DataLake/LakeLanding2ADFF402",
            "it was let go (raw files are landed in a bucket of the source's own team), and stays in the account",
        )
    ]


def test_a_stage_that_becomes_removable_loses_its_protection(before: Path, tmp_path: Path) -> None:
    after = synthesised(tmp_path / "after", allow_removal=True)
    refused = judged(templates(before), templates(after))
    assert refused["dev-DataLake"] == "UNPROTECTED"
    assert refused["dev-DataLake/LakeLanding2ADFF402"] == "UNPROTECTED"


def test_every_type_that_holds_something_is_known() -> None:
    assert [each for each in HOLDS if not specification().knows(each)] == []
