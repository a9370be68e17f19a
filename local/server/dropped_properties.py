"""Properties that ministack's provisioners leave out, applied through the services' own operations."""

from __future__ import annotations

from typing import Any

from local.server.host import Host

Document = dict[str, Any]


def register(host: Host) -> None:
    """Apply what is left out of topics and tables; buckets have a module of their own."""
    host.extend_resource_type("AWS::SNS::Topic", lambda arn, props: apply_to_topic(host.client("sns"), arn, props))
    host.extend_resource_type(
        "AWS::DynamoDB::Table", lambda name, props: apply_to_table(host.client("dynamodb"), name, props)
    )


def apply_to_topic(sns: Any, topic_arn: str, props: Document) -> None:
    """The KMS key of a topic."""
    key = props.get("KmsMasterKeyId", "")
    sns.set_topic_attributes(TopicArn=topic_arn, AttributeName="KmsMasterKeyId", AttributeValue=key)


def apply_to_table(dynamodb: Any, table: str, props: Document) -> None:
    """Encryption, point-in-time recovery and expiry of a table."""
    encryption = props.get("SSESpecification")
    if encryption is not None:
        dynamodb.update_table(TableName=table, SSESpecification=_encryption(encryption))
    recovery = props.get("PointInTimeRecoverySpecification", {})
    dynamodb.update_continuous_backups(
        TableName=table,
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": _flag(recovery.get("PointInTimeRecoveryEnabled", False))
        },
    )
    _apply_expiry(dynamodb, table, props.get("TimeToLiveSpecification"))


def _encryption(given: Document) -> Document:
    wanted: Document = {"Enabled": _flag(given["SSEEnabled"])}
    if "KMSMasterKeyId" in given:
        wanted |= {"SSEType": given.get("SSEType", "KMS"), "KMSMasterKeyId": given["KMSMasterKeyId"]}
    return wanted


def _apply_expiry(dynamodb: Any, table: str, wanted: Document | None) -> None:
    found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    enabled = found["TimeToLiveStatus"] == "ENABLED"
    if wanted is None:
        if enabled:
            _set_expiry(dynamodb, table, found["AttributeName"], False)
        return
    if not enabled or found["AttributeName"] != wanted["AttributeName"]:
        _set_expiry(dynamodb, table, wanted["AttributeName"], _flag(wanted.get("Enabled", True)))


def _set_expiry(dynamodb: Any, table: str, attribute: str, enabled: bool) -> None:
    dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"AttributeName": attribute, "Enabled": enabled}
    )


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"
