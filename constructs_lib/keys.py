"""Keys: those that encrypt rotate every year, and services may use them only on behalf of their own account; those that
sign keep their private half inside KMS."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.place import ACCOUNT, PARTITION, REGION, URL_SUFFIX

READ_ACTIONS = ("kms:Decrypt", "kms:DescribeKey")
WRITE_ACTIONS = ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey")


class EncryptionKey(kms.Key):
    """Defines a customer-managed key.

    Args:
        description: What the key protects.
        publishers: Service principals that encrypt messages for topics or queues under this key, such as
            ``cloudwatch.amazonaws.com``; each only for resources of this account. Default: none.
        logs: Whether log groups of this account and region may be encrypted with it. Default: they may not.
        removal_policy: What happens when the stack goes. Default: the key stays.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        publishers: Sequence[str] = (),
        logs: bool = False,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        statements = [_own_account()]
        statements += [_publisher(publisher) for publisher in publishers]
        if logs:
            statements.append(_log_groups())
        super().__init__(
            scope,
            construct_id,
            description=description,
            enable_key_rotation=True,
            pending_window=Duration.days(30),
            removal_policy=removal_policy,
            policy=iam.PolicyDocument.from_json({"Version": "2012-10-17", "Statement": statements}),
        )


class SigningKey(kms.Key):
    """Defines a pair of keys that signs and verifies (ECDSA over the curve P-256 with SHA-256).

    The private half never leaves KMS. Such keys do not rotate: what was signed can be verified as long as the key
    exists.

    Args:
        description: What is signed.
        removal_policy: What happens when the stack goes. Default: the key stays.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=description,
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            pending_window=Duration.days(30),
            removal_policy=removal_policy,
            policy=iam.PolicyDocument.from_json({"Version": "2012-10-17", "Statement": [_own_account()]}),
        )


def _own_account() -> dict[str, object]:
    return {
        "Sid": "OwnAccount",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{PARTITION}:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }


def _publisher(service: str) -> dict[str, object]:
    return {
        "Sid": "Publish" + service.split(".")[0].capitalize(),
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }


def _log_groups() -> dict[str, object]:
    groups = f"arn:{PARTITION}:logs:{REGION}:{ACCOUNT}:log-group:*"
    return {
        "Sid": "LogGroups",
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{REGION}.{URL_SUFFIX}"},
        "Action": [
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
            "kms:GenerateDataKey",
            "kms:DescribeKey",
        ],
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
    }
