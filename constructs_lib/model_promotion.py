"""Models go from one stage to the next: whom the one lets in, and how the other takes them over."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import grant
from constructs_lib.image_repository import COPYING, ImageRepository
from constructs_lib.machines.signing import MODELS, READING_SECONDS
from constructs_lib.names.naming import runtime_name
from constructs_lib.place import PARTITION, REGION, URL_SUFFIX
from constructs_lib.python_function import PythonFunction

BUNDLES = "bundles"
"""Where bundles are, below the workload's folder of artefacts."""

PROMOTION_SCHEDULE = "rate(15 minutes)"
IMAGES = "images"
"""What a repository of images is called, behind stage and workload."""

_ROLE = "pull"


@dataclass(frozen=True)
class Receiver:
    """A stage that takes models over.

    Args:
        stage: Its name.
        account: Its account.
    """

    stage: str
    account: str

    def role_arn(self, workload: str) -> str:
        """ARN of the one role that takes over models of a workload; it need not exist yet."""
        return f"arn:{PARTITION}:iam::{self.account}:role/{runtime_name(self.stage, workload, _ROLE)}"

    def principal(self, *workloads: str) -> iam.IPrincipal:
        """Exactly these roles. They are named by a condition: a policy cannot name a principal that does not exist."""
        roles = [self.role_arn(workload) for workload in workloads]
        return iam.PrincipalWithConditions(
            iam.AccountPrincipal(self.account), {"ArnEquals": {"aws:PrincipalArn": roles}}
        )


@dataclass(frozen=True)
class Origin:
    """The stage that models come from, as its outputs say.

    Args:
        stage: Its name.
        account: Its account.
        artefacts_bucket: Name of its bucket of artefacts.
        key_arn: The key that encrypts them.
        signing_key_arn: The key that signs its models: whom this stage trusts.
    """

    stage: str
    account: str
    artefacts_bucket: str
    key_arn: str
    signing_key_arn: str

    def arn(self, kind: str, name: str) -> str:
        """ARN of a part of its registry."""
        return f"arn:{PARTITION}:sagemaker:{REGION}:{self.account}:{kind}/{name}"

    def images_arn(self, workload: str) -> str:
        """ARN of the repository of a workload's own images."""
        return f"arn:{PARTITION}:ecr:{REGION}:{self.account}:repository/{self._images(workload)}"

    def images_uri(self, workload: str) -> str:
        """Address of that repository."""
        return f"{self.account}.dkr.ecr.{REGION}.{URL_SUFFIX}/{self._images(workload)}"

    def _images(self, workload: str) -> str:
        return runtime_name(self.stage, workload, IMAGES)


def let_in(lake: DataLake, receivers: tuple[Receiver, ...], workloads: tuple[str, ...]) -> None:
    """Lets the roles of other stages read sealed models and bundles, decrypt them through S3, and verify signatures.

    Args:
        lake: Where the models are.
        receivers: The stages.
        workloads: Whose models; each role reads those of its own workload.
    """
    for receiver in receivers:
        for workload in workloads:
            lake.artefacts.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[receiver.principal(workload)],
                    actions=["s3:GetObject"],
                    resources=[f"{lake.artefacts.bucket_arn}/{workload}/{folder}/*" for folder in (MODELS, BUNDLES)],
                )
            )
        lake.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[receiver.principal(*workloads)],
                actions=["kms:Decrypt"],
                resources=["*"],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{REGION}.{URL_SUFFIX}"}},
            )
        )
        lake.signing_key.add_to_resource_policy(
            iam.PolicyStatement(principals=[receiver.principal(*workloads)], actions=["kms:Verify"], resources=["*"])
        )


class ModelPull(Construct):
    """Defines the function that takes over models of another stage, under a role whose name that stage knows.

    Args:
        stage: This stage.
        workload: Whose models they are.
        origin: Where they come from.
        lake: Where they go; its key signs them anew.
        images: Where images of the workload's own go. Default: it has none.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.

    Attributes:
        function: The function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        origin: Origin,
        lake: DataLake,
        images: ImageRepository | None = None,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        own, other = (f"s3://{name}/{workload}/" for name in (lake.artefacts.bucket_name, origin.artefacts_bucket))
        group = runtime_name(origin.stage, workload, "models")
        self.function = PythonFunction(
            self,
            "Function",
            folder="pull_model",
            description=f"Takes over models of {workload} from stage {origin.stage}",
            timeout_seconds=READING_SECONDS,
            memory_mb=1024,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            role_name=runtime_name(stage, workload, _ROLE),
            environment={
                "WORKLOAD": workload,
                "RUNS_TABLE": lake.runs_table.table_name,
                "MODELS_URI": f"{own}{MODELS}/",
                "BUNDLES_URI": f"{own}{BUNDLES}/",
                "SIGNING_KEY_ARN": lake.signing_key.key_arn,
                "SOURCE_GROUP": origin.arn("model-package-group", group),
                "SOURCE_MODELS_URI": f"{other}{MODELS}/",
                "SOURCE_BUNDLES_URI": f"{other}{BUNDLES}/",
                "SOURCE_SIGNING_KEY_ARN": origin.signing_key_arn,
                "IMAGES": images.uri if images is not None else "none",
                "SOURCE_IMAGES": origin.images_uri(workload) if images is not None else "none",
            },
        )
        self._grant_source(origin, group, workload)
        if images is not None:
            images.grant_add(self.function)
            grant(self.function, COPYING, origin.images_arn(workload))
        lake.grant_table(self.function, lake.runs_table, "dynamodb:GetItem")
        lake.grant_read(self.function, "artefacts", f"{workload}/{MODELS}/")
        for folder in (MODELS, BUNDLES):
            lake.grant_write(self.function, "artefacts", f"{workload}/{folder}/")
        lake.grant_sign(self.function)

    def _grant_source(self, origin: Origin, group: str, workload: str) -> None:
        """What the other stage has to allow as well."""
        packages = origin.arn("model-package", f"{group}/*")
        grant(self.function, ["sagemaker:DescribeModelPackage"], packages)
        grant(
            self.function,
            ["sagemaker:ListModelPackages"],
            origin.arn("model-package-group", group),
            packages,
        )
        bucket = f"arn:{PARTITION}:s3:::{origin.artefacts_bucket}"
        for folder in (MODELS, BUNDLES):
            grant(self.function, ["s3:GetObject"], f"{bucket}/{workload}/{folder}/*")
        grant(self.function, ["kms:Decrypt"], origin.key_arn)
        grant(self.function, ["kms:Verify"], origin.signing_key_arn)
