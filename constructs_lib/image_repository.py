"""Where a workload's own images are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.grants import arn, grant
from constructs_lib.place import ACCOUNT, PARTITION, REGION, URL_SUFFIX

UNTAGGED_DAYS = 14
COPYING = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
"""What it takes to copy an image."""


class ImageRepository(Construct):
    """Defines a repository whose tags never move, which is scanned on every push and encrypted.

    Tagged images stay: a model that serves, or served, names its image by digest. What is left of a push that broke
    off has no tag and goes after two weeks.

    Args:
        name: Physical name of the repository; jobs and models find images by it.
        key: Encrypts the images.
        readers: ARNs of roles of other accounts that may copy images; they need not exist yet. Default: none.
        removal_policy: What happens when the stack goes. Default: the repository stays.

    Attributes:
        name: The name.
        uri: Address of the repository, to which ``:tag`` or ``@digest`` is added.
        arn: ARN of the repository, for policies.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        key: kms.IKey,
        readers: Sequence[str] = (),
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        repository = ecr.CfnRepository(
            self,
            "Repository",
            repository_name=name,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(scan_on_push=True),
            encryption_configuration=ecr.CfnRepository.EncryptionConfigurationProperty(
                encryption_type="KMS", kms_key=key.key_arn
            ),
            lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(lifecycle_policy_text=_lifecycle()),
            empty_on_delete=removal_policy == RemovalPolicy.DESTROY,
        )
        repository.apply_removal_policy(removal_policy)
        if readers:
            repository.repository_policy_text = _policy(readers)
        self.name = name
        self.uri = f"{ACCOUNT}.dkr.ecr.{REGION}.{URL_SUFFIX}/{name}"
        self.arn = arn("ecr", f"repository/{name}")

    def grant_pull(self, grantee: iam.IGrantable) -> None:
        """Lets containers start from the images; the login is another matter."""
        grant(
            grantee,
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            self.arn,
        )

    def grant_look(self, grantee: iam.IGrantable) -> None:
        """Lets somebody look which image has a tag, and name one in a request that SageMaker checks."""
        grant(grantee, ["ecr:BatchGetImage", "ecr:DescribeImages"], self.arn)

    def grant_read_scan(self, grantee: iam.IGrantable) -> None:
        """Lets somebody read what the scans of the images have found."""
        grant(grantee, ["ecr:DescribeImageScanFindings"], self.arn)

    def grant_push(self, grantee: iam.IGrantable) -> None:
        """Lets Docker add images; ECR's login knows no resource."""
        self.grant_look(grantee)
        self.grant_add(grantee)
        grant(grantee, ["ecr:GetAuthorizationToken"], "*")

    def grant_add(self, grantee: iam.IGrantable) -> None:
        """Lets somebody add images by ECR's own operations."""
        grant(
            grantee,
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:CompleteLayerUpload",
                "ecr:InitiateLayerUpload",
                "ecr:PutImage",
                "ecr:UploadLayerPart",
            ],
            self.arn,
        )


def _policy(readers: Sequence[str]) -> dict[str, object]:
    """The readers are named by a condition: a policy cannot name a principal that does not exist."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": f"Reader{number}",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{PARTITION}:iam::{reader.split(':')[4]}:root"},
                "Action": list(COPYING),
                "Condition": {"ArnEquals": {"aws:PrincipalArn": reader}},
            }
            for number, reader in enumerate(readers)
        ],
    }


def _lifecycle() -> str:
    rule = {
        "rulePriority": 1,
        "description": "What is left of pushes that broke off",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": UNTAGGED_DAYS,
        },
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})
