"""Where a stack ends up, whichever stack it is; asked of the CDK once, as each question costs a round trip to Node."""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws

ACCOUNT: Final[str] = Aws.ACCOUNT_ID
PARTITION: Final[str] = Aws.PARTITION
REGION: Final[str] = Aws.REGION
URL_SUFFIX: Final[str] = Aws.URL_SUFFIX
"""End of the names of services: ``amazonaws.com``, and another one in China."""
