"""Small files whose content is known at synthesis."""

from __future__ import annotations

import tempfile
from pathlib import Path

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from constructs_lib.grants import grant


class TextAsset(Construct):
    """Defines an object that is named after its content and deployed with the stack.

    Args:
        text: The content; written as UTF-8.
        suffix: End of its name, such as ``.json``.

    Attributes:
        uri: ``s3://bucket/key``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, text: str, suffix: str) -> None:
        super().__init__(scope, construct_id)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"content{suffix}")
            path.write_text(text, encoding="utf-8")
            asset = assets.Asset(self, "File", path=str(path))
        self.uri = f"s3://{asset.s3_bucket_name}/{asset.s3_object_key}"
        self._key = asset.s3_object_key
        self._bucket_arn = f"arn:{Aws.PARTITION}:s3:::{asset.s3_bucket_name}"
        self._arn = f"{self._bucket_arn}/{self._key}"

    def grant_read(self, grantee: iam.IGrantable) -> None:
        """Lets somebody read exactly this object."""
        grant(grantee, ["s3:GetObject"], self._arn)

    def grant_fetch(self, grantee: iam.IGrantable) -> None:
        """Lets somebody find and read exactly this object; SageMaker lists what starts like an input first."""
        self.grant_read(grantee)
        grant(grantee, ["s3:ListBucket"], self._bucket_arn, conditions={"StringEquals": {"s3:prefix": self._key}})
