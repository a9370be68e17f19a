"""Rulesets of Data Quality are kept as they were given, by the API and by templates."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.server.glue.rulesets import Rulesets
from tests.local.glue.conftest import Lake, allow
from tests.local.glue.test_glue_in_templates import Deployment

RULES = 'Rules = [\n    IsComplete "a"\n]\n'


@pytest.fixture
def deployment(lake: Lake) -> Deployment:
    """A stack of the test's own."""
    return Deployment(lake)


def ruleset(lake: Lake, **properties: Any) -> dict[str, Any]:
    """A ruleset resource on a table of the test's own."""
    target = {"DatabaseName": "validated", "TableName": lake.bucket}
    given = {"Name": f"rules-{lake.bucket}", "Ruleset": RULES, "TargetTable": target, **properties}
    return {"Type": "AWS::Glue::DataQualityRuleset", "Properties": given}


def test_a_ruleset_of_a_template_can_be_read_changed_and_removed(deployment: Deployment) -> None:
    lake, name = deployment.lake, f"rules-{deployment.lake.bucket}"
    target = {"DatabaseName": "validated", "TableName": lake.bucket}

    deployment.deploy(Rules=ruleset(lake, Description="Rules of a table"))
    made = lake.glue.get_data_quality_ruleset(Name=name)
    deployment.deploy(update=True, Rules=ruleset(lake, Ruleset=RULES.replace('"a"', '"b"')))
    changed = lake.glue.get_data_quality_ruleset(Name=name)
    deployment.deploy(update=True, Other=ruleset(lake, Name=f"other-{lake.bucket}"))
    since = {"CreatedAfter": made["CreatedOn"], "LastModifiedBefore": made["CreatedOn"] + dt.timedelta(days=1)}
    listed = lake.glue.list_data_quality_rulesets(Filter={"TargetTable": target, **since})["Rulesets"]

    assert (made["Ruleset"], made["Description"], made["TargetTable"]) == (RULES, "Rules of a table", target)
    assert 'IsComplete "b"' in changed["Ruleset"]
    assert [each["Name"] for each in listed] == [f"other-{lake.bucket}"]


def test_a_ruleset_has_one_name_and_is_missed_when_it_is_gone(lake: Lake) -> None:
    name = f"rules-{lake.bucket}"
    lake.glue.create_data_quality_ruleset(Name=name, Ruleset=RULES)
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        lake.glue.create_data_quality_ruleset(Name=name, Ruleset=RULES)
    lake.glue.update_data_quality_ruleset(Name=name, Description="new")
    found = lake.glue.get_data_quality_ruleset(Name=name)
    assert (found["Description"], found["Ruleset"]) == ("new", RULES)
    assert found["LastModifiedOn"] >= found["CreatedOn"]
    lake.glue.delete_data_quality_ruleset(Name=name)
    for missing in (lake.glue.get_data_quality_ruleset, lake.glue.delete_data_quality_ruleset):
        with pytest.raises(ClientError, match="EntityNotFoundException"):
            missing(Name=name)


def test_rulesets_outlive_the_server(tmp_path: Path) -> None:
    Rulesets(tmp_path / "rulesets.json").operations["CreateDataQualityRuleset"]({"Name": "kept", "Ruleset": RULES})
    again = Rulesets(tmp_path / "rulesets.json")
    assert again.operations["GetDataQualityRuleset"]({"Name": "kept"})["Ruleset"] == RULES


def test_a_role_needs_the_ruleset_in_its_policy(lake: Lake) -> None:
    lake.glue.create_data_quality_ruleset(Name=f"rules-{lake.bucket}", Ruleset=RULES)
    lake.glue.create_data_quality_ruleset(Name=f"other-{lake.bucket}", Ruleset=RULES)
    arn = f"arn:aws:glue:us-east-1:000000000000:dataQualityRuleset/rules-{lake.bucket}"
    reader = lake.server.client_as("glue", *lake.server.user(allow("glue:GetDataQualityRuleset", arn)))
    assert reader.get_data_quality_ruleset(Name=f"rules-{lake.bucket}")["Ruleset"] == RULES
    with pytest.raises(ClientError, match="AccessDeniedException"):
        reader.get_data_quality_ruleset(Name=f"other-{lake.bucket}")
