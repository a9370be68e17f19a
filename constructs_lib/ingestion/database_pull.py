"""A table of a database is pulled on a schedule."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_glue as glue
from constructs import Construct

from constructs_lib.grants import acknowledge, arn, grant
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake
from constructs_lib.names.ingestion_file import Database
from constructs_lib.names.landing import pull_item
from constructs_lib.names.naming import runtime_name
from constructs_lib.names.pull_spec import secret_name
from constructs_lib.network import Network
from constructs_lib.place import ACCOUNT
from constructs_lib.spark_job import Capacity, SparkJob

_SECONDS = 60
_MINUTES = 60


class DatabasePull(Construct):
    """Defines a Glue job that fetches the new rows of a table, by JDBC from inside the stage's network.

    The job's network interfaces are in the first private subnet, in a security group of their own that lets out HTTPS
    and the database's port; the database's own group has to let that group in. The network needs a way to S3, DynamoDB,
    Secrets Manager, Glue and CloudWatch: its interface endpoints, or NAT.

    Args:
        around: Where it runs.
        network: The stage's network.
        source: The source of the workload; its files are Parquet.
        columns: Its columns, name to type, in order.
        database: What the workload file says.

    Attributes:
        job: The job.
        security_group_id: Of the job.
        intake: The queue with its failures; moving them back starts the job again.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        network: Network,
        source: str,
        columns: Mapping[str, str],
        database: Database,
    ) -> None:
        super().__init__(scope, construct_id)
        self._around, self._source, self._database = around, source, database
        self._secret = secret_name(around.stage, around.workload, database.secret)
        self._name = runtime_name(around.stage, around.workload, "pull", source.replace("_", "-"))
        self.security_group_id = self._security_group(network)
        connection = self._connection(network)
        self.job = self._job(columns, connection)
        self._grant_network(network)
        self.intake = self._starter()

    def _security_group(self, network: Network) -> str:
        rule = ec2.CfnSecurityGroup.EgressProperty
        ports = {443: "HTTPS", self._database.port: "The database"}
        group = ec2.CfnSecurityGroup(
            self,
            "SecurityGroup",
            group_description=f"Pulls {self._source}: out to HTTPS and the database, in from its own workers",
            vpc_id=network.vpc.vpc_id,
            security_group_egress=[
                rule(ip_protocol="tcp", from_port=port, to_port=port, cidr_ip="0.0.0.0/0", description=what)
                for port, what in ports.items()
            ],
        )
        group_id: str = group.attr_group_id
        # Glue wants its workers to reach one another on every port.
        ec2.CfnSecurityGroupIngress(
            self,
            "FromWorkers",
            group_id=group_id,
            source_security_group_id=group_id,
            ip_protocol="tcp",
            from_port=0,
            to_port=65535,
            description="The job's own workers",
        )
        ec2.CfnSecurityGroupEgress(
            self,
            "ToWorkers",
            group_id=group_id,
            destination_security_group_id=group_id,
            ip_protocol="tcp",
            from_port=0,
            to_port=65535,
            description="The job's own workers",
        )
        return group_id

    def _connection(self, network: Network) -> glue.CfnConnection:
        connection = glue.CfnConnection
        return connection(
            self,
            "Connection",
            catalog_id=ACCOUNT,
            connection_input=connection.ConnectionInputProperty(
                name=self._name,
                description=f"Database of {self._source} of {self._around.workload}",
                connection_type="JDBC",
                connection_properties={
                    "JDBC_CONNECTION_URL": self._database.url,
                    "SECRET_ID": self._secret,
                    "JDBC_ENFORCE_SSL": "true",
                },
                physical_connection_requirements=connection.PhysicalConnectionRequirementsProperty(
                    availability_zone=network.subnets[0].availability_zone,
                    subnet_id=network.subnet_ids[0],
                    security_group_id_list=[self.security_group_id],
                ),
            ),
        )

    def _job(self, columns: Mapping[str, str], connection: glue.CfnConnection) -> SparkJob:
        around, lake, database = self._around, self._around.lake, self._database
        folders = {
            f"{name}_uri": f"{getattr(around.folders, name)}{self._source}/" for name in ("pulled", "incoming", "files")
        }
        job = SparkJob(
            self,
            "Job",
            name=self._name,
            script="pull_database.py",
            description=f"Pulls {self._source} of {around.workload} from its database",
            security_configuration=lake.security_configuration_name,
            key=lake.key,
            alarms=around.alarms,
            capacity=Capacity(timeout_minutes=_MINUTES, concurrent_runs=1),
            connection=self._name,
            arguments={
                "url": database.url,
                "secret": self._secret,
                "table": database.table,
                "key": database.key,
                "columns": json.dumps(dict(columns), separators=(",", ":")),
                "item": pull_item(around.workload, self._source),
                "state_table": lake.runs_table.table_name,
                **{name: f"s3://{lake.landing.bucket_name}/{folder}" for name, folder in folders.items()},
            },
        )
        job.come_after([connection])
        lake.grant_spark(job, "landing", folders["pulled_uri"])
        lake.grant_write(job, "landing", folders["incoming_uri"])
        lake.grant_read(job, "landing", folders["files_uri"])
        lake.grant_table(job, lake.runs_table, "dynamodb:GetItem", "dynamodb:PutItem")
        # Secrets Manager puts six characters of its own after the name.
        grant(job, ["secretsmanager:GetSecretValue"], arn("secretsmanager", f"secret:{self._secret}-*"))
        grant(job, ["glue:GetConnection"], arn("glue", "catalog"), arn("glue", f"connection/{self._name}"))
        return job

    def _grant_network(self, network: Network) -> None:
        interfaces = arn("ec2", "network-interface/*")
        grant(
            self.job,
            ["ec2:CreateNetworkInterface"],
            interfaces,
            arn("ec2", f"security-group/{self.security_group_id}"),
            arn("ec2", f"subnet/{network.subnet_ids[0]}"),
        )
        grant(self.job, ["ec2:DeleteNetworkInterface"], interfaces)
        grant(
            self.job,
            ["ec2:CreateTags", "ec2:DeleteTags"],
            interfaces,
            conditions={"ForAllValues:StringEquals": {"aws:TagKeys": ["aws-glue-service-resource"]}},
        )
        grant(
            self.job,
            [
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcAttribute",
                "ec2:DescribeVpcEndpoints",
            ],
            "*",
        )
        acknowledge(
            self.job.role,
            {"AwsSolutions-IAM5[Resource::*]": "Metrics and EC2's descriptions know no resources in IAM"},
        )

    def _starter(self) -> EventIntake:
        around = self._around
        function = around.function(
            self,
            "Starter",
            folder="start_pull",
            description=f"Starts the job that pulls {self._source} of {around.workload}",
            timeout_seconds=_SECONDS,
            environment={"JOB_NAME": self._name},
            memory_mb=256,
        )
        self.job.grant_run(function)
        return EventIntake(
            self,
            "Intake",
            patterns={},
            schedules={"Schedule": self._database.every},
            failures={
                "RunFailed": {
                    "source": ["aws.glue"],
                    "detail-type": ["Glue Job State Change"],
                    "detail": {"jobName": [self._name], "state": ["FAILED", "TIMEOUT", "ERROR"]},
                }
            },
            starter=function,
            starter_timeout_seconds=_SECONDS,
            batch_size=1,
            waiting_minutes=60,
            lost=f"what is new of {self._source} was not pulled",
            alarms=around.alarms,
        )
