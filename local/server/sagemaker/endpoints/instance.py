"""One instance of a variant: a model server, kept alive, and the connections to it."""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.server.host import Runner
from local.server.own_images import OwnImage, copy_files
from local.server.sagemaker.children import Child, Sandbox, command
from local.server.usage import Measure

log = logging.getLogger("gapless.sagemaker")

_PORT = "SAGEMAKER_BIND_TO_PORT"
_MODEL_SERVER = Path(__file__).parents[1] / "serving" / "model_server.py"
_INVOCATION_SECONDS = 60.0
_PING_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_TERM_SECONDS = 1.0


class NotHealthy(Exception):
    """A model server did not answer ``/ping`` with 200 in time."""


class NoAnswer(Exception):
    """A model server broke off or did not answer in time."""


@dataclass(frozen=True)
class Launch:
    """How instances of a variant are started.

    Attributes:
        environment: The whole environment of the model server, with ``/opt/ml`` of the container.
        model: The folder with the unpacked model, which every instance gets a copy of.
        group: The log group.
        variant: Names the log streams.
        startup_seconds: How long the first ping may take.
        container: Tells the log streams of several containers apart. Default: there is one.
        own_image: The image that runs, if it was built here. Default: the model server, with the model's script.
        measure: What is published of its use of the machine. Default: nothing.
    """

    host: Runner
    environment: Mapping[str, str]
    model: Path
    group: str
    variant: str
    startup_seconds: float
    container: str = ""
    own_image: OwnImage | None = None
    measure: Measure | None = None


@dataclass(frozen=True)
class Program:
    """What runs in an instance.

    Attributes:
        environment: Beside that of the container.
    """

    argv: Sequence[str]
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loading:
    """Whether the model of a request was loaded already, and for how many microseconds the request waited for it."""

    hit: bool
    waited: float


@dataclass(frozen=True)
class Reply:
    """What a model server answered.

    Attributes:
        loading: Of a container of several models, how the request came to its model. Default: there is one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    loading: Loading | None = None


class Instance:
    """A model server that is started again when it dies.

    Attributes:
        restarts: How often it had to be started again.
    """

    def __init__(self, launch: Launch, number: int) -> None:
        self._launch = launch
        parts = [launch.variant, f"i-{number:08x}{int(time.time()):09x}", *filter(None, [launch.container])]
        self._stream = "/".join(parts)
        folder = Path(tempfile.mkdtemp(prefix="instance-", dir=launch.host.settings.scratch))
        self._sandbox = Sandbox(folder)
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._port = 0
        self._stopped = threading.Event()
        self._child: Child | None = None
        self.healthy = False
        self.restarts = 0

    # -- life

    def start(self) -> None:
        """Start the model server and wait for its ping.

        Raises:
            NotHealthy: It ended, or the time was over.
        """
        self._sandbox.make("model")
        shutil.copytree(self._launch.model, self._sandbox.path("model"), dirs_exist_ok=True)
        self._start_child()
        threading.Thread(target=self._keep_alive, name=f"instance {self._stream}", daemon=True).start()

    def stop(self) -> None:
        """End the model server and remove its files."""
        self._stopped.set()
        self.healthy = False
        with self._lock:
            child = self._child
            self._close_connections()
        if child is not None:
            child.end(_TERM_SECONDS)
        shutil.rmtree(self._sandbox.folder, ignore_errors=True)

    def _start_child(self) -> None:
        port_file = self._sandbox.folder / "port"
        port_file.unlink(missing_ok=True)
        env = {name: self._sandbox.re_root(value) for name, value in self._launch.environment.items()}
        own = str(self._sandbox.folder)
        program = self._model_server(port_file) if self._launch.own_image is None else self._own_program(port_file)
        child = Child(
            self._launch.host,
            program.argv,
            env=env | {"HOME": own, "TMPDIR": own} | program.environment,
            cwd=program.cwd,
            group=self._launch.group,
            stream=self._stream,
            measure=self._launch.measure,
        )
        with self._lock:
            self._child = child
        try:
            self._port = self._wait_for_ping(child, port_file)
        except NotHealthy:
            child.end(_TERM_SECONDS)
            raise
        self.healthy = True

    def _model_server(self, port_file: Path) -> Program:
        model_dir = self._sandbox.path("model")
        places = ["--model-dir", str(model_dir), "--port-file", str(port_file)]
        job_python = self._launch.host.settings.job_python
        return Program([str(job_python), str(_MODEL_SERVER), *places], model_dir)

    def _own_program(self, port_file: Path) -> Program:
        """The image's own command; it listens where SageMaker's variable says, as containers in line have to."""
        image = self._launch.own_image
        assert image is not None  # noqa: S101 - the caller has looked
        files = copy_files(image, self._sandbox.folder / "image")
        port = _free_port()
        port_file.write_text(str(port))
        argv = command(self._launch.host.settings.job_python, self._sandbox.re_root_all(image.serve))
        return Program(argv, files, {_PORT: str(port)})

    def _wait_for_ping(self, child: Child, port_file: Path) -> int:
        deadline = time.monotonic() + self._launch.startup_seconds
        while time.monotonic() < deadline and not self._stopped.is_set():
            if port_file.exists() and _answers_ping(int(port_file.read_text())):
                return int(port_file.read_text())
            if not child.running:
                raise NotHealthy(f"the container ended with exit code {child.process.returncode}")
            self._stopped.wait(_LOOK_SECONDS)
        raise NotHealthy(f"no answer to /ping within {self._launch.startup_seconds:g} s")

    def _keep_alive(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            child = self._child
            assert child is not None  # noqa: S101 - start comes first
            code = child.process.wait()
            if self._stopped.is_set():
                return
            self._note_death(child, code)
            if self._stopped.wait(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            try:
                self._start_child()
                pause = _FIRST_PAUSE_SECONDS
            except (NotHealthy, OSError) as error:
                if self._stopped.is_set():  # its files go when it is stopped
                    return
                log.warning("%s did not come back: %s", self._stream, error)

    def _note_death(self, child: Child, code: int) -> None:
        self.healthy = False
        self.restarts += 1
        with self._lock:
            self._close_connections()
        child.say(f"the container ended with exit code {code}; restart {self.restarts}")
        child.end(0)
        log.warning("%s ended with exit code %d; restart %d", self._stream, code, self.restarts)

    # -- requests

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send one request to ``/invocations``.

        Raises:
            NoAnswer: The model server broke off or took longer than a minute.
        """
        connection = self._connection()
        try:
            connection.request("POST", "/invocations", body=body, headers=dict(headers))
            response = connection.getresponse()
            received = {key.lower(): value for key, value in response.getheaders()}
            reply = Reply(response.status, received, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        with self._lock:
            if self.healthy:
                self._idle.append(connection)
            else:
                connection.close()
        return reply

    def _connection(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=_INVOCATION_SECONDS)

    def _close_connections(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers_ping(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PING_SECONDS)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
