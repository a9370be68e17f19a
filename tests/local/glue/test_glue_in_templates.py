"""Glue resources of a template keep the properties that their work depends on."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.local.glue.conftest import Lake, wait_for


class Deployment:
    """A stack of one test."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.cloudformation = lake.server.client("cloudformation")
        self.name = f"stack-{uuid.uuid4().hex[:8]}"

    def deploy(self, update: bool = False, **resources: dict[str, Any]) -> None:
        """Create or update the stack and wait until it is done."""
        act = self.cloudformation.update_stack if update else self.cloudformation.create_stack
        act(StackName=self.name, TemplateBody=json.dumps({"Resources": resources}))
        status = wait_for(self._settled)
        assert status == ("UPDATE_COMPLETE" if update else "CREATE_COMPLETE"), self._reasons()

    def _settled(self) -> str | None:
        status = str(self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"])
        return None if status.endswith("PROGRESS") else status

    def _reasons(self) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [event.get("ResourceStatusReason", "") for event in events]


@pytest.fixture
def deployment(lake: Lake) -> Deployment:
    """A stack of the test's own."""
    return Deployment(lake)


def job(lake: Lake, **properties: Any) -> dict[str, Any]:
    """A job resource."""
    command = {"Name": "glueetl", "ScriptLocation": f"s3://{lake.bucket}/code/job.py", "PythonVersion": "3"}
    role = lake.server.role("glue.amazonaws.com")
    return {
        "Type": "AWS::Glue::Job",
        "Properties": {"Name": f"job-{lake.bucket}", "Role": role, "Command": command, **properties},
    }


def test_a_job_keeps_its_limits(deployment: Deployment) -> None:
    lake = deployment.lake
    limits = {"ExecutionProperty": {"MaxConcurrentRuns": 3}, "Timeout": 7, "MaxRetries": 0, "WorkerType": "G.2X"}

    deployment.deploy(Job=job(lake, **limits, NumberOfWorkers=4, GlueVersion="5.1", ExecutionClass="STANDARD"))
    made = lake.glue.get_job(JobName=f"job-{lake.bucket}")["Job"]
    deployment.deploy(update=True, Job=job(lake, **limits | {"ExecutionProperty": {"MaxConcurrentRuns": 5}}))
    changed = lake.glue.get_job(JobName=f"job-{lake.bucket}")["Job"]

    assert made["ExecutionProperty"]["MaxConcurrentRuns"] == 3
    assert (made["Timeout"], made["WorkerType"], made["NumberOfWorkers"]) == (7, "G.2X", 4)
    assert made["ExecutionClass"] == "STANDARD"
    assert changed["ExecutionProperty"]["MaxConcurrentRuns"] == 5


def test_a_job_without_limits_runs_once_at_a_time(deployment: Deployment) -> None:
    deployment.deploy(Job=job(deployment.lake))

    made = deployment.lake.glue.get_job(JobName=f"job-{deployment.lake.bucket}")["Job"]
    assert made["ExecutionProperty"]["MaxConcurrentRuns"] == 1


def test_a_crawler_keeps_its_target_and_policies(deployment: Deployment) -> None:
    lake = deployment.lake
    properties = {
        "Name": f"crawler-{lake.bucket}",
        "Role": lake.server.role("glue.amazonaws.com"),
        "DatabaseName": "landing",
        "TablePrefix": "w_",
        "Targets": {"S3Targets": [{"Path": f"s3://{lake.bucket}/land/", "Exclusions": ["**/_batch.json"]}]},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
    }

    deployment.deploy(Crawler={"Type": "AWS::Glue::Crawler", "Properties": properties})

    made = lake.glue.get_crawler(Name=f"crawler-{lake.bucket}")["Crawler"]
    assert {name: made[name] for name in properties} == properties


def test_a_table_keeps_its_description(deployment: Deployment) -> None:
    database = deployment.lake.bucket.replace("-", "_")
    table = {
        "Name": "w_rows",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": "parquet"},
        "PartitionKeys": [{"Name": "version", "Type": "string"}],
        "StorageDescriptor": {
            "Columns": [{"Name": "a", "Type": "bigint"}],
            "Location": "s3://b/rows/",
            "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
        },
    }
    catalogue = {"CatalogId": {"Ref": "AWS::AccountId"}}

    deployment.deploy(
        Database={"Type": "AWS::Glue::Database", "Properties": {**catalogue, "DatabaseInput": {"Name": database}}},
        Table={
            "Type": "AWS::Glue::Table",
            "DependsOn": "Database",
            "Properties": {**catalogue, "DatabaseName": {"Ref": "Database"}, "TableInput": table},
        },
    )

    made = deployment.lake.glue.get_table(DatabaseName=database, Name="w_rows")["Table"]
    assert {name: made[name] for name in table} == table
