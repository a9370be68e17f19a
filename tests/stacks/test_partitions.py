"""The whole pipeline in other partitions of AWS, without an account."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gate.wildcards import as_text
from tests.stacks.delivered import CODECOMMIT, TOOLS_ACCOUNT, Delivered, delivered, waiting_for_ever

PARTITIONS = {
    "aws-us-gov": ("us-gov-west-1", "us-gov-east-1", "amazonaws.com"),
    "aws-cn": ("cn-north-1", "cn-northwest-1", "amazonaws.com.cn"),
}


@pytest.fixture(scope="module", params=PARTITIONS)
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Delivered]:
    """A partition, and a pipeline over two accounts and two regions of it."""
    partition = str(request.param)
    first, second, _ = PARTITIONS[partition]
    places = {"dev": ("111111111111", first), "prod": ("333333333333", second)}
    waves = [["dev", "prod"]]
    pipeline = {"account": TOOLS_ACCOUNT, "region": first, "source": CODECOMMIT, "waves": waves, "train_in": "dev"}
    return partition, delivered(tmp_path_factory.mktemp(partition), places=places, pipeline=pipeline)


def texts(platform: Delivered) -> dict[str, str]:
    return {str(path.relative_to(platform.folder)): path.read_text() for path in written(platform.folder)}


def written(folder: Path) -> list[Path]:
    return [*folder.rglob("*.template.json"), *folder.rglob("*.assets.json"), *folder.rglob("buildspec-*")]


def test_no_arn_names_a_partition(there: tuple[str, Delivered]) -> None:
    _, platform = there
    assert {name for name, text in texts(platform).items() if re.search(r"arn:aws[a-z-]*:", text)} == set()


def test_services_are_called_by_their_names_there(there: tuple[str, Delivered]) -> None:
    partition, platform = there
    _, _, suffix = PARTITIONS[partition]
    foreign = {
        name: found
        for name, text in texts(platform).items()
        if (found := re.findall(r"https://[\w.-]+\.amazonaws\.com(?:\.cn)?", text))
        and any(not each.endswith(suffix) for each in found)
    }
    assert foreign == {}
    urls = {
        as_text(each["Properties"]["Source"]["Location"])
        for each in platform.pipeline().of_type("AWS::CodeBuild::Project").values()
        if each["Properties"]["Source"]["Type"] == "CODECOMMIT"
    }
    assert urls == {f"https://git-codecommit.{PARTITIONS[partition][0]}.<Ref>/v1/repos/models"}


def test_images_have_a_registry_in_each_region(there: tuple[str, Delivered]) -> None:
    """Where they have none, the workload is refused: see the tests of images."""
    partition, platform = there
    regions = PARTITIONS[partition][:2]
    for name, region in zip(("dev", "prod"), regions, strict=True):
        template = platform.stacks[f"{name}-LoanApprovalWorkload"]
        (registries,) = [
            each for key, each in template.content["Mappings"].items() if key.startswith("ImageRegistries")
        ]
        assert re.fullmatch(r"\d{12}", registries[region]["account"])
        assert not re.search(r"dkr\.ecr\.[a-z]", template.path.read_text())


def test_the_pipeline_is_whole(there: tuple[str, Delivered]) -> None:
    _, platform = there
    parts = {stage["Name"]: stage for stage in platform.definition()["Stages"]}
    assert list(parts)[:4] == ["Source", "Build", "UpdatePipeline", "Assets"]
    assert list(parts)[4:] == ["dev-prod-review", "dev-prod-accounts", "dev-prod"]
    assert parts["dev-prod"]["OnFailure"] == {"Result": "ROLLBACK"}
    actions = {action["Name"] for action in parts["dev-prod"]["Actions"]}
    assert {f"{name}.LoanApprovalWorkload.Deploy" for name in ("dev", "prod")} <= actions


def test_references_between_stacks_never_deadlock(there: tuple[str, Delivered]) -> None:
    _, platform = there
    assert waiting_for_ever(platform) == {}


def trusted(platform: Delivered) -> set[Any]:
    return {
        statement["Principal"]["Service"]
        for stack in platform.stacks.values()
        for role in stack.of_type("AWS::IAM::Role").values()
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if isinstance(statement["Principal"].get("Service"), str)
    }


def test_roles_are_taken_by_services_under_the_names_that_they_have_everywhere(there: tuple[str, Delivered]) -> None:
    _, platform = there
    assert {"codebuild.amazonaws.com", "codepipeline.amazonaws.com", "states.amazonaws.com"} <= trusted(platform)
    assert [each for each in trusted(platform) if not each.endswith(".amazonaws.com")] == []
