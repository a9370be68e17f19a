"""What a change does to what holds data: every case of ``change_cases`` is judged as it says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gate.assembly import StackTemplate
from gate.change.compare import compare
from gate.change.report import told
from gate.change.specification import specification

CASES = {
    f"{path.stem}: {name}": case
    for path in sorted((Path(__file__).parent / "change_cases").glob("*.yaml"))
    for name, case in yaml.safe_load(path.read_text()).items()
}


def stacks(of: dict[str, Any]) -> list[StackTemplate]:
    """A stack is given as its resources or as a template with ``Resources``; its stage stands before a dash."""
    found = []
    for name, given in of.items():
        template = given if "Resources" in given else {"Resources": given}
        stage = name.partition("-")[0] if "-" in name else None
        tags, protected = template.get("Tags", {}), template.get("Protected", False)
        found.append(StackTemplate(name, Path(name), template, stage=stage, tags=tags, protected=protected))
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_change_is_judged(case: dict[str, Any]) -> None:
    changes = compare(stacks(case["before"]), stacks(case["after"]), specification(), case.get("expendable", ()))
    judged: dict[str, list[str]] = {"refused": [], "allowed": []}
    for change in changes:
        judged["refused" if change.allowed is None else "allowed"].append(f"{change.where} {change.effect.name}")
    assert judged == {"refused": case.get("refused", []), "allowed": case.get("allowed", [])}
    text = "\n".join(told(changes))
    assert [each for each in case.get("mentions", []) if each not in text] == []
    assert text.count("  step 1: ") == text.count("  step 2: ") == len(judged["refused"])


NAMED = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::KMS::Key": None,
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Glue::Table": "DatabaseName",
    "AWS::SageMaker::FeatureGroup": "FeatureGroupName",
    "AWS::SageMaker::ModelPackageGroup": "ModelPackageGroupName",
    "AWS::SageMaker::Domain": "DomainName",
    "AWS::Glue::Database": "CatalogId",
    "AWS::Glue::Catalog": "Name",
}
"""What nobody may lose by accident, with a property that cannot be changed in place; a key is replaced by its type."""


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("effect", ["DELETED", "REPLACED"])
def test_each_kind_that_holds_data_goes_by_two_steps_or_two_keys(kind: str, effect: str) -> None:
    name = NAMED[kind]
    held = {"Type": kind, "Properties": {name: "one"} if name else {}}
    other = {"Type": kind, "Properties": {name: "two"}} if name else {"Type": "AWS::SNS::Topic"}
    before, after = (
        stacks({"dev-Lake": {"It": held}}),
        stacks({"dev-Lake": {"It": other} if effect == "REPLACED" else {}}),
    )
    (refused,) = compare(before, after, specification())
    assert (refused.effect.name, refused.allowed) == (effect, None)
    text = "\n".join(told([refused]))
    assert text.index(f"refused: dev-Lake/It ({kind})") < text.index("  step 1: ") < text.index("  step 2: ")
    (allowed,) = compare(before, after, specification(), ["dev"])
    assert allowed.allowed is not None


def test_there_are_cases_of_every_kind() -> None:
    effects = {
        each.split()[1] for case in CASES.values() for each in [*case.get("refused", []), *case.get("allowed", [])]
    }
    assert effects >= {"DELETED", "ORPHANED", "RENAMED", "MOVED", "ABANDONED", "REPLACED", "MAY_BE_REPLACED"}
    assert effects >= {"CONDITIONAL", "UNPROTECTED", "UNENCRYPTED", "DISABLED", "NARROWED"}
    assert sum(not {"refused", "allowed"} & case.keys() for case in CASES.values()) >= 20
