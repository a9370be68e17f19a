"""Starts the local server: ``python -m local.server --state-dir D --port P --job-python PATH``.

Everything that ministack reads from the environment is set here, before it is imported, and nothing of the user's
environment gets through: no profile, no credentials, no endpoint.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from local.server.clock import Clock
from local.server.host import ACCOUNT, REGION, Credentials, Settings
from local.server.tls import ensure_certificates

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "JAVA_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare the state directory and serve until SIGTERM."""
    options = _parser().parse_args(arguments)
    settings = _settings(options)
    _prepare(settings)
    if options.clock is not None:
        Clock(settings.clock_file).begin(options.clock)
    root = _root_credentials(settings.state_dir / "root.json")
    environment = _environment(settings, root)
    os.environ.clear()
    os.environ.update(environment)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s [%(name)s] %(message)s"
    )
    logging.getLogger("gapless").setLevel(logging.INFO)
    from local.server import launcher

    launcher.run(settings, root)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.server", description="An AWS account on this machine.")
    parser.add_argument("--state-dir", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    parser.add_argument("--job-python", type=Path, required=True, help="the interpreter that runs jobs")
    parser.add_argument("--wait-scale", type=float, default=1.0, help="factor on Wait states and retry delays")
    parser.add_argument("--alarm-scale", type=float, default=1.0, help="factor on the periods of alarms")
    parser.add_argument("--clock", type=_instant, help="what time it is in a new account, ISO 8601 with an offset")
    parser.add_argument("--engine", choices=("sail", "spark"), default="sail", help="what runs Glue jobs")
    parser.add_argument("--spot-interruptions", type=int, default=0, help="how often spot trainings are interrupted")
    parser.add_argument("--account", default=ACCOUNT, help="twelve digits")
    parser.add_argument(
        "--neighbour", type=Path, action="append", default=[], help="state directory of a server of another account"
    )
    return parser


def _instant(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no offset (allowed: such as 2013-05-01T04:00:00+00:00)")
    return moment


def _settings(options: argparse.Namespace) -> Settings:
    state_dir = options.state_dir.absolute()
    return Settings(
        state_dir=state_dir,
        scratch=state_dir / "scratch",
        port=options.port,
        endpoint=f"https://127.0.0.1:{options.port}",
        ca_file=state_dir / "tls" / "ca.pem",
        job_python=options.job_python.absolute(),
        wait_scale=options.wait_scale,
        alarm_scale=options.alarm_scale,
        engine=options.engine,
        spot_interruptions=options.spot_interruptions,
        account=options.account,
        neighbours=tuple(options.neighbour),
    )


def _prepare(settings: Settings) -> None:
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(settings.scratch, ignore_errors=True)
    for name in ("state", "s3", "logs", "scratch"):
        (settings.state_dir / name).mkdir(mode=0o700, exist_ok=True)
    ensure_certificates(settings.ca_file.parent)


def _root_credentials(path: Path) -> Credentials:
    """The root user's keys of this state directory: random, and the same after a restart."""
    if not path.exists():
        path.touch(mode=0o600)
        keys = {"access_key": "AKIA" + secrets.token_hex(8).upper(), "secret_key": secrets.token_urlsafe(30)}
        path.write_text(json.dumps(keys))
    return Credentials(**json.loads(path.read_text()))


def _environment(settings: Settings, root: Credentials) -> dict[str, str]:
    tls = settings.ca_file.parent
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    trust = dict.fromkeys(
        ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), str(settings.ca_file)
    )
    return {
        **kept,
        **trust,
        "HOME": str(settings.scratch),
        "TMPDIR": str(settings.scratch),
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ACCESS_KEY_ID": root.access_key,
        "AWS_SECRET_ACCESS_KEY": root.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": settings.endpoint,
        "MINISTACK_ACCOUNT_ID": settings.account,
        "MINISTACK_REGION": REGION,
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(settings.port),
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(tls / "server.pem"),
        "MINISTACK_SSL_KEY": str(tls / "server.key"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(settings.state_dir / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(settings.state_dir / "s3"),
        "SFN_WAIT_SCALE": str(settings.wait_scale),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{settings.scratch}/no-docker.sock",
        "LOG_LEVEL": "WARNING",
    }


if __name__ == "__main__":
    main()
