"""What the local server says about itself in ``server.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from local.errors import Failure

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Server:
    """A running local AWS.

    Args:
        pid: Its process.
        endpoint: An ``https`` URL on the loopback interface.
        ca_file: The certificate authority that signed its certificate.
        access_key: Root's key id.
        secret_key: Root's secret.

    Raises:
        Failure: The endpoint is not on the loopback interface.
    """

    pid: int
    endpoint: str
    ca_file: Path
    access_key: str
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if urlsplit(self.endpoint).hostname not in _LOOPBACK:
            raise Failure(f"the local AWS has the endpoint {self.endpoint!r}, which is not on the loopback interface")

    @property
    def port(self) -> int:
        """The port of the endpoint."""
        return urlsplit(self.endpoint).port or 443


def read_server(path: Path) -> Server:
    """Read ``server.json``.

    Raises:
        Failure: The file is damaged or names an endpoint beyond loopback.
        FileNotFoundError: There is no such file.
    """
    text = path.read_text()
    try:
        found = json.loads(text)
        return Server(
            pid=int(found["pid"]),
            endpoint=str(found["endpoint"]),
            ca_file=Path(found["ca_file"]),
            access_key=str(found["credentials"]["access_key_id"]),
            secret_key=str(found["credentials"]["secret_access_key"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"{path} is damaged ({type(error).__name__}: {error}); stop the server and start it again"
        ) from error
