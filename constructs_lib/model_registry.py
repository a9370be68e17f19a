"""The registry of one workload's models."""

from __future__ import annotations

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

    def grant_register(self, grantee: iam.IGrantable) -> None:
        """Lets somebody list, register and approve versions."""
        self.grant_list(grantee)
        grant(
            grantee,
            ["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"],
            self.group_arn,
            self.package_arns,
        )
