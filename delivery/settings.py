"""The environment of a build, and sessions under roles of stages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

RETRIES = Config(retries={"mode": "standard", "max_attempts": 10})


class Refused(Exception):
    """What was asked for must not go on; the message is for the person who reads the build's log."""


def setting(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns a variable.

    Raises:
        Refused: It is not set.
    """
    value = environment.get(name)
    if not value:
        raise Refused(f"the build needs the environment variable {name}")
    return value


def take_role(role_arn: str, region: str, session_name: str) -> boto3.Session:
    """Returns a session under a role of another account, regional from the start."""
    sts = boto3.client("sts", region_name=region, config=RETRIES)
    keys = sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
    return boto3.Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        region_name=region,
    )


def client(session: Any, service: str) -> Any:
    """Returns a client that retries."""
    return session.client(service, config=RETRIES)
