"""boto3 clients that can reach the local server and nothing else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from local.server.host import Credentials, Settings

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=5,
    read_timeout=900,
    max_pool_connections=50,
    parameter_validation=True,
    inject_host_prefix=False,
    s3={"addressing_style": "path"},
)


@functools.cache
def _session() -> boto3.Session:
    """One session for all clients: it reads the models of the services once."""
    return boto3.Session()


def new_client(settings: Settings, service: str, who: Credentials) -> Any:
    """A client of ``service`` on the local server, signing with ``who``."""
    return _session().client(
        service,
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        verify=str(settings.ca_file),
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
        aws_session_token=who.session_token,
        config=_CONFIG,
    )
