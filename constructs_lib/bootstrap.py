"""The roles that ``cdk bootstrap`` makes in an account, by which others deploy to it."""

from __future__ import annotations

from typing import Literal

from aws_cdk import DefaultStackSynthesizer, Stack

from constructs_lib.place import PARTITION


def bootstrap_role(
    stack: Stack, kind: Literal["deploy", "file-publishing", "lookup"], account: str, region: str
) -> str:
    """Returns the ARN of a bootstrapped role of an account and region, under the qualifier of a stack."""
    return f"arn:{PARTITION}:iam::{account}:role/cdk-{_qualifier(stack)}-{kind}-role-{account}-{region}"


def bootstrap_bucket_arn(stack: Stack, account: str, region: str) -> str:
    """Returns the ARN of the bootstrapped bucket of an account and region, under the qualifier of a stack."""
    return f"arn:{PARTITION}:s3:::cdk-{_qualifier(stack)}-assets-{account}-{region}"


def _qualifier(stack: Stack) -> str:
    synthesizer = stack.synthesizer
    if not isinstance(synthesizer, DefaultStackSynthesizer):
        raise TypeError(f"a stack must deploy with bootstrapped roles, got: {type(synthesizer).__name__}")
    qualifier = synthesizer.bootstrap_qualifier
    if qualifier is None:
        raise TypeError(f"stack {stack.node.path} has no bootstrap qualifier")
    return qualifier
