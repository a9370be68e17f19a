"""boto3 clients that can reach the local server and nothing else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
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
def _botocore_session() -> botocore.session.Session:
    """One session for whatever asks for models of services: it reads each of them once."""
    return botocore.session.get_session()


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session(botocore_session=_botocore_session())


@functools.cache
def service_model(service: str) -> Any:
    """What botocore knows of a service: what every request and every answer looks like.

    Raises:
        UnknownServiceError: It knows no such service.
    """
    return _botocore_session().get_service_model(service)


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
