"""A crawler that describes what landed."""

from __future__ import annotations

import json
from collections.abc import Iterable

import jsii
from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import GLUE_ENCRYPTION, ServiceRole, acknowledge, arn, grant

_NOT_CRAWLED = ["**/_batch.json", "incoming/**", "pulled/**", "failed/**"]
"""What says which files there are, and files on their way, relative to the location."""


@jsii.implements(iam.IGrantable)
class LandingCrawler(Construct):
    """Defines a crawler that keeps catalogue tables of raw files, for people who look at what was delivered.

    Pipelines do not depend on it. Crawlers publish no metric: whoever starts it counts the crawls that failed.

    Args:
        name: Physical name.
        database: Catalogue database for the tables.
        table_prefix: What the tables' names start with.
        location: The folder to crawl, ``s3://bucket/prefix/``.
        security_configuration: Name of the Glue security configuration that encrypts the log.
        key: The key of that configuration.
        failures: The metric that counts failed crawls.
        alarms: Whom to tell when a crawl failed, or why nobody is told.

    Attributes:
        name: Physical name.
        role: The crawler's role; it needs to read the location and to write tables.
        alarms: The alarm, or nothing.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        database: str,
        table_prefix: str,
        location: str,
        security_configuration: str,
        key: kms.IKey,
        failures: Metric,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        self.role = ServiceRole(self, "Role", service="glue.amazonaws.com", description=f"Crawler {name}")
        grant(
            self.role,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:AssociateKmsKey"],
            arn("logs", "log-group:/aws-glue/crawlers*"),
        )
        grant(self.role, ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"], key.key_arn)
        crawler = glue.CfnCrawler(
            self,
            "Crawler",
            name=name,
            role=self.role.role_arn,
            database_name=database,
            table_prefix=table_prefix,
            targets=glue.CfnCrawler.TargetsProperty(
                s3_targets=[glue.CfnCrawler.S3TargetProperty(path=location, exclusions=_NOT_CRAWLED, sample_size=10)]
            ),
            recrawl_policy=glue.CfnCrawler.RecrawlPolicyProperty(recrawl_behavior="CRAWL_NEW_FOLDERS_ONLY"),
            schema_change_policy=glue.CfnCrawler.SchemaChangePolicyProperty(
                update_behavior="LOG", delete_behavior="LOG"
            ),
            configuration=json.dumps(
                {"Version": 1.0, "Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas"}}, sort_keys=True
            ),
            crawler_security_configuration=security_configuration,
        )
        self._crawler = crawler
        self.role.come_before(crawler)
        acknowledge(crawler, GLUE_ENCRYPTION)
        self.alarms: list[cloudwatch.CfnAlarm] = watch(
            self,
            "CrawlFailed",
            alarms=alarms,
            watched=crawler,
            metric=failures,
            description=f"Crawler {name} failed or did not end in time; no pipeline waits for it",
            runbook="Read the crawler's last crawl in Glue and its log under /aws-glue/crawlers",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The crawler's role, so that grants can be given to the crawler."""
        return self.role

    def come_after(self, grants: Iterable[CfnResource]) -> None:
        """Lets the crawler be made when its grants are, so that no crawl starts without them."""
        for each in grants:
            self._crawler.add_resource_dependency(each)

    def grant_crawl(self, grantee: iam.IGrantable) -> None:
        """Lets somebody start the crawler and watch it."""
        grant(grantee, ["glue:StartCrawler", "glue:GetCrawler"], arn("glue", f"crawler/{self.name}"))
