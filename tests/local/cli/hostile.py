"""A user's settings that lead a careless program away from the local AWS, and a trap that tells when one goes there."""

from __future__ import annotations

import json
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_RECORDER = """
import json, os, sys
_file = open(os.environ["RECORD_CONNECTS"], "a", buffering=1)
def _hook(event, args):
    if event == "socket.connect":
        _file.write(json.dumps(["connect", repr(args[1])]) + "\\n")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _file.write(json.dumps(["resolve", repr(args[0])]) + "\\n")
sys.addaudithook(_hook)
"""

_NODE_RECORDER = """
const fs = require("fs"), net = require("net"), dns = require("dns"), child = require("child_process");
const write = (what, value) => fs.appendFileSync(%s, JSON.stringify([what, String(value)]) + "\\n");
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const first = Array.isArray(args[0]) ? args[0][0] : args[0];
  const options = first && typeof first === "object" ? first : { host: args[1] };
  write("connect", options.host || options.path || "localhost");
  return connect.apply(this, args);
};
const lookup = dns.lookup;
dns.lookup = function (name, ...rest) { write("resolve", name); return lookup.call(this, name, ...rest); };
"""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Trap:
    """A listener that counts who comes, and answers nobody."""

    def __init__(self) -> None:
        self.visits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@dataclass
class Hostile:
    """An environment full of traps.

    Args:
        folder: Where its files are.
        env: The environment of a command that a user with such settings types.
        trap: Plays proxy, metadata service, credentials service and endpoint.
    """

    folder: Path
    trap: Trap = field(default_factory=Trap)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        (self.home / ".aws").mkdir()
        (self.home / ".aws" / "config").write_text(self._config())
        (self.home / ".aws" / "credentials").write_text(
            "[default]\naws_access_key_id = AKIAREALACCOUNT00000\naws_secret_access_key = real\n"
            "[hostile]\naws_access_key_id = AKIAREALACCOUNT00000\naws_secret_access_key = real\n"
        )
        (self.home / ".cdk.json").write_text(json.dumps({"profile": "hostile", "proxy": self.trap.url}))
        site = self.folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_RECORDER)
        (self.folder / "record.js").write_text(_NODE_RECORDER % json.dumps(str(self.connects_file)))
        self.env |= self._environment(site)

    @property
    def home(self) -> Path:
        """The user's home."""
        return self.folder / "home"

    @property
    def connects_file(self) -> Path:
        """One JSON list per connection or name that was looked up."""
        return self.folder / "connects.jsonl"

    @property
    def process_marker(self) -> Path:
        """Exists once the credential process has been run."""
        return self.folder / "credential-process-was-run"

    @property
    def node_options(self) -> str:
        """Makes Node record its connections too."""
        return f"--require={self.folder / 'record.js'}"

    def _config(self) -> str:
        body = (
            f"region = eu-west-1\nendpoint_url = {self.trap.url}\nservices = hostile\nuse_fips_endpoint = true\n"
            f"credential_process = touch {self.process_marker}\nca_bundle = /nonexistent.pem\n"
        )
        return f"[default]\n{body}[profile hostile]\n{body}[services hostile]\ns3 =\n  endpoint_url = {self.trap.url}\n"

    def _environment(self, site: Path) -> dict[str, str]:
        url = self.trap.url
        proxies = dict.fromkeys(
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"], url
        )
        endpoints = dict.fromkeys(
            [f"AWS_ENDPOINT_URL{name}" for name in ("", "_S3", "_STS", "_SFN", "_CLOUDFORMATION", "_SQS")], url
        )
        return (
            proxies
            | endpoints
            | {
                "HOME": str(self.home),
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "PYTHONPATH": str(site),
                "RECORD_CONNECTS": str(self.connects_file),
                "AWS_PROFILE": "hostile",
                "AWS_DEFAULT_PROFILE": "hostile",
                "AWS_ACCESS_KEY_ID": "AKIAREALACCOUNT00000",
                "AWS_SECRET_ACCESS_KEY": "real",
                "AWS_SESSION_TOKEN": "real",
                "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_CA_BUNDLE": "/nonexistent.pem",
                "REQUESTS_CA_BUNDLE": "/nonexistent.pem",
                "SSL_CERT_FILE": "/nonexistent.pem",
                "AWS_USE_FIPS_ENDPOINT": "true",
                "AWS_USE_DUALSTACK_ENDPOINT": "true",
                "AWS_DEFAULTS_MODE": "auto",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/credentials",
                "CDK_DEFAULT_ACCOUNT": "123456789012",
                "CDK_DEFAULT_REGION": "eu-west-1",
            }
        )

    def connections(self) -> list[tuple[str, str]]:
        """What was recorded: ``connect`` or ``resolve``, and with what."""
        lines = self.connects_file.read_text().splitlines() if self.connects_file.is_file() else []
        found: list[Any] = [json.loads(line) for line in lines]
        return [(str(kind), str(target)) for kind, target in found]

    def foreign(self) -> list[tuple[str, str]]:
        """Recorded connections and look-ups that are not of the loopback interface; sockets in files do not count."""
        return [
            item for item in self.connections() if not any(name in item[1] for name in LOOPBACK) and "/" not in item[1]
        ]
