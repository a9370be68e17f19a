"""Whom to wake: one encrypted topic that alarms and pipelines publish to."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from constructs_lib.place import ACCOUNT

ALARMS = "cloudwatch.amazonaws.com"
"""The service whose alarms publish."""


class OnCallTopic(sns.Topic):
    """Defines the topic that failures are told to; services of AWS may publish on behalf of the account.

    Args:
        key: Encrypts the messages; its policy must let the publishers use it.
        email: Gets every message, after confirming once. Default: subscriptions are made by hand.
        publishers: The services. Default: CloudWatch alone, for its alarms.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        email: str | None = None,
        publishers: Sequence[str] = (ALARMS,),
    ) -> None:
        super().__init__(scope, construct_id, master_key=key, enforce_ssl=True)
        self._key_arn: str = key.key_arn
        self._topic_arn: str = self.topic_arn
        for service in publishers:
            self.add_to_resource_policy(
                iam.PolicyStatement(
                    sid="Alarms" if service == ALARMS else service.partition(".")[0].capitalize(),
                    principals=[iam.ServicePrincipal(service)],
                    actions=["sns:Publish"],
                    resources=[self._topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": ACCOUNT}},
                )
            )
        if email is not None:
            sns.CfnSubscription(self, "Email", topic_arn=self._topic_arn, protocol="email", endpoint=email)

    def grant_publish(self, grantee: iam.IGrantable) -> iam.Grant:
        """Lets somebody publish messages, and nothing else; without the wildcards of the inherited grant."""
        principal = grantee if isinstance(grantee, iam.Role) else grantee.grant_principal
        iam.Grant.add_to_principal(
            grantee=principal, actions=["kms:Decrypt", "kms:GenerateDataKey"], resource_arns=[self._key_arn]
        )
        return iam.Grant.add_to_principal(grantee=principal, actions=["sns:Publish"], resource_arns=[self._topic_arn])
