"""Tables that remember: runs, leases and the audit trail."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct


class RecordTable(dynamodb.Table):
    """Defines a table that is paid by request, encrypted, and can be put back to any second of the last 35 days.

    Args:
        key: Encrypts the items.
        partition_key: Name of the partition key, a string.
        sort_key: Name of the sort key, a string. Default: none.
        expires: Name of the attribute (epoch seconds) after which an item may go. Default: items stay.
        removal_policy: What happens when the stack goes. Default: the table stays and cannot be deleted by hand
            before its protection is switched off.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        partition_key: str,
        sort_key: str | None = None,
        expires: str | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            partition_key=_string(partition_key),
            sort_key=None if sort_key is None else _string(sort_key),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=removal_policy != RemovalPolicy.DESTROY,
            time_to_live_attribute=expires,
            removal_policy=removal_policy,
        )


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
