"""AWS's own images: which account holds them in which region, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Aws, CfnMapping
from constructs import Construct

from constructs_lib.names.frameworks import VERSIONS

REGISTRIES = {
    "af-south-1": "510948584623",
    "ap-east-1": "651117190479",
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "720646828776",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "341280168497",
    "ca-west-1": "190319476487",
    "cn-north-1": "450853457545",
    "cn-northwest-1": "451049120500",
    "eu-central-1": "492215442770",
    "eu-central-2": "680994064768",
    "eu-north-1": "662702820516",
    "eu-south-1": "978288397137",
    "eu-south-2": "104374241257",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "801668240914",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-gov-east-1": "237065988967",
    "us-gov-west-1": "414596584902",
    "us-iso-east-1": "833128469047",
    "us-isob-east-1": "281123927165",
    "us-isof-east-1": "108575199400",
    "us-isof-south-1": "124985052026",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}
"""Region to the account whose registry holds the images of xgboost and scikit-learn there."""

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

_REPOSITORIES = {"xgboost": "sagemaker-xgboost", "scikit-learn": "sagemaker-scikit-learn"}

_TAGS = {"xgboost": "{version}", "scikit-learn": "{version}-cpu-py3"}


@dataclass(frozen=True)
class Image:
    """Names a framework image.

    Args:
        framework: One of ``VERSIONS``.
        version: One of the framework's versions.

    Raises:
        ValueError: There is no such image.
    """

    framework: str
    version: str

    def __post_init__(self) -> None:
        if self.framework not in VERSIONS:
            raise ValueError(f"framework of an image must be one of {', '.join(VERSIONS)}, got: {self.framework!r}")
        if self.version not in VERSIONS[self.framework]:
            allowed = ", ".join(VERSIONS[self.framework])
            raise ValueError(f"version of {self.framework} must be one of {allowed}, got: {self.version!r}")

    @classmethod
    def parse(cls, text: str) -> Image:
        """Reads ``framework:version``.

        Raises:
            ValueError: There is no such image.
        """
        framework, _, version = text.partition(":")
        return cls(framework, version)

    @property
    def repository(self) -> str:
        """Name of the repository."""
        return _REPOSITORIES[self.framework]

    @property
    def tag(self) -> str:
        """The image's tag."""
        return _TAGS[self.framework].format(version=self.version)


class RegistryImage(Construct):
    """Finds one of AWS's own images in the region that the stack is deployed to, whichever that is.

    Args:
        registries: Region to the account whose registry holds the image there.
        repository: Name of the repository.
        tag: The image's tag.

    Attributes:
        uri: Address of the image.
        repository_arn: ARN of its repository, for policies.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, registries: Mapping[str, str], repository: str, tag: str
    ) -> None:
        super().__init__(scope, construct_id)
        found = CfnMapping(
            self, "Registries", mapping={region: {"account": account} for region, account in registries.items()}
        )
        account = found.find_in_map(Aws.REGION, "account")
        self.uri = f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{repository}:{tag}"
        self.repository_arn = f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:{account}:repository/{repository}"


class FrameworkImage(RegistryImage):
    """Finds a framework image in the region that the stack is deployed to, whichever that is.

    Args:
        image: The image.

    Attributes:
        uri: Address of the image.
        repository_arn: ARN of its repository, for policies.
    """

    def __init__(self, scope: Construct, construct_id: str, *, image: Image) -> None:
        super().__init__(scope, construct_id, registries=REGISTRIES, repository=image.repository, tag=image.tag)
