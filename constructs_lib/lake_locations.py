"""Places that Lake Formation hands out data from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_kms as kms
from aws_cdk import aws_lakeformation as lakeformation
from constructs import Construct

from constructs_lib.grants import ServiceRole, grant
from constructs_lib.keys import WRITE_ACTIONS
from constructs_lib.names.naming import INDEX


class LakeLocations(Construct):
    """Defines that Lake Formation stands between people and the objects of some buckets.

    It reads and writes for those whom it lets, with a role of its own that reaches the prefixes of the given workloads
    and nothing else. Of datasets it reads the indexes.

    Args:
        bucket_arns: Name of a place, such as ``landing``, to the ARN of its bucket.
        datasets_arn: ARN of the bucket of datasets.
        key: Encrypts the objects.
        workloads: Whose prefixes there are.

    Attributes:
        role: The role that Lake Formation takes.
        locations: Name of a place to its registration.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket_arns: Mapping[str, str],
        datasets_arn: str,
        key: kms.IKey,
        workloads: Sequence[str],
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = ServiceRole(
            self, "Role", service="lakeformation.amazonaws.com", description="Hands out data of the lake"
        )
        grant(self.role, WRITE_ACTIONS, key.key_arn)
        for arn in bucket_arns.values():
            self._grant_prefixes(arn, workloads)
        self._grant_indexes(datasets_arn, workloads)
        self.locations: dict[str, lakeformation.CfnResource] = {}
        for place, arn in {**bucket_arns, "datasets": datasets_arn}.items():
            location = lakeformation.CfnResource(
                self,
                place.capitalize(),
                resource_arn=arn,
                role_arn=self.role.role_arn,
                use_service_linked_role=False,
            )
            self.role.come_before(location)
            self.locations[place] = location

    def _grant_prefixes(self, bucket_arn: str, workloads: Sequence[str]) -> None:
        for workload in workloads:
            grant(self.role, ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"{bucket_arn}/{workload}/*")
        self._grant_listing(bucket_arn, [prefix for each in workloads for prefix in (f"{each}/*", each)])

    def _grant_indexes(self, bucket_arn: str, workloads: Sequence[str]) -> None:
        for workload in workloads:
            grant(self.role, ["s3:GetObject"], f"{bucket_arn}/{workload}/{INDEX}/*")
        self._grant_listing(bucket_arn, [f"{each}/{INDEX}/*" for each in workloads])

    def _grant_listing(self, bucket_arn: str, prefixes: Sequence[str]) -> None:
        grant(
            self.role,
            ["s3:ListBucket", "s3:GetBucketLocation"],
            bucket_arn,
            conditions={"StringLikeIfExists": {"s3:prefix": list(prefixes)}} if prefixes else None,
        )
