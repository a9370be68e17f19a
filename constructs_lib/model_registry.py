"""The registry of one workload's models."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from constructs_lib.grants import grant
from constructs_lib.place import ACCOUNT, PARTITION, REGION


class ModelRegistry(Construct):
    """Defines the group that holds all versions of one model, with metrics, lineage and approval status.

    Args:
        name: Physical name of the group; pipelines find it by this name.
        description: What the models predict.
        readers: ARNs of roles of other accounts that may list and read versions; they need not exist yet.
            Default: none.
        removal_policy: What happens when the stack goes. Default: the group stays.

    Attributes:
        group_name: The name.
        group_arn: ARN of the group.
        package_arns: Pattern for the ARNs of its versions, for policies.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        description: str,
        readers: Sequence[str] = (),
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        group = sagemaker.CfnModelPackageGroup(
            self,
            "Group",
            model_package_group_name=name,
            model_package_group_description=description or None,
        )
        group.apply_removal_policy(removal_policy)
        arn = f"arn:{PARTITION}:sagemaker:{REGION}:{ACCOUNT}"
        self.group_name = name
        self.group_arn = f"{arn}:model-package-group/{name}"
        self.package_arns = f"{arn}:model-package/{name}/*"
        if readers:
            group.model_package_group_policy = self._policy(readers)

    def _policy(self, readers: Sequence[str]) -> dict[str, object]:
        """The readers are named by a condition: a policy cannot name a principal that does not exist."""
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": f"Reader{number}",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:{PARTITION}:iam::{reader.split(':')[4]}:root"},
                    "Action": ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
                    "Resource": [self.group_arn, self.package_arns],
                    "Condition": {"ArnEquals": {"aws:PrincipalArn": reader}},
                }
                for number, reader in enumerate(readers)
            ],
        }

    def grant_describe(self, grantee: iam.IGrantable) -> None:
        """Lets somebody read what is registered about a version."""
        grant(grantee, ["sagemaker:DescribeModelPackage"], self.package_arns)

    def grant_list(self, grantee: iam.IGrantable) -> None:
        """Lets somebody find all versions and read what is registered about them."""
        self.grant_describe(grantee)
        grant(grantee, ["sagemaker:ListModelPackages"], self.group_arn, self.package_arns)

    def grant_serve(self, grantee: iam.IGrantable) -> None:
        """Lets somebody make models of versions; SageMaker asks for it on the version as well as on the model."""
        self.grant_describe(grantee)
        grant(grantee, ["sagemaker:CreateModel"], self.package_arns)

    def grant_reject(self, grantee: iam.IGrantable) -> None:
        """Lets somebody take the approval of versions back, and nothing but that."""
        grant(
            grantee,
            ["sagemaker:UpdateModelPackage"],
            self.package_arns,
            conditions={"StringEquals": {"sagemaker:ModelApprovalStatus": "Rejected"}},
        )

    def grant_retire(self, grantee: iam.IGrantable) -> None:
        """Lets somebody list and delete versions."""
        self.grant_list(grantee)
        grant(grantee, ["sagemaker:DeleteModelPackage"], self.package_arns)

    def grant_add(self, grantee: iam.IGrantable) -> None:
        """Lets somebody register versions that wait for approval, and nothing but that."""
        grant(
            grantee,
            ["sagemaker:CreateModelPackage"],
            self.group_arn,
            self.package_arns,
            conditions={"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}},
        )

    def grant_register(self, grantee: iam.IGrantable) -> None:
        """Lets somebody list, register and approve versions."""
        self.grant_list(grantee)
        grant(
            grantee,
            ["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"],
            self.group_arn,
            self.package_arns,
        )
