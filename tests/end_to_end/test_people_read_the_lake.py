"""People of the deployed platform read what the access matrix says, through Lake Formation and nothing else."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.end_to_end.conftest import Demo
from tests.end_to_end.live import WORKLOAD, Live, eventually

ROLE_OUTPUTS = {
    "data_engineer": "DataEngineerRoleArn",
    "data_scientist": "DataScientistRoleArn",
    "ml_engineer": "MlEngineerRoleArn",
    "auditor": "AuditorRoleArn",
}
WORKGROUP = "dev-people"


class Person:
    """A user who carries a persona's tag and has taken its role."""

    def __init__(self, live: Live, persona: str, carries: str) -> None:
        self._live = live
        iam, name = live.client("iam"), f"{persona}-{carries}-{uuid.uuid4().hex[:8]}"
        iam.create_user(UserName=name, Tags=[{"Key": "gapless:dev", "Value": carries}])
        allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=document)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        sts = self._client("sts", (made["AccessKeyId"], made["SecretAccessKey"], None))
        outputs = live.client("cloudformation").describe_stacks(StackName="dev-DataLake")["Stacks"][0]["Outputs"]
        role = next(each["OutputValue"] for each in outputs if each["OutputKey"] == ROLE_OUTPUTS[persona])
        found = sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
        self._keys = (found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def client(self, service: str) -> Any:
        return self._client(service, self._keys)

    def ask(self, database: str, text: str) -> str:
        """The first value of a query's answer, or why there is none."""
        athena = self.client("athena")
        where = {"WorkGroup": WORKGROUP, "QueryExecutionContext": {"Database": database}}
        query_id = athena.start_query_execution(QueryString=text, **where)["QueryExecutionId"]

        def ended() -> Any:
            status = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
            return status if status["State"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

        status = eventually(ended, "the end of a query")
        if status["State"] != "SUCCEEDED":
            return str(status["StateChangeReason"])
        rows = athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
        return str(rows[1]["Data"][0]["VarCharValue"])

    def _client(self, service: str, keys: tuple[str, str, str | None]) -> Any:
        server = self._live.platform.aws.server
        return boto3.client(
            service,
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            verify=str(server.ca_file),
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            aws_session_token=keys[2],
            config=Config(inject_host_prefix=False),
        )


def count(table: str) -> str:
    return f"SELECT count(*) FROM {WORKLOAD}_{table}"  # noqa: S608 - names of our own


def test_each_persona_reads_what_the_matrix_says(live: Live, demo: Demo) -> None:
    engineer, scientist, ml_engineer = (
        Person(live, name, name) for name in ("data_engineer", "data_scientist", "ml_engineer")
    )
    refused = "Insufficient Lake Formation permission(s)"
    for person in (engineer, scientist, ml_engineer):
        assert int(person.ask("dev_curated", count("features"))) > 0
    for person in (engineer, scientist):
        assert int(person.ask("dev_validated", count("flights"))) > 0
    assert refused in ml_engineer.ask("dev_validated", count("flights"))
    for zone in ("dev_landing", "dev_quarantine"):
        assert int(engineer.ask(zone, count("flights"))) >= 0
        assert refused in scientist.ask(zone, count("flights"))
    plane = f"SELECT max(tailnum) FROM {WORKLOAD}_flights"  # noqa: S608 - names of our own
    assert engineer.ask("dev_validated", plane).startswith("N")
    assert '"tailnum" not found' in scientist.ask("dev_validated", plane)


def test_people_have_nothing_of_the_buckets(live: Live, demo: Demo) -> None:
    s3 = Person(live, "data_scientist", "data_scientist").client("s3")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=live.outputs.validated_bucket)


def test_an_auditor_sees_tables_and_grants_and_no_row(live: Live, demo: Demo) -> None:
    auditor = Person(live, "auditor", "auditor")
    table = auditor.client("glue").get_table(DatabaseName="dev_validated", Name=f"{WORKLOAD}_flights")["Table"]
    assert "tailnum" in [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
    assert auditor.client("lakeformation").list_permissions()["PrincipalResourcePermissions"]
    with pytest.raises(ClientError, match="athena:StartQueryExecution"):
        auditor.ask("dev_curated", count("features"))


def test_a_role_is_for_those_who_carry_its_tag(live: Live) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        Person(live, "data_engineer", "ml_engineer")
