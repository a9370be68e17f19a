"""What a role needs besides its data: the image, and a place in the network. AWS fails a job whose role lacks these."""

from __future__ import annotations

import re
from collections.abc import Iterator

from local.server.host import Caller, Credentials, Denied, Host, Settings
from local.server.sagemaker.store import Document

_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[\w-]+)\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)")
_IMAGE_ACTIONS = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
_INTERFACE_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
_DESCRIBING_ACTIONS = (
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
)

Need = tuple[str, str]


def check_role(host: Host, credentials: Credentials, image: str, vpc: Document | None) -> None:
    """See that a role can pull its image and, in a VPC, have a network interface.

    Raises:
        Denied: It cannot; the sentence names the action and the resource.
    """
    caller = Caller(credentials.access_key, "")
    for action, resource in [*_image_needs(image), *_network_needs(host.settings, vpc)]:
        host.check(caller, action, resource)


def check_disk_key(host: Host, key: str | None, *principals: Caller) -> None:
    """See that one of the principals may let SageMaker use a key for disks (``kms:CreateGrant``).

    Args:
        key: The id or ARN of the key; ``None`` asks for nothing.

    Raises:
        Denied: None of them may; the sentence is about the first.
    """
    if key is None:
        return
    settings = host.settings
    arn = key if key.startswith("arn:") else f"arn:aws:kms:{settings.region}:{settings.account}:key/{key}"
    context = {"kms:GrantIsForAWSResource": "true", "kms:ViaService": f"sagemaker.{settings.region}.amazonaws.com"}
    denials: list[Denied] = []
    for principal in principals:
        try:
            host.check(principal, "kms:CreateGrant", arn, context)
        except Denied as denial:
            denials.append(denial)
        else:
            return
    raise denials[0]


def _image_needs(image: str) -> Iterator[Need]:
    match = _ECR.match(image)
    if match is None:
        return
    yield "ecr:GetAuthorizationToken", "*"
    repository = f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['repository']}"
    yield from ((action, repository) for action in _IMAGE_ACTIONS)


def _network_needs(settings: Settings, vpc: Document | None) -> Iterator[Need]:
    if vpc is None:
        return
    prefix = f"arn:aws:ec2:{settings.region}:{settings.account}"
    for subnet in vpc["Subnets"]:
        yield "ec2:CreateNetworkInterface", f"{prefix}:subnet/{subnet}"
    for group in vpc["SecurityGroupIds"]:
        yield "ec2:CreateNetworkInterface", f"{prefix}:security-group/{group}"
    yield from ((action, f"{prefix}:network-interface/*") for action in _INTERFACE_ACTIONS)
    yield from ((action, "*") for action in _DESCRIBING_ACTIONS)
