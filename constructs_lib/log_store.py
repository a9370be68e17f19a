"""Where logs are searched: an OpenSearch domain with Dashboards, and the bucket of what it has refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import CfnResource, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_opensearchservice as opensearch
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.buckets import ZoneBucket
from constructs_lib.grants import acknowledge, arn
from constructs_lib.keys import EncryptionKey
from constructs_lib.names.log_search import access_role_name, domain_name
from constructs_lib.place import ACCOUNT, PARTITION

ENGINE: Final = "OpenSearch_2.19"
_SERVICE: Final = "es.amazonaws.com"
_TLS: Final = "Policy-Min-TLS-1-2-PFS-2023-10"
_BESIDES: Final = ("SEARCH_SLOW_LOGS", "INDEX_SLOW_LOGS", "ES_APPLICATION_LOGS", "AUDIT_LOGS")
"""What the domain writes of itself."""

_INSIDE: Final = {
    "AwsSolutions-OS1": "People open Dashboards in their browsers; who may do what is decided by fine-grained access "
    "control, and every request must be signed or come from the single sign-on",
    "AwsSolutions-OS3": "Addresses say little of people who work from anywhere; requests are signed by roles of this "
    "account, and fine-grained access control decides what each may do",
}
_SIGNED_ON: Final = {
    "AwsSolutions-OS5": "A browser does not sign its requests: people come from the single sign-on, anonymous access "
    "is off, and fine-grained access control refuses whoever is not known to it"
}
_WITHOUT_MASTERS: Final = {
    "AwsSolutions-OS4": "The stage has not asked for dedicated masters: with few nodes these choose among themselves, "
    "and logs stay in CloudWatch whatever happens here"
}


@dataclass(frozen=True)
class SignOn:
    """Names the single sign-on by which people open Dashboards.

    Args:
        entity_id: Of the identity provider.
        metadata: Its metadata, XML.
        roles_key: The attribute that holds names of personas.
    """

    entity_id: str
    metadata: str
    roles_key: str


@dataclass(frozen=True)
class Nodes:
    """Says what the domain runs on.

    Args:
        instance_type: Such as ``r7g.large.search``.
        count: How many there are, in as many zones, at most three.
        volume_gb: Size of the disk of each.
        masters: Type of three dedicated masters. Default: there are none.

    Raises:
        ValueError: There is only one node, or more than the zones can share evenly.
    """

    instance_type: str
    count: int
    volume_gb: int
    masters: str | None = None

    def __post_init__(self) -> None:
        if self.count < 2 or (self.count > 3 and self.count % self.zones):
            raise ValueError(f"nodes must be at least 2, and evenly spread over {self.zones} zones, got: {self.count}")

    @property
    def zones(self) -> int:
        """Availability zones that they are in."""
        return 3 if self.count % 3 == 0 else 2


class LogStore(Construct):
    """Defines the domain, encrypted at rest, between its nodes and on the way, and the bucket of what it refuses.

    Nobody may do anything in it but the role that sets access, whose name is fixed; it is the function's of
    ``LogSearch``. Roles of the account may call the domain; fine-grained access control decides what that brings.

    Args:
        stage: Whose logs they are; the domain is named after it.
        nodes: What it runs on.
        access_logs: Receives the access logs of the bucket.
        backup_days: How long refused documents are kept, in days.
        log_retention_days: How long the domain's own logs are kept, in days.
        sign_on: How people sign on to Dashboards. Default: only signed requests are let in.
        removal_policy: What happens to all of it when the stack goes. Default: it stays.

    Attributes:
        key: Encrypts everything.
        backup: The bucket.
        name: Name of the domain.
        endpoint: Its host name.
        nodes: What it runs on.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        nodes: Nodes,
        access_logs: s3.IBucket,
        backup_days: int,
        log_retention_days: int,
        sign_on: SignOn | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name, self.nodes = domain_name(stage), nodes
        self.key = EncryptionKey(self, "Key", description="Log search", logs=True, removal_policy=removal_policy)
        self.backup = ZoneBucket(
            self,
            "Refused",
            key=self.key,
            access_logs=access_logs,
            expire_after_days=backup_days,
            keep_replaced_days=1,
            removal_policy=removal_policy,
        )
        groups = [
            logs.CfnLogGroup(
                self,
                "".join(word.capitalize() for word in kind.split("_")),
                kms_key_id=self.key.key_arn,
                retention_in_days=log_retention_days,
            )
            for kind in _BESIDES
        ]
        allowed = self._let_write(groups)
        domain = opensearch.CfnDomain(
            self,
            "Domain",
            domain_name=self.name,
            engine_version=ENGINE,
            cluster_config=_cluster(nodes),
            ebs_options=opensearch.CfnDomain.EBSOptionsProperty(
                ebs_enabled=True, volume_type="gp3", volume_size=nodes.volume_gb
            ),
            encryption_at_rest_options=opensearch.CfnDomain.EncryptionAtRestOptionsProperty(
                enabled=True, kms_key_id=self.key.key_id
            ),
            node_to_node_encryption_options=opensearch.CfnDomain.NodeToNodeEncryptionOptionsProperty(enabled=True),
            domain_endpoint_options=opensearch.CfnDomain.DomainEndpointOptionsProperty(
                enforce_https=True, tls_security_policy=_TLS
            ),
            advanced_security_options=_security(stage, sign_on),
            access_policies=_who_calls(self.name, signed=sign_on is None),
            log_publishing_options={
                kind: opensearch.CfnDomain.LogPublishingOptionProperty(
                    enabled=True, cloud_watch_logs_log_group_arn=group.attr_arn
                )
                for kind, group in zip(_BESIDES, groups, strict=True)
            },
            off_peak_window_options=opensearch.CfnDomain.OffPeakWindowOptionsProperty(enabled=True),
            software_update_options=opensearch.CfnDomain.SoftwareUpdateOptionsProperty(
                auto_software_update_enabled=True
            ),
        )
        domain.apply_removal_policy(removal_policy)
        domain.add_resource_dependency(allowed)
        without = _WITHOUT_MASTERS if nodes.masters is None else {}
        acknowledge(domain, {**_INSIDE, **without, **(_SIGNED_ON if sign_on is not None else {})})
        self.endpoint: str = domain.attr_domain_endpoint

    def _let_write(self, groups: Sequence[logs.CfnLogGroup]) -> CfnResource:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": _SERVICE},
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [f"{group.attr_arn}" for group in groups],
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnLike": {"aws:SourceArn": arn("es", f"domain/{self.name}")},
            },
        }
        document = Stack.of(self).to_json_string({"Version": "2012-10-17", "Statement": [statement]})
        return logs.CfnResourcePolicy(self, "WriteOwnLogs", policy_name=self.name, policy_document=document)


