from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from constructs_lib.alarms import FailureAlarms, Metric
from constructs_lib.landing_crawler import LandingCrawler


def any_crawler(stack: Stack) -> LandingCrawler:
    return LandingCrawler(
        stack,
        "Crawler",
        name="dev-landing",
        database="dev_landing",
        table_prefix="flight_delays_",
        location="s3://landing/flight_delays/",
        security_configuration="dev-lake",
        key=kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:000000000000:key/lake"),
        failures=Metric("Gapless", "CrawlFailed", {"Workload": "flight_delays"}),
        alarms=FailureAlarms(sns.Topic(stack, "Topic")),
    )


def test_crawls_what_is_new_and_leaves_the_descriptions_of_batches_out(stack: Stack) -> None:
    any_crawler(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Glue::Crawler",
        {
            "DatabaseName": "dev_landing",
            "TablePrefix": "flight_delays_",
            "Targets": {
                "S3Targets": [
                    {
                        "Path": "s3://landing/flight_delays/",
                        "Exclusions": ["**/_batch.json", "incoming/**", "pulled/**", "failed/**"],
                    }
                ]
            },
            "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
            "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
            "CrawlerSecurityConfiguration": "dev-lake",
        },
    )


def test_tells_somebody_when_a_crawl_was_counted_as_failed(stack: Stack) -> None:
    any_crawler(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"Namespace": "Gapless", "MetricName": "CrawlFailed"}
    )
