import json
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template
from botocore.session import Session
from botocore.validate import ParamValidator

from constructs_lib.alarms import FailureAlarms
from constructs_lib.audit_export import AuditExport
from constructs_lib.audit_queries import AuditQueries
from constructs_lib.audit_trail import AuditTrail
from constructs_lib.cost_watch import PUBLISHERS, CostWatch
from constructs_lib.keys import EncryptionKey
from constructs_lib.on_call import ALARMS, OnCallTopic

TRAIL_ARN = ":trail/gapless-dev"


def any_trail(stack: Stack) -> Template:
    buckets = {name: s3.Bucket.from_bucket_name(stack, name, f"{name}-bucket") for name in ("landing", "artefacts")}
    logs = s3.Bucket.from_bucket_name(stack, "Logs", "logs-bucket")
    AuditTrail(stack, "Audit", name="gapless-dev", watched=buckets, access_logs=logs, retention_days=400)
    return Template.from_stack(stack)


def statements(template: Template, kind: str, document: str) -> list[dict[str, Any]]:
    (resource,) = template.find_resources(kind).values()
    found: list[dict[str, Any]] = resource["Properties"][document]["Statement"]
    return found


def test_every_object_of_the_buckets_is_watched_and_the_trail_is_signed_and_encrypted(stack: Stack) -> None:
    template = any_trail(stack)
    template.has_resource_properties(
        "AWS::CloudTrail::Trail",
        {
            "IsLogging": True,
            "EnableLogFileValidation": True,
            "KMSKeyId": Match.any_value(),
            "AdvancedEventSelectors": [
                {
                    "Name": "Objects",
                    "FieldSelectors": [
                        {"Field": "eventCategory", "Equals": ["Data"]},
                        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
                        {"Field": "resources.ARN", "StartsWith": [Match.any_value(), Match.any_value()]},
                    ],
                }
            ],
        },
    )


