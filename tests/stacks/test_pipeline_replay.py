"""What a sequence of configuration commits does to the pipeline, seen from the assemblies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from delivery.retirement import RETIRED_METADATA, STAGES_METADATA, left_behind, main, unannounced
from gate.assembly import StackTemplate
from tests.stacks.delivered import PIPELINE, PLACES, Delivered, delivered

DEV = {"dev": PLACES["dev"]}


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """The first commit: one stage without workloads."""
    return delivered(tmp_path_factory.mktemp("empty"), places=DEV, pipeline=PIPELINE, workloads=[])


@pytest.fixture(scope="session")
def one_workload(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """The second commit adds a workload."""
    return delivered(tmp_path_factory.mktemp("workload"), places=DEV, pipeline=PIPELINE)


@pytest.fixture(scope="session")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """The third commit adds a stage in another account and region."""
    places = {**DEV, "prod": PLACES["prod"]}
    return delivered(tmp_path_factory.mktemp("stages"), places=places, pipeline=PIPELINE)


@pytest.fixture(scope="session")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """The same as the second commit, deployed by people."""
    return delivered(tmp_path_factory.mktemp("hand"), places=DEV)


@pytest.fixture(scope="session")
def second_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """Another platform's pipeline in the same account."""
    pipeline = {**PIPELINE, "name": "second", "train_in": "test"}
    places = {"test": PLACES["staging"]}
    return delivered(tmp_path_factory.mktemp("second"), places=places, pipeline=pipeline)


def record(platform: Delivered, name: str = "gapless") -> dict[str, Any]:
    return dict(platform.pipeline(name).content["Metadata"][STAGES_METADATA])


def stage_names(platform: Delivered) -> list[str]:
    return [stage["Name"] for stage in platform.definition()["Stages"]]


def action_names(platform: Delivered, stage: str) -> set[str]:
    (found,) = [each for each in platform.definition()["Stages"] if each["Name"] == stage]
    return {each["Name"] for each in found["Actions"]}


# Growing


def test_a_new_workload_changes_the_pipeline_before_it_is_deployed(empty: Delivered, one_workload: Delivered) -> None:
    assert empty.pipeline().content != one_workload.pipeline().content
    new = action_names(one_workload, "dev") - action_names(empty, "dev")
    assert {"LoanApprovalState.Deploy", "LoanApprovalWorkload.Deploy", "TestLoanApproval"} <= new
    assert_updates_itself_first(one_workload, "dev")


def test_a_new_stage_changes_the_pipeline_before_it_is_deployed(one_workload: Delivered, two_stages: Delivered) -> None:
    assert one_workload.pipeline().content != two_stages.pipeline().content
    new = [name for name in stage_names(two_stages) if name not in stage_names(one_workload)]
    assert new == ["prod-review", "account-333333333333-eu-central-1", "prod"]
    for name in new:
        assert_updates_itself_first(two_stages, name)


def assert_updates_itself_first(platform: Delivered, stage: str) -> None:
    names = stage_names(platform)
    assert names.index("UpdatePipeline") < names.index("Assets") < names.index(stage)
    assert action_names(platform, "UpdatePipeline") == {"SelfMutate"}


def test_what_was_there_is_the_same_after_a_stage_was_added(one_workload: Delivered, two_stages: Delivered) -> None:
    """But for the account's stack and the lake's, none: another stage is no news to a stage."""
    before = {name: each.content for name, each in one_workload.stacks.items() if name.startswith("dev-")}
    assert before == {name: two_stages.stacks[name].content for name in before}


def test_the_pipeline_is_the_same_where_what_it_deploys_is(one_workload: Delivered, tmp_path: Path) -> None:
    again = delivered(tmp_path, places=DEV, pipeline=PIPELINE)
    assert files(again.folder) == files(one_workload.folder)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stage_is_the_same_whoever_deploys_it(one_workload: Delivered, by_hand: Delivered) -> None:
    delivered_stacks = {name: each.content for name, each in one_workload.stacks.items()}
    added = {"dev-Delivery", "gapless-pipeline"}
    assert {name: content for name, content in delivered_stacks.items() if name not in added} == {
        name: each.content for name, each in by_hand.stacks.items()
    }


# Shrinking


