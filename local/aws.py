"""Clients of the local AWS: they know one endpoint, one certificate authority and one pair of keys, nothing else.

Every setting that botocore would look up in the environment, in a profile, in a config file or from an instance is
given or switched off here, and a request that would leave the loopback interface is refused before it is sent.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.session import Session as BotocoreSession

from local.errors import Failure
from local.server_file import Server
from local.settings import REGION

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NOWHERE = {"config_file": os.devnull, "credentials_file": os.devnull}


def _blind_session() -> BotocoreSession:
    """A botocore session in which every variable has its default, whatever the environment and the files say."""
    variables = {
        name: (None, None, _NOWHERE.get(name, default), convert)
        for name, (_, _, default, convert) in BotocoreSession.SESSION_VARIABLES.items()
    }
    return BotocoreSession(session_vars=variables)


def _refuse_foreign(request: AWSPreparedRequest, **_: object) -> None:
    host = urlsplit(request.url).hostname
    if host not in _LOOPBACK:
        raise Failure(f"refused to call {host!r}: a local command talks to the loopback interface only")


class Aws:
    """Hands out clients of one local AWS, one per service."""

    def __init__(self, server: Server) -> None:
        self.server = server
        session = _blind_session()
        session.register("before-send", _refuse_foreign)
        self._session = boto3.Session(
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=REGION,
            botocore_session=session,
        )
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The client of a service; acts as root of the local account."""
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service,
                endpoint_url=self.server.endpoint,
                verify=str(self.server.ca_file),
                config=Config(
                    proxies={},
                    defaults_mode="legacy",
                    ignore_configured_endpoint_urls=True,
                    connect_timeout=5,
                    read_timeout=120,
                    retries={"mode": "standard", "total_max_attempts": 3},
                    s3={"addressing_style": "path"},
                    use_dualstack_endpoint=False,
                    use_fips_endpoint=False,
                ),
            )
        return self._clients[service]