def _cluster(nodes: Nodes) -> opensearch.CfnDomain.ClusterConfigProperty:
    masters = nodes.masters is not None
    return opensearch.CfnDomain.ClusterConfigProperty(
        instance_type=nodes.instance_type,
        instance_count=nodes.count,
        zone_awareness_enabled=True,
        zone_awareness_config=opensearch.CfnDomain.ZoneAwarenessConfigProperty(availability_zone_count=nodes.zones),
        dedicated_master_enabled=masters,
        dedicated_master_count=3 if masters else None,
        dedicated_master_type=nodes.masters,
        multi_az_with_standby_enabled=False,
    )


def _security(stage: str, sign_on: SignOn | None) -> opensearch.CfnDomain.AdvancedSecurityOptionsInputProperty:
    options = opensearch.CfnDomain
    master = f"arn:{PARTITION}:iam::{ACCOUNT}:role/{access_role_name(stage)}"
    return options.AdvancedSecurityOptionsInputProperty(
        enabled=True,
        internal_user_database_enabled=False,
        anonymous_auth_enabled=False,
        master_user_options=options.MasterUserOptionsProperty(master_user_arn=master),
        saml_options=None
        if sign_on is None
        else options.SAMLOptionsProperty(
            enabled=True,
            idp=options.IdpProperty(entity_id=sign_on.entity_id, metadata_content=sign_on.metadata),
            roles_key=sign_on.roles_key,
            session_timeout_minutes=60,
        ),
    )


def _who_calls(name: str, *, signed: bool) -> dict[str, object]:
    """Signed requests come from roles of the account, whose own policies let them; a browser's are not signed."""
    own = f"arn:{PARTITION}:iam::{ACCOUNT}:root"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": own if signed else "*"},
                "Action": "es:ESHttp*",
                "Resource": arn("es", f"domain/{name}/*"),
            }
        ],
    }
