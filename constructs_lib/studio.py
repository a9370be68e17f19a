"""Where people work on models together: a SageMaker Studio domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Fn
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from constructs_lib.experiment_tracking import ExperimentTracking
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant
from constructs_lib.names.naming import check_stage, runtime_prefix
from constructs_lib.network import Network
from constructs_lib.place import REGION, URL_SUFFIX
from constructs_lib.sagemaker_jobs import SERVICE

IDLE_MINUTES: Final = (60, 525_600)
"""The shortest and the longest time after which Studio can stop what nobody uses, in minutes."""

INSTANCE_TYPE: Final = "ml.t3.medium"
VOLUME_GB: Final = 20

_APP = "jupyterlab"
_LOOK = (
    "sagemaker:ListApps",
    "sagemaker:ListDomains",
    "sagemaker:ListFeatureGroups",
    "sagemaker:ListModelPackageGroups",
    "sagemaker:ListSpaces",
    "sagemaker:ListUserProfiles",
)
_DESCRIBE = (
    "sagemaker:DescribeFeatureGroup",
    "sagemaker:DescribeModelPackage",
    "sagemaker:DescribeModelPackageGroup",
    "sagemaker:ListModelPackages",
)
_NO_RESOURCES = {
    "AwsSolutions-IAM5[Resource::*]": "Lists of SageMaker know no resources; what is in them is described by name only"
}


@dataclass(frozen=True)
class Repository:
    """The git repository that every JupyterLab of a domain offers to clone.

    Args:
        url: ``https://…``; CodeCommit's or another.
        branch: The branch. Default: the repository's own.
        secret_arn: Where user name and token are kept, in Secrets Manager. Default: none is needed.
    """

    url: str
    branch: str | None = None
    secret_arn: str | None = None


class Studio(Construct):
    """Defines a Studio domain without a way to the internet, a profile per persona and a shared space per workload.

    A profile acts with the role of its persona, so in a notebook Lake Formation shows the same rows as in a query.
    Beside that the role may open the shared spaces, and look at the workloads' feature groups and models. The domain
    has no home file system: spaces live on volumes of their own, which go with them, so no EFS stays behind.

    Args:
        stage: What names start with.
        network: Where notebooks run; its subnets must reach SageMaker's own APIs.
        key: Encrypts volumes.
        personas: Persona to the ARN of the role that its profile acts with.
        own_roles: Personas whose role is the platform's own and so gets the permissions; a given role does not.
        workloads: Each gets a shared space.
        idle_minutes: After how many minutes without work an application is stopped.
        repository: What notebooks are cloned from. Default: nothing is offered.
        tracking: Where notebooks log experiments. Default: nowhere.

    Attributes:
        domain_id: Of the domain.
        profile_names: Persona to the name of its profile.
        space_names: Workload to the name of its space.

    Raises:
        ValueError: The idle time is out of range.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        network: Network,
        key: kms.IKey,
        personas: Mapping[str, str],
        own_roles: Sequence[str],
        workloads: Sequence[str],
        idle_minutes: int = 60,
        repository: Repository | None = None,
        tracking: ExperimentTracking | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        shortest, longest = IDLE_MINUTES
        if not shortest <= idle_minutes <= longest:
            raise ValueError(f"idle_minutes must be between {shortest} and {longest}, got: {idle_minutes}")
        self._stage, self._key, self._idle_minutes = check_stage(stage), key, idle_minutes
        self._repository, self._tracking = repository, tracking
        role = ServiceRole(self, "Role", service=SERVICE, description=f"Studio of {stage}, for whoever has no profile")
        grant(role, ["sagemaker:ListDomains"], "*")
        acknowledge(role, _NO_RESOURCES)
        self.domain_id = self._domain(network, role)
        self.profile_names = {persona: self._profile(persona, each) for persona, each in personas.items()}
        self.space_names = {workload: self._space(workload) for workload in workloads}
        for persona in own_roles:
            self._let_work(persona, personas[persona], workloads)

    def _domain(self, network: Network, role: ServiceRole) -> str:
        domain = sagemaker.CfnDomain
        made = domain(
            self,
            "Domain",
            domain_name=f"{self._stage}-studio",
            auth_mode="IAM",
            app_network_access_type="VpcOnly",
            vpc_id=network.vpc_id,
            subnet_ids=list(network.subnet_ids),
            kms_key_id=self._key.key_arn,
            home_efs_file_system_creation="Disabled",
            tag_propagation="ENABLED",
            default_user_settings=domain.UserSettingsProperty(
                execution_role=role.role_arn,
                security_groups=[network.security_group_id],
                studio_web_portal="ENABLED",
                default_landing_uri="studio::",
                auto_mount_home_efs="Disabled",
                jupyter_lab_app_settings=self._jupyter_lab(),
            ),
            default_space_settings=domain.DefaultSpaceSettingsProperty(
                execution_role=role.role_arn,
                security_groups=[network.security_group_id],
                jupyter_lab_app_settings=self._jupyter_lab(),
            ),
        )
        role.come_before(made)
        if self._repository is not None:
            self._associate(self._repository)
        return str(made.attr_domain_id)

    def _jupyter_lab(self) -> sagemaker.CfnDomain.JupyterLabAppSettingsProperty:
        domain = sagemaker.CfnDomain
        shortest, longest = IDLE_MINUTES
        return domain.JupyterLabAppSettingsProperty(
            app_lifecycle_management=domain.AppLifecycleManagementProperty(
                idle_settings=domain.IdleSettingsProperty(
                    lifecycle_management="ENABLED",
                    idle_timeout_in_minutes=self._idle_minutes,
                    min_idle_timeout_in_minutes=shortest,
                    max_idle_timeout_in_minutes=longest,
                )
            ),
            default_resource_spec=domain.ResourceSpecProperty(instance_type=INSTANCE_TYPE),
            code_repositories=[domain.CodeRepositoryProperty(repository_url=self._repository.url)]
            if self._repository is not None
            else None,
        )

    def _associate(self, repository: Repository) -> None:
        sagemaker.CfnCodeRepository(
            self,
            "Repository",
            code_repository_name=f"{self._stage}-models",
            git_config=sagemaker.CfnCodeRepository.GitConfigProperty(
                repository_url=repository.url, branch=repository.branch, secret_arn=repository.secret_arn
            ),
        )

    def _profile(self, persona: str, role_arn: str) -> str:
        name = persona.replace("_", "-")
        sagemaker.CfnUserProfile(
            self,
            f"{_pascal(persona)}Profile",
            domain_id=self.domain_id,
            user_profile_name=name,
            user_settings=sagemaker.CfnUserProfile.UserSettingsProperty(execution_role=role_arn),
        )
        return name

    def _space(self, workload: str) -> str:
        name = runtime_prefix(self._stage, workload).rstrip("-")
        space = sagemaker.CfnSpace
        space(
            self,
            f"{_pascal(workload)}Space",
            domain_id=self.domain_id,
            space_name=name,
            space_display_name=name,
            ownership_settings=space.OwnershipSettingsProperty(
                owner_user_profile_name=next(iter(self.profile_names.values()))
            ),
            space_sharing_settings=space.SpaceSharingSettingsProperty(sharing_type="Shared"),
            space_settings=space.SpaceSettingsProperty(
                app_type="JupyterLab",
                space_storage_settings=space.SpaceStorageSettingsProperty(
                    ebs_storage_settings=space.EbsStorageSettingsProperty(ebs_volume_size_in_gb=VOLUME_GB)
                ),
            ),
        ).node.add_dependency(*(self.node.find_child(f"{_pascal(persona)}Profile") for persona in self.profile_names))
        return name

    def _let_work(self, persona: str, role_arn: str, workloads: Sequence[str]) -> None:
        """Gives a role of the platform's own what work in Studio takes."""
        domain, spaces = self.domain_id, list(self.space_names.values())
        kinds = ("feature-group", "model-package", "model-package-group")
        models = [
            arn("sagemaker", f"{kind}/{runtime_prefix(self._stage, workload)}*")
            for workload in workloads
            for kind in kinds
        ]
        via_sagemaker = {"StringEquals": {"kms:ViaService": f"sagemaker.{REGION}.{URL_SUFFIX}"}}
        permissions: list[tuple[Sequence[str], Sequence[str], Mapping[str, object] | None]] = [
            (["sagemaker:DescribeDomain"], [arn("sagemaker", f"domain/{domain}")], None),
            (
                ["sagemaker:CreatePresignedDomainUrl", "sagemaker:DescribeUserProfile"],
                [arn("sagemaker", f"user-profile/{domain}/{self.profile_names[persona]}")],
                None,
            ),
            (
                ["sagemaker:DescribeSpace", "sagemaker:UpdateSpace"],
                [arn("sagemaker", f"space/{domain}/{name}") for name in spaces],
                None,
            ),
            (
                ["sagemaker:CreateApp", "sagemaker:DeleteApp", "sagemaker:DescribeApp"],
                [arn("sagemaker", f"app/{domain}/{name}/{_APP}/default") for name in spaces],
                None,
            ),
            (_LOOK, ["*"], None),
            (_DESCRIBE, models, None),
            *([(self._tracking.work_actions, [self._tracking.arn], None)] if self._tracking is not None else []),
            (["kms:CreateGrant", "kms:DescribeKey"], [self._key.key_arn], via_sagemaker),
        ]
        policy = iam.CfnManagedPolicy(
            self,
            f"{_pascal(persona)}Policy",
            description=f"Work in Studio of {self._stage} as {persona}",
            roles=[Fn.select(1, Fn.split(":role/", role_arn))],
            policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": list(actions),
                        "Resource": list(resources),
                        **({"Condition": condition} if condition is not None else {}),
                    }
                    for actions, resources, condition in permissions
                    if resources
                ],
            },
        )
        acknowledge(policy, _NO_RESOURCES)


def _pascal(name: str) -> str:
    return name.title().replace("_", "")