def test_only_this_trail_writes_into_the_bucket_and_under_the_key(stack: Stack) -> None:
    template = any_trail(stack)
    of_trail = [
        each
        for kind, document in (("AWS::S3::BucketPolicy", "PolicyDocument"), ("AWS::KMS::Key", "KeyPolicy"))
        for each in statements(template, kind, document)
        if each["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
    ]
    assert {each["Action"] for each in of_trail} == {
        "s3:GetBucketAcl",
        "s3:PutObject",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
    }
    for each in of_trail:
        condition = each["Condition"]["StringEquals"]
        assert condition["aws:SourceArn"]["Fn::Join"][1][-1].endswith(TRAIL_ARN)
        assert condition["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_a_trail_is_kept_for_a_time_and_stays_when_its_stack_goes(stack: Stack) -> None:
    template = any_trail(stack)
    template.has_resource(
        "AWS::S3::Bucket",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {
                "LifecycleConfiguration": {"Rules": [Match.object_like({"ExpirationInDays": 400})]},
                "LoggingConfiguration": Match.object_like({"DestinationBucketName": "logs-bucket"}),
            },
        },
    )


def any_watch(stack: Stack, unusual_usd: float | None) -> Template:
    topic = sns.Topic(stack, "Topic")
    CostWatch(
        stack,
        "Costs",
        name="gapless-dev",
        tag="gapless:stage",
        value="dev",
        monthly_usd=100.0,
        unusual_usd=unusual_usd,
        topic=topic,
    )
    return Template.from_stack(stack)


def test_people_are_told_before_and_when_the_budget_is_spent(stack: Stack) -> None:
    template = any_watch(stack, None)
    (budget,) = template.find_resources("AWS::Budgets::Budget").values()
    properties = budget["Properties"]
    assert properties["Budget"]["CostFilters"] == {"TagKeyValue": ["user:gapless:stage$dev"]}
    assert properties["Budget"]["BudgetLimit"] == {"Amount": 100, "Unit": "USD"}
    told = properties["NotificationsWithSubscribers"]
    assert [(each["Notification"]["NotificationType"], each["Notification"]["Threshold"]) for each in told] == [
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    assert all(each["Subscribers"][0]["SubscriptionType"] == "SNS" for each in told)
    template.resource_count_is("AWS::CE::AnomalyMonitor", 0)


def test_people_are_told_of_unusual_days_of_the_stage_alone(stack: Stack) -> None:
    template = any_watch(stack, 25.0)
    template.has_resource_properties(
        "AWS::CE::AnomalyMonitor",
        {
            "MonitorType": "CUSTOM",
            "MonitorSpecification": Match.serialized_json(
                {"Tags": {"Key": "gapless:stage", "Values": ["dev"], "MatchOptions": ["EQUALS"]}}
            ),
        },
    )
    template.has_resource_properties(
        "AWS::CE::AnomalySubscription",
        {
            "Frequency": "IMMEDIATE",
            "ThresholdExpression": Match.serialized_json(
                {
                    "Dimensions": {
                        "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                        "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
                        "Values": ["25"],
                    }
                }
            ),
        },
    )


def test_whoever_tells_of_costs_may_publish_for_the_own_account(stack: Stack) -> None:
    publishers = (ALARMS, *PUBLISHERS)
    key: kms.IKey = EncryptionKey(stack, "Key", description="Messages", publishers=publishers)
    OnCallTopic(stack, "OnCall", key=key, publishers=publishers)
    allowed = [
        each
        for each in statements(Template.from_stack(stack), "AWS::SNS::TopicPolicy", "PolicyDocument")
        if each["Effect"] == "Allow"
    ]
    assert {each["Principal"]["Service"] for each in allowed} == set(publishers)
    assert all(
        each["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}} for each in allowed
    )


def test_the_trail_has_a_partition_for_each_day_and_the_auditor_alone_reads_it(stack: Stack) -> None:
    buckets = {"landing": s3.Bucket.from_bucket_name(stack, "Landing", "landing-bucket")}
    logs = s3.Bucket.from_bucket_name(stack, "Logs", "logs-bucket")
    trail = AuditTrail(stack, "Audit", name="gapless-dev", watched=buckets, access_logs=logs, retention_days=400)
    queries = AuditQueries(stack, "Queries", stage="dev", trail=trail, retention_days=400)
    queries.grant_ask("auditor", "arn:aws:iam::111122223333:role/auditor", own=True)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Glue::Table",
        {
            "DatabaseName": "dev_audit",
            "TableInput": {
                "Name": "object_events",
                "PartitionKeys": [{"Name": "day", "Type": "string"}],
                "Parameters": Match.object_like(
                    {"projection.day.format": "yyyy/MM/dd", "projection.day.range": "NOW-400DAYS,NOW"}
                ),
            },
        },
    )
    template.has_resource("AWS::Glue::Database", {"DeletionPolicy": "RetainExceptOnCreate"})
    granted = template.find_resources("AWS::LakeFormation::PrincipalPermissions").values()
    assert [each["Properties"]["Permissions"] for each in granted] == [["DESCRIBE"], *[["SELECT", "DESCRIBE"]] * 2]
    names = {each["Properties"]["Name"] for each in template.find_resources("AWS::Athena::NamedQuery").values()}
    assert {f"dev-audit-{name}" for name in ("reads-by-role", "deleted", "decisions")} <= names


def test_the_audit_table_is_exported_every_night_and_somebody_is_told_when_not(stack: Stack) -> None:
    logs = s3.Bucket.from_bucket_name(stack, "Logs", "logs-bucket")
    trail = AuditTrail(stack, "Audit", name="gapless-dev", watched={"logs": logs}, access_logs=logs, retention_days=400)
    key = kms.Key(stack, "Key")
    topic = OnCallTopic(stack, "OnCall", key=EncryptionKey(stack, "Own", description="x", publishers=[ALARMS]))
    decisions = dynamodb.Table.from_table_name(stack, "Decisions", "decisions")
    AuditExport(stack, "Export", trail=trail, decisions=decisions, key=key, alarms=FailureAlarms(topic))
    template = Template.from_stack(stack)
    (schedule,) = template.find_resources("AWS::Scheduler::Schedule").values()
    target = schedule["Properties"]["Target"]
    assert json.dumps(target["Arn"]).endswith(':scheduler:::aws-sdk:dynamodb:exportTableToPointInTime"]]}')
    assert "audit-table" in json.dumps(target["Input"])
    assert target["DeadLetterConfig"]
    request = "".join(each if isinstance(each, str) else "x" for each in target["Input"]["Fn::Join"][1])
    shape = Session().get_service_model("dynamodb").operation_model("ExportTableToPointInTime").input_shape
    assert ParamValidator().validate(json.loads(request), shape).generate_report() == ""
    template.has_resource_properties("AWS::CloudWatch::Alarm", {"AlarmActions": Match.any_value()})
