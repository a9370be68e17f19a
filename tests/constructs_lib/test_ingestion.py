"""What each ingestion path promises: least rights, retries, a failure queue, an alarm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.ingestion.paths import IngestionPaths
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.keys import WRITE_ACTIONS
from constructs_lib.names.workload_file import WorkloadFile
from constructs_lib.network import ExistingNetwork, Network
from gate.wildcards import as_text

COLUMNS = {"id": "string", "at": "timestamp", "sold": "boolean"}
CRM = "arn:aws:iam::111122223333:role/crm"
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "visits": ("csv", {"drop": {"producers": [CRM]}}),
    "prices": ("json_lines", {"api": {"url": "https://api.example.com", "secret": {"name": "token"}}}),
    "clicks": ("parquet", {"stream": {"partition_by": "id", "producers": [CRM]}}),
    "shops": (
        "parquet",
        {"database": {"url": "jdbc:mysql://db/s", "secret": "db", "table": "t", "key": "at", "every": "rate(1 day)"}},
    ),
}


def workload(*sources: str) -> WorkloadFile:
    """A workload with some of the paths; visits are always among them."""
    names = dict.fromkeys(("visits", *sources))
    return WorkloadFile.parse(
        {
            "name": "shop",
            "owner": "shop@example.com",
            "target": "sold",
            "event_time": "at",
            "sources": {name: {"format": PATHS[name][0], "key": ["id"], "columns": COLUMNS} for name in names},
            "ingestion": {"sources": {name: PATHS[name][1] for name in names}},
        }
    )


def template_of(app: App, file: WorkloadFile) -> Template:
    shared, stack = Stack(app, "Shared"), Stack(app, "Paths")
    lake = DataLake(shared, "Lake", stage="dev")
    plan = ExistingNetwork("vpc-1", ["z1", "z2"], ["subnet-1", "subnet-2"])
    network = Network(shared, "Network", plan=plan, log_key=lake.key)
    around = Surroundings("dev", "shop", lake, FailureAlarms(sns.Topic(shared, "Topic")), 30)
    IngestionPaths(stack, "Ingestion", around=around, network=network, workload=file)
    return Template.from_stack(stack)


@pytest.fixture
def every(app: App) -> Template:
    return template_of(app, workload(*PATHS))


def statements(template: Template, role_path: str) -> list[tuple[list[str], list[str]]]:
    """Actions and resources of a role, told by the start of its policy's logical id."""
    found = []
    for name, policy in template.find_resources("AWS::IAM::Policy").items():
        if name.startswith(f"Ingestion{role_path}"):
            for each in policy["Properties"]["PolicyDocument"]["Statement"]:
                actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
                resources = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
                found.append((actions, [as_text(resource) for resource in resources]))
    assert found, role_path
    return found


def objects(template: Template, role_path: str, action: str) -> list[str]:
    """The prefixes of objects that a role may do something with."""
    return sorted(
        resource.partition("/")[2]
        for actions, resources in statements(template, role_path)
        if action in actions
        for resource in resources
        if "/shop/" in resource
    )


def test_a_workload_without_ingestion_has_nothing_of_it(app: App) -> None:
    file = WorkloadFile.parse({**workload().model_dump(exclude_defaults=True), "ingestion": None})
    assert template_of(app, file).to_json().get("Resources", {}) == {}


@pytest.mark.parametrize(
    ("path", "rate"),
    [("Batches", "rate(1 hour)"), ("PricesPath", "rate(1 hour)"), ("ShopsPath", "rate(1 day)")],
)
def test_each_schedule_feeds_a_queue_whose_failures_are_kept_and_told(every: Template, path: str, rate: str) -> None:
    rules = every.find_resources("AWS::Events::Rule", {"Properties": {"ScheduleExpression": rate}})
    assert [name for name in rules if name.startswith(f"Ingestion{path}Intake")]
    queues = every.find_resources("AWS::SQS::Queue")
    own = [each["Properties"] for name, each in queues.items() if name.startswith(f"Ingestion{path}Intake")]
    assert sorted("RedrivePolicy" in each for each in own) == [False, True]
    alarms = [name for name in every.find_resources("AWS::CloudWatch::Alarm") if f"{path}IntakeGivenUp" in name]
    assert len(alarms) == 1