def test_a_stage_that_is_removed_is_not_forgotten(one_workload: Delivered, two_stages: Delivered) -> None:
    left = left_behind(record(two_stages), record(one_workload))
    place = "333333333333/eu-central-1"
    assert {key.rpartition("/")[2] for key in left} == {
        "Account",
        *(f"prod-{each}" for each in ("DataLake", "Delivery", "Figures", "Network", "Operations")),
        *(f"prod-LoanApproval{each}" for each in ("State", "Workload")),
    }
    assert any(each.endswith("(AWS::S3::Bucket)") for each in left[f"{place}/prod-DataLake"])
    assert any(each.endswith("(AWS::KMS::Key)") for each in left[f"{place}/Account"])
    assert left[f"{place}/prod-Network"] == []
    assert unannounced(left, []) == [key for key in left if "prod-" in key and not goes_along(key)]
    assert unannounced(left, ["prod"]) == []


def goes_along(key: str) -> bool:
    """Whether a stack is left behind only with others."""
    return key.endswith(("-Delivery", "-Figures"))


def test_a_workload_that_is_removed_is_not_forgotten(empty: Delivered, one_workload: Delivered) -> None:
    left = left_behind(record(one_workload), record(empty))
    gone = {"dev-Delivery", "dev-Figures", "dev-LoanApprovalState", "dev-LoanApprovalWorkload"}
    assert {key.rpartition("/")[2] for key in left} == gone
    assert left["111111111111/eu-west-1/dev-LoanApprovalState"]
    assert unannounced(left, ["loan_approval"]) == []
    assert len(unannounced(left, ["other"])) == 2


def test_a_stage_that_is_renamed_counts_as_removed(one_workload: Delivered) -> None:
    renamed = json.loads(json.dumps(record(one_workload)).replace("dev-", "test-").replace('"dev"', '"test"'))
    left = left_behind(record(one_workload), renamed)
    assert left and all("/dev-" in key for key in left)
    assert unannounced(left, []) == [key for key in left if not goes_along(key)]


def test_a_change_of_what_stays_is_a_change_of_the_stack(empty: Delivered, one_workload: Delivered) -> None:
    digests = [each.pipeline().content["Outputs"]["RecordDigest"]["Value"] for each in (empty, one_workload)]
    assert len(set(digests)) == 2


def test_the_build_refuses_to_forget_and_says_what_would_stay(
    one_workload: Delivered, two_stages: Delivered, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = {"Metadata": json.dumps(two_stages.pipeline().content["Metadata"])}

    class CloudFormation:
        def get_template_summary(self, StackName: str) -> dict[str, str]:
            assert StackName == "gapless-pipeline"
            return deployed

    monkeypatch.setattr("delivery.retirement.boto3.client", lambda *_, **__: CloudFormation())
    assert main([str(one_workload.folder), "gapless-pipeline"]) == 1
    shown = capsys.readouterr()
    assert "prod-DataLake is no longer deployed; of it stays: " in shown.out
    assert "name the stage or workload under pipeline.retired" in shown.err
    assert main([str(two_stages.folder), "gapless-pipeline"]) == 0


def test_what_is_retired_is_on_record(empty: Delivered) -> None:
    assert empty.pipeline().content["Metadata"][RETIRED_METADATA] == []


# Two of them


def test_two_pipelines_in_one_account_share_nothing(one_workload: Delivered, second_pipeline: Delivered) -> None:
    first, second = one_workload.pipeline(), second_pipeline.pipeline("second")
    assert first.stack != second.stack
    named = [physical_names(each) for each in (first, second)]
    assert named[0] and not named[0] & named[1]
    referred = [roles(each) for each in (first, second)]
    assert referred[0] and not referred[0] & referred[1]
    assert "gapless-" not in second.path.read_text()


def physical_names(stack: StackTemplate) -> set[str]:
    keys = ("Name", "RoleName", "BucketName", "ProjectName", "TopicName", "AlarmName", "LogGroupName", "AliasName")
    return {
        f"{resource['Type']} {resource['Properties'][key]}"
        for resource in stack.resources.values()
        for key in keys
        if isinstance(resource.get("Properties", {}).get(key), str)
    }


def roles(stack: StackTemplate) -> set[str]:
    """Names of the roles of stages that builds take; bootstrapped ones are everybody's."""
    text = stack.path.read_text()
    return {each.split('"')[0] for each in text.split(":role/")[1:] if not each.startswith("cdk-")}
