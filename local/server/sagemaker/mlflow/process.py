"""One MLflow server: a child process on the loopback interface, with a sqlite store that outlives it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from local.server.host import Credentials, Host, Response, ServiceError

_START_SECONDS = 90.0
_ANSWER_SECONDS = 60.0
_LOOPBACK = "127.0.0.1"
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""Nothing is reported to anybody, and nothing is run beside the server itself."""


class MlflowProcess:
    """Starts MLflow when it is first needed, and again if it has died. Safe to use from several threads.

    Args:
        store: The sqlite file.
        artefacts: Where artefacts are, ``s3://…``.
        credentials: What it reads artefacts with when somebody looks at them.
    """

    def __init__(self, host: Host, store: Path, artefacts: str, credentials: Credentials) -> None:
        self._host = host
        self._store = store
        self._artefacts = artefacts
        self._credentials = credentials
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it answers; it is started for that.

        Raises:
            ServiceError: It does not start.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return f"http://{_LOOPBACK}:{self._port}"

    def pass_on(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Hand a call of its API on and give its answer.

        Raises:
            ServiceError: It does not start or does not answer.
        """
        place = self.url.rpartition("/")[2]
        connection = http.client.HTTPConnection(place, timeout=_ANSWER_SECONDS)
        try:
            sent = {"Content-Type": headers.get("content-type", "application/json"), "Host": place}
            connection.request(method, path, body=body or None, headers=sent)
            answer = connection.getresponse()
            return Response(answer.status, {"Content-Type": "application/json"}, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise _unavailable(f"MLflow does not answer: {error}") from error
        finally:
            connection.close()

    def stop(self) -> None:
        """End it; what was logged stays."""
        with self._lock:
            if self._process is not None:
                self._host.kill(self._process)
                self._process = None

    def _start(self) -> None:
        self._store.parent.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        log = self._store.with_suffix(".log")
        with log.open("wb") as output:
            self._process = self._host.spawn(
                self._command(), env=self._host.child_env(self._credentials) | _QUIET, cwd=log.parent, stdout=output
            )
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._host.kill(self._process)
                self._process = None
                raise _unavailable(f"MLflow did not start: {_last_line(log)}")
            time.sleep(0.1)

    def _command(self) -> list[str]:
        places = ["--host", _LOOPBACK, "--port", str(self._port), "--workers", "1"]
        stores = ["--backend-store-uri", f"sqlite:///{self._store}", "--default-artifact-root", self._artefacts]
        return [str(self._host.settings.job_python), "-m", "mlflow", "server", *places, *stores, "--no-serve-artifacts"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(_LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it said nothing in {os.fspath(log)}"


def _unavailable(message: str) -> ServiceError:
    return ServiceError("ServiceUnavailable", message, 503)
