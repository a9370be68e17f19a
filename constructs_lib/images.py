"""AWS's own images: which account holds them in which region, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aws_cdk import Aws, CfnMapping
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.grants import grant
from constructs_lib.machines.images import TaggedImage
from constructs_lib.names import framework_images
from constructs_lib.names.frameworks import IMAGES, Processor, Scope

DATA_WRANGLER_REGISTRIES = {
    "af-south-1": "143210264188",
    "ap-east-1": "707077482487",
    "ap-northeast-1": "649008135260",
    "ap-northeast-2": "131546521161",
    "ap-northeast-3": "913387583493",
    "ap-south-1": "089933028263",
    "ap-southeast-1": "119527597002",
    "ap-southeast-2": "422173101802",
    "ca-central-1": "557239378090",
    "cn-north-1": "245909111842",
    "cn-northwest-1": "249157047649",
    "eu-central-1": "024640144536",
    "eu-north-1": "054986407534",
    "eu-south-1": "488287956546",
    "eu-west-1": "245179582081",
    "eu-west-2": "894491911112",
    "eu-west-3": "807237891255",
    "il-central-1": "406833011540",
    "me-south-1": "376037874950",
    "sa-east-1": "424196993095",
    "us-east-1": "663277389841",
    "us-east-2": "415577184552",
    "us-west-1": "926135532090",
    "us-west-2": "174368400705",
}
"""Region to the account whose registry holds the image of Data Wrangler there; other regions have none."""

DATA_WRANGLER = ("sagemaker-data-wrangler-container", "3.x")
"""Repository and tag of Data Wrangler's image; AWS moves the tag within a major version."""


class Pullable(Protocol):
    """An image that a role may be allowed to pull."""

    def grant_pull(self, grantee: iam.IGrantable) -> None:
        """Lets containers start from the image; the login is another matter."""
        ...

    def grant_look(self, grantee: iam.IGrantable) -> None:
        """Lets somebody name the image in a request that SageMaker checks with the caller's leave."""
        ...


@dataclass(frozen=True)
class Image:
    """Names a framework image.

    Args:
        framework, version: One of ``IMAGES``.
        scope: What it does. Default: training, which for xgboost and scikit-learn is the image that serves as well.
        processor: What it runs on. Default: machines without a GPU.

    Raises:
        ValueError: There is no such image.
    """

    framework: str
    version: str
    scope: Scope = "training"
    processor: Processor = "cpu"

    def __post_init__(self) -> None:
        name = f"{self.framework}:{self.version}"
        if name not in IMAGES:
            raise ValueError(f"image must be one of {', '.join(IMAGES)}, got: {name!r}")
        if f"{name} {self.scope} {self.processor}" not in framework_images.IMAGES:
            raise ValueError(f"there is no image of {name} for {self.scope} with a {self.processor}")

    @classmethod
    def parse(cls, text: str, scope: Scope = "training", processor: Processor = "cpu") -> Image:
        """Reads ``framework:version``.

        Raises:
            ValueError: There is no such image.
        """
        framework, _, version = text.partition(":")
        return cls(framework, version, scope, processor)

    @property
    def registries(self) -> Mapping[str, str]:
        """Region to the account whose registry holds the image there."""
        return framework_images.REGISTRIES[self._entry[0]]

    @property
    def repository(self) -> str:
        """Name of the repository."""
        return self._entry[1]

    @property
    def tag(self) -> str:
        """The image's tag."""
        return self._entry[2]

    @property
    def _entry(self) -> tuple[int, str, str]:
        return framework_images.IMAGES[f"{self.framework}:{self.version} {self.scope} {self.processor}"]


class RegistryImage(Construct):
    """Finds one of AWS's own images in the region that the stack is deployed to, whichever that is.

    Args:
        registries: Region to the account whose registry holds the image there.
        repository: Name of the repository.
        tag: The image's tag.
        hidden: Whether the registry may let nobody but SageMaker look. Default: it shows its images to all.

    Attributes:
        uri: Address of the image, by its tag.
        repository_arn: ARN of its repository, for policies.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        registries: Mapping[str, str],
        repository: str,
        tag: str,
        hidden: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self.hidden = hidden
        found = CfnMapping(
            self, "Registries", mapping={region: {"account": account} for region, account in registries.items()}
        )
        account = found.find_in_map(Aws.REGION, "account")
        self._registry, self._repository, self._tag = account, repository, tag
        self._address = f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{repository}"
        self.uri = f"{self._address}:{tag}"
        self.repository_arn = f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:{account}:repository/{repository}"

    def tagged(self, name: str) -> TaggedImage:
        """The image for a state machine to look up.

        Args:
            name: What the machine's run calls it.
        """
        return TaggedImage(name, self._registry, self._repository, self._address, self._tag, self.hidden)

    def grant_find(self, grantee: iam.IGrantable) -> None:
        """Lets somebody ask which digest the image has."""
        grant(grantee, ["ecr:BatchGetImage"], self.repository_arn)

    def grant_pull(self, grantee: iam.IGrantable) -> None:
        """Lets containers start from the image; the login is another matter."""
        grant(
            grantee,
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            self.repository_arn,
        )

    def grant_look(self, grantee: iam.IGrantable) -> None:
        """Lets somebody name the image in a request that SageMaker checks with the caller's leave."""
        grant(grantee, ["ecr:BatchGetImage", "ecr:DescribeImages"], self.repository_arn)


class FrameworkImage(RegistryImage):
    """Finds a framework image in the region that the stack is deployed to, whichever that is.

    Args:
        image: The image.

    Attributes:
        uri: Address of the image.
        repository_arn: ARN of its repository, for policies.
    """

    def __init__(self, scope: Construct, construct_id: str, *, image: Image) -> None:
        super().__init__(scope, construct_id, registries=image.registries, repository=image.repository, tag=image.tag)
