"""One boto3 client per service and process, made when it is first used."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=3, read_timeout=20)


@cache
def client(service: str) -> Any:
    """Give the client of a service. A cold start pays only for the services that it uses."""
    return boto3.client(service, config=_CONFIG)
