"""Bucket properties that ministack's provisioner drops: encryption, lifecycle, access logs, tags, ownership."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local.server.host import Host
from local.server.s3 import MANAGED_KEY

Document = dict[str, Any]

_APPLIED_BY_MINISTACK = frozenset(
    {
        "BucketName",
        "CorsConfiguration",
        "NotificationConfiguration",
        "PublicAccessBlockConfiguration",
        "VersioningConfiguration",
        "WebsiteConfiguration",
    }
)


def register(host: Host) -> None:
    """Apply the properties through S3's own operations, after ministack has made the bucket."""
    host.extend_resource_type("AWS::S3::Bucket", lambda bucket, props: apply(host.client("s3"), bucket, props))


def apply(s3: Any, bucket: str, props: Document) -> None:
    """Set what the template says and reset what it leaves out.

    Raises:
        ValueError: The template has a property that nobody applies.
    """
    unknown = sorted(set(props) - _APPLIED_BY_MINISTACK - set(_SETTERS))
    if unknown:
        raise ValueError(f"the local server does not apply {', '.join(unknown)} of AWS::S3::Bucket")
    for name, (put, delete) in _SETTERS.items():
        if name in props:
            put(s3, bucket, props[name])
        else:
            delete(s3, bucket)


def _put_encryption(s3: Any, bucket: str, value: Document) -> None:
    rules = []
    for given in value["ServerSideEncryptionConfiguration"]:
        default = dict(given.get("ServerSideEncryptionByDefault", {}))
        if default.get("SSEAlgorithm") == "aws:kms":
            default.setdefault("KMSMasterKeyID", MANAGED_KEY)
        rule: Document = {"ApplyServerSideEncryptionByDefault": default}
        if "BucketKeyEnabled" in given:
            rule["BucketKeyEnabled"] = _flag(given["BucketKeyEnabled"])
        rules.append(rule)
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _put_lifecycle(s3: Any, bucket: str, value: Document) -> None:
    rules = [_lifecycle_rule(number, rule) for number, rule in enumerate(value["Rules"])]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _lifecycle_rule(number: int, given: Document) -> Document:
    parts: Mapping[str, Callable[[Any], Document]] = {
        "Id": lambda value: {"ID": value},
        "Status": lambda value: {"Status": value},
        "Prefix": lambda value: {"Filter": {"Prefix": value}},
        "TagFilters": lambda value: {"Filter": {"And": {"Prefix": "", "Tags": value}}},
        "ExpirationInDays": lambda value: {"Expiration": {"Days": int(value)}},
        "ExpiredObjectDeleteMarker": lambda value: {"Expiration": {"ExpiredObjectDeleteMarker": _flag(value)}},
        "NoncurrentVersionExpiration": lambda value: {"NoncurrentVersionExpiration": _numbers(value)},
        "AbortIncompleteMultipartUpload": lambda value: {"AbortIncompleteMultipartUpload": _numbers(value)},
        "Transitions": lambda value: {"Transitions": [_transition(item, "Days") for item in value]},
        "NoncurrentVersionTransitions": lambda value: {
            "NoncurrentVersionTransitions": [_transition(item, "NoncurrentDays") for item in value]
        },
    }
    unknown = sorted(set(given) - set(parts))
    if unknown:
        raise ValueError(f"the local server does not apply {', '.join(unknown)} of a lifecycle rule")
    rule: Document = {"ID": f"rule-{number}", "Filter": {"Prefix": ""}}
    for name, value in given.items():
        rule |= parts[name](value)
    return rule


def _transition(given: Document, days: str) -> Document:
    return {days: int(given["TransitionInDays"]), "StorageClass": given["StorageClass"]}


def _put_logging(s3: Any, bucket: str, value: Document) -> None:
    target = {
        "TargetBucket": value.get("DestinationBucketName", bucket),
        "TargetPrefix": value.get("LogFilePrefix", ""),
    }
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": target})


def _put_tags(s3: Any, bucket: str, value: list[Document]) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": value})


def _put_ownership(s3: Any, bucket: str, value: Document) -> None:
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": value["Rules"]})


def _check_acl(_s3: Any, _bucket: str, value: str) -> None:
    if value not in ("Private", "LogDeliveryWrite"):
        raise ValueError(f"the local server does not apply the canned ACL {value}: buckets here are private")


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"


def _numbers(value: Document) -> Document:
    return {key: int(item) for key, item in value.items()}


_SETTERS: Mapping[str, tuple[Callable[[Any, str, Any], None], Callable[[Any, str], None]]] = {
    "BucketEncryption": (_put_encryption, lambda s3, bucket: s3.delete_bucket_encryption(Bucket=bucket)),
    "LifecycleConfiguration": (_put_lifecycle, lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket)),
    "LoggingConfiguration": (
        _put_logging,
        lambda s3, bucket: s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={}),
    ),
    "AccessControl": (_check_acl, lambda _s3, _bucket: None),
    "Tags": (_put_tags, lambda s3, bucket: s3.delete_bucket_tagging(Bucket=bucket)),
    "OwnershipControls": (_put_ownership, lambda s3, bucket: s3.delete_bucket_ownership_controls(Bucket=bucket)),
}