def test_what_makes_batches_reads_and_deletes_what_came_and_keeps_what_it_took(every: Template) -> None:
    assert objects(every, "BatchesFunction", "s3:DeleteObject") == ["shop/incoming/*"]
    assert objects(every, "BatchesFunction", "s3:PutObject") == ["shop/batches/*", "shop/files/*"]
    assert objects(every, "BatchesFunction", "s3:GetObject") == ["shop/batches/*", "shop/incoming/*"]


def test_what_pulls_an_api_may_touch_its_own_source_and_its_own_secret(every: Template) -> None:
    assert objects(every, "PricesPathFunction", "s3:PutObject") == ["shop/incoming/prices/*", "shop/pulled/prices/*"]
    assert objects(every, "PricesPathFunction", "s3:DeleteObject") == ["shop/pulled/prices/*"]
    secrets = [
        resource
        for actions, resources in statements(every, "PricesPathFunction")
        if "secretsmanager:GetSecretValue" in actions
        for resource in resources
    ]
    assert [each.rpartition(":")[2] for each in secrets] == ["dev-shop-token-*"]


def test_a_stream_makes_parquet_by_its_table_under_the_lakes_key(every: Template) -> None:
    every.has_resource_properties(
        "AWS::KinesisFirehose::DeliveryStream",
        {
            "DeliveryStreamEncryptionConfigurationInput": {"KeyType": "CUSTOMER_MANAGED_CMK"},
            "ExtendedS3DestinationConfiguration": {
                "Prefix": "shop/incoming/clicks/id=!{partitionKeyFromQuery:id}/!{timestamp:yyyy/MM/dd/HH}/",
                "ErrorOutputPrefix": "shop/failed/clicks/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/",
                "DynamicPartitioningConfiguration": {"Enabled": True},
                "EncryptionConfiguration": {"KMSEncryptionConfig": Match.any_value()},
                "DataFormatConversionConfiguration": {
                    "Enabled": True,
                    "SchemaConfiguration": {"DatabaseName": "dev_landing", "VersionId": "LATEST"},
                },
            },
        },
    )
    columns = [{"Name": name, "Type": kind} for name, kind in COLUMNS.items()]
    every.has_resource_properties(
        "AWS::Glue::Table",
        {"TableInput": {"Name": "shop_clicks_stream", "StorageDescriptor": {"Columns": columns}}},
    )


def test_a_stream_is_made_when_its_role_may_see_the_table(every: Template) -> None:
    (stream,) = every.find_resources("AWS::KinesisFirehose::DeliveryStream").values()
    waits_for = stream["DependsOn"]
    grants = every.find_resources("AWS::LakeFormation::PrincipalPermissions")
    assert set(grants) <= set(waits_for)
    assert {tuple(each["Properties"]["Permissions"]) for each in grants.values()} == {("DESCRIBE",)}


def test_what_a_stream_cannot_deliver_lies_in_the_failure_queue_until_it_is_moved(every: Template) -> None:
    rules = every.find_resources("AWS::Events::Rule")
    (rule,) = [each["Properties"] for name, each in rules.items() if "NotDelivered" in name]
    assert rule["EventPattern"]["detail"]["object"]["key"] == [{"prefix": "shop/failed/clicks/"}]
    dead = rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]
    assert "DeadLetterQueue" in dead
    policies = every.find_resources("AWS::SQS::QueuePolicy", {"Properties": {"Queues": [{"Ref": dead}]}})
    (policy,) = policies.values()
    assert "NotDelivered" in json.dumps(policy["Properties"]["PolicyDocument"]["Statement"][0]["Condition"])
    assert objects(every, "ClicksPathResubmit", "s3:DeleteObject") == ["shop/failed/clicks/*"]


