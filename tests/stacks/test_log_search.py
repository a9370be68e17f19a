"""The stacks of the log search: what is kept, who may do what, and that every log goes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from constructs_lib.log_store import Nodes
from gate.assembly import StackTemplate
from gate.cost.idle import idle_lines
from stacks.config import ConfigurationError, PlatformConfig, project_context
from stacks.platform import PlatformStage
from tests.everything.platform import LOCAL_STAGE
from tests.stacks.test_own_code import workload
from tests.stacks.test_workload import allowed, resources, text

ASKED: dict[str, Any] = {"retention_days": 14}
ROLE = "arn:aws:iam::111122223333:role/people"
PEOPLE = ("DataScientist", "MlEngineer", "Auditor")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    app = App(outdir=str(tmp_path_factory.mktemp("logs")), context=project_context())
    settings = {**LOCAL_STAGE, "removable": False, "log_search": ASKED, "personas": {"data_engineer": ROLE}}
    config = PlatformConfig.parse({"every": settings})
    stage = PlatformStage(app, config=config.stages[0], workloads=[workload("kept_orders")])
    wanted = ("LogStore", "LogSearch", "KeptOrdersLogs", "KeptOrdersWorkload")
    found = {each.node.id: each for each in stage.node.children if isinstance(each, Stack)}
    return {name: dict(Template.from_stack(found[name]).to_json()) for name in wanted}


def domain_of(stacks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (domain,) = [each for each in stacks["LogStore"]["Resources"].values() if each["Type"].endswith("::Domain")]
    return dict(domain)


def test_the_domain_stays_and_is_encrypted_everywhere(stacks: dict[str, dict[str, Any]]) -> None:
    domain = domain_of(stacks)
    assert (domain["DeletionPolicy"], domain["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    properties = domain["Properties"]
    assert properties["EncryptionAtRestOptions"]["Enabled"]
    assert properties["NodeToNodeEncryptionOptions"] == {"Enabled": True}
    assert properties["DomainEndpointOptions"]["EnforceHTTPS"]
    security = properties["AdvancedSecurityOptions"]
    assert (security["Enabled"], security["InternalUserDatabaseEnabled"], security["AnonymousAuthEnabled"]) == (
        True,
        False,
        False,
    )
    assert text(security["MasterUserOptions"]["MasterUserARN"]).endswith(":role/gapless-every-logs-access")
    (called_by,) = properties["AccessPolicies"]["Statement"]
    assert text(called_by["Principal"]["AWS"]).endswith(":root")


def test_every_log_of_the_workload_goes_onto_its_stream(stacks: dict[str, dict[str, Any]]) -> None:
    groups = resources(stacks["KeptOrdersWorkload"], "AWS::Logs::LogGroup")
    filters = resources(stacks["KeptOrdersLogs"], "AWS::Logs::SubscriptionFilter").values()
    assert len({json.dumps(each["LogGroupName"]) for each in filters}) == len(groups) > 5
    assert all("KeptOrdersStream" in text(each["DestinationArn"]) for each in filters)


def test_a_stream_writes_an_index_a_day_and_keeps_what_is_refused(stacks: dict[str, dict[str, Any]]) -> None:
    (stream,) = resources(stacks["LogSearch"], "AWS::KinesisFirehose::DeliveryStream").values()
    destination = stream["AmazonopensearchserviceDestinationConfiguration"]
    assert (destination["IndexName"], destination["IndexRotationPeriod"]) == ("every-kept-orders-logs", "OneDay")
    assert destination["S3BackupMode"] == "FailedDocumentsOnly"
    assert "KMSEncryptionConfig" in destination["S3Configuration"]["EncryptionConfiguration"]
    put = allowed(stacks["LogSearch"], "SearchUnpack", "firehose:PutRecordBatch")
    assert [each.rpartition(":")[2] for each in put] == ["deliverystream/every-kept-orders-logs"]


def test_people_whose_roles_are_the_platforms_may_call_the_domain(stacks: dict[str, dict[str, Any]]) -> None:
    policies = resources(stacks["LogSearch"], "AWS::IAM::Policy")
    calling = {name for name, each in policies.items() if "es:ESHttpHead" in json.dumps(each)}
    assert {name.partition("Policy")[0] for name in calling} == {f"Search{each}" for each in PEOPLE}
    (function,) = [
        each["Environment"]["Variables"]
        for each in resources(stacks["LogSearch"], "AWS::Lambda::Function").values()
        if "PEOPLE" in each["Environment"].get("Variables", {})
    ]
    told = text(function["PEOPLE"])
    assert ROLE in told
    assert '"access": "see"' in told


def test_a_red_domain_a_full_disk_and_late_or_refused_logs_are_told(stacks: dict[str, dict[str, Any]]) -> None:
    alarms = resources(stacks["LogSearch"], "AWS::CloudWatch::Alarm").values()
    assert {each["MetricName"] for each in alarms} >= {
        "ClusterStatus.red",
        "FreeStorageSpace",
        "ClusterIndexWritesBlocked",
        "DeliveryToAmazonOpenSearchService.DataFreshness",
        "DeliveryToAmazonOpenSearchService.Success",
    }
    assert all(each["AlarmActions"] for each in alarms)


def test_what_nodes_cost_is_named_and_not_guessed(stacks: dict[str, dict[str, Any]]) -> None:
    lines = idle_lines(StackTemplate("every-LogStore", Path("any"), stacks["LogStore"]), "us-east-1")
    unpriced = {line.what: line.units for line in lines if line.usd is None}
    assert unpriced == {
        "search nodes (r7g.large.search)": 2 * 730,
        "disks of search nodes, by gigabyte": 200,
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"instances": 1}, "context stages.dev.log_search.instances"),
        ({"instances": 5}, "instances: nodes must be at least 2, and evenly spread over 2 zones, got: 5"),
        ({"instance_type": "large"}, "context stages.dev.log_search.instance_type"),
        ({"retention": 3}, "context stages.dev.log_search.retention"),
        (
            {"sign_on": {"entity_id": "https://login.example.com", "metadata": "nowhere.xml"}},
            "sign_on.metadata: there is no such file in the project, was 'nowhere.xml'",
        ),
        ({"sign_on": {"entity": "https://login.example.com"}}, "context stages.dev.log_search.sign_on"),
    ],
)
def test_says_what_is_wrong_in_the_settings(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        PlatformConfig.parse({"dev": {"zones": ["eu-west-1a", "eu-west-1b"], "log_search": asked}})
    assert told in str(refused.value)


def test_nodes_are_in_as_many_zones_as_share_them_evenly() -> None:
    assert [Nodes("any", count, 10).zones for count in (2, 3, 4, 6)] == [2, 3, 2, 3]