def test_a_stream_tells_when_records_wait_longer_than_they_should(every: Template) -> None:
    every.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"MetricName": "DeliveryToS3.DataFreshness", "Statistic": "Maximum", "Threshold": 1200},
    )


def test_a_database_is_pulled_one_run_at_a_time_from_inside_the_network(every: Template) -> None:
    every.has_resource_properties(
        "AWS::Glue::Job",
        {
            "Name": "dev-shop-pull-shops",
            "Connections": {"Connections": ["dev-shop-pull-shops"]},
            "ExecutionProperty": {"MaxConcurrentRuns": 1},
            "DefaultArguments": {
                "--table": "t",
                "--key": "at",
                "--columns": json.dumps(COLUMNS, separators=(",", ":")),
            },
        },
    )
    every.has_resource_properties(
        "AWS::Glue::Connection",
        {
            "ConnectionInput": {
                "ConnectionType": "JDBC",
                "ConnectionProperties": {"SECRET_ID": "dev-shop-db", "JDBC_ENFORCE_SSL": "true"},
                "PhysicalConnectionRequirements": {"SubnetId": "subnet-1", "AvailabilityZone": "z1"},
            }
        },
    )
    (group,) = every.find_resources("AWS::EC2::SecurityGroup").values()
    assert [rule["ToPort"] for rule in group["Properties"]["SecurityGroupEgress"]] == [443, 3306]
    assert "SecurityGroupIngress" not in group["Properties"]


def test_a_run_that_fails_lies_in_the_failure_queue(every: Template) -> None:
    rules = every.find_resources("AWS::Events::Rule")
    (rule,) = [each["Properties"] for name, each in rules.items() if "RunFailed" in name]
    assert rule["EventPattern"]["detail"] == {
        "jobName": ["dev-shop-pull-shops"],
        "state": ["FAILED", "TIMEOUT", "ERROR"],
    }
    assert "DeadLetterQueue" in rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]


@pytest.mark.parametrize(
    ("path", "actions"),
    [
        (
            "VisitsPathProducers",
            ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", *WRITE_ACTIONS],
        ),
        ("ClicksPathProducers", ["firehose:PutRecord", "firehose:PutRecordBatch"]),
    ],
)
def test_producers_may_deliver_and_nothing_else(every: Template, path: str, actions: list[str]) -> None:
    assert {each for given, _ in statements(every, path) for each in given} == set(actions)
    roles = every.find_resources("AWS::IAM::Role")
    (role,) = [each["Properties"] for name, each in roles.items() if name.startswith(f"Ingestion{path}")]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert as_text(trust["Condition"]["StringEquals"]["aws:PrincipalArn"][0]).endswith("111122223333:role/crm")
    assert "111122223333:root" in as_text(trust["Principal"]["AWS"])


def test_two_workloads_in_one_stack_never_collide(app: App) -> None:
    shared, stack = Stack(app, "Shared"), Stack(app, "Paths")
    lake = DataLake(shared, "Lake", stage="dev")
    plan = ExistingNetwork("vpc-1", ["z1", "z2"], ["subnet-1", "subnet-2"])
    network = Network(shared, "Network", plan=plan, log_key=lake.key)
    alarms = FailureAlarms(sns.Topic(shared, "Topic"))
    for name in ("shop", "mall"):
        file = WorkloadFile.parse({**workload(*PATHS).model_dump(exclude_defaults=True), "name": name})
        around = Surroundings("dev", name, lake, alarms, 30)
        IngestionPaths(stack, name.title(), around=around, network=network, workload=file)
    jobs = Template.from_stack(stack).find_resources("AWS::Glue::Job").values()
    assert {each["Properties"]["Name"] for each in jobs} == {"dev-shop-pull-shops", "dev-mall-pull-shops"}
