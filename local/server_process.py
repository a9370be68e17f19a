"""Start and stop the local AWS.

The server inherits a locked file and holds the lock for as long as it lives. So whether it runs, and which process it
is, never depends on a number that the system may have given to somebody else since.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local.environment import base_env
from local.errors import Failure, UserError
from local.interrupts import held_back
from local.processes import descendants, dies_with_parent, kill_all
from local.server_file import Server, read_server
from local.settings import CHECKOUT, Settings

ENGINES = ("sail", "spark")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_TAIL_LINES = 20


@dataclass(frozen=True)
class StartOptions:
    """How the server runs.

    Args:
        wait_scale: What a second of a Wait state, a bake time or a deadline lasts on the laptop, in seconds.
        engine: What runs Glue jobs.
        clock: What time it is in an account that is new. Default: what the machine's clock says.
        spot_interruptions: How often a training on spot machines loses them, each time after it has kept a checkpoint.
        tied: Whether the server ends when the starting process ends, however that ends.

    Raises:
        UserError: A value that the server would not take.
    """

    wait_scale: float = 0.02
    engine: str = "sail"
    tied: bool = False
    spot_interruptions: int = 0
    clock: dt.datetime | None = None

    def __post_init__(self) -> None:
        if not 0 < self.wait_scale <= 1:
            raise UserError(f"--wait-scale is {self.wait_scale} (allowed: above 0, at most 1)")
        if self.engine not in ENGINES:
            raise UserError(f"--engine is {self.engine!r} (allowed: {', '.join(ENGINES)})")
        if self.spot_interruptions < 0:
            raise UserError(f"--spot-interruptions is {self.spot_interruptions} (allowed: 0 and more)")


def running(settings: Settings) -> Server | None:
    """The server of this state directory if it runs and answers, otherwise ``None``."""
    if not _is_locked(settings.lock_file) or not settings.server_file.is_file():
        return None
    server = read_server(settings.server_file)
    return server if server.pid == _locked_pid(settings.lock_file) and answers(server) else None


def connect(settings: Settings) -> Server:
    """The running server.

    Raises:
        UserError: It does not run.
    """
    server = running(settings)
    if server is None:
        raise UserError(f"no local AWS runs for {settings.state_dir}; start it with `python -m local up`")
    return server


def answers(server: Server) -> bool:
    """Whether the server's health page answers, asked over TLS and past any proxy."""
    if not server.ca_file.is_file():
        return False
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(server.ca_file))),
    )
    try:
        with opener.open(f"{server.endpoint}/_ministack/health", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def start(settings: Settings, options: StartOptions, progress: Callable[[str], None]) -> Server:
    """Start the server unless it runs, and wait until it is ready.

    Raises:
        Failure: It ended or did not answer in time; the message has the end of its log.
        UserError: The environment of the server has not been installed, or the directory is somebody else's.
    """
    settings.prepare()
    server = running(settings)
    if server is not None:
        return server
    process = None
    try:
        with _lock(settings.lock_file, patience=1.0) as lock:
            if lock is None:
                progress("waiting for a local AWS that somebody else is starting")
                return _wait_until_ready(settings, None)
            settings.server_file.unlink(missing_ok=True)
            with held_back():
                process = _spawn(settings, options, lock)
        progress(f"starting the local AWS (process {process.pid})")
        return _wait_until_ready(settings, process)
    except BaseException:
        if process is not None:
            stop(settings)
        raise


def stop(settings: Settings) -> bool:
    """Stop the server and everything it started; returns whether there was one.

    It is asked first, so that it saves its state, and killed after thirty seconds.
    """
    pid = _locked_pid(settings.lock_file) if _is_locked(settings.lock_file) else None
    if pid is None:
        return False
    family = descendants(pid)
    os.kill(pid, signal.SIGTERM)
    if not _wait_until_unlocked(settings.lock_file, _STOP_SECONDS):
        os.killpg(pid, signal.SIGKILL)
    kill_all(family)
    return True


def clear(settings: Settings, *, keep_cache: bool = False) -> None:
    """Remove the state of a stopped server; what can be made again from the checkout may stay.

    Raises:
        UserError: The directory is not a local platform's, or its server runs.
    """
    if not settings.state_dir.exists():
        return
    if not settings.is_state_dir():
        raise UserError(f"{settings.state_dir} is not the state of a local platform; nothing was removed")
    if _is_locked(settings.lock_file):
        raise UserError(f"the local AWS of {settings.state_dir} runs; stop it first")
    if not keep_cache:
        shutil.rmtree(settings.state_dir)
        return
    for entry in settings.state_dir.iterdir():
        if entry.is_dir() and entry != settings.cli_dir:
            shutil.rmtree(entry)
        elif entry.is_file() and entry.name != ".gapless-state" and entry != settings.report_file:
            entry.unlink()


def has_state(settings: Settings) -> bool:
    """Whether a server has run on this directory and its state has not been removed."""
    return (settings.state_dir / "root.json").is_file()


def _wait_until_unlocked(path: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _is_locked(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _spawn(settings: Settings, options: StartOptions, lock: int) -> subprocess.Popen[bytes]:
    python = CHECKOUT / ".venv-server" / "bin" / "python"
    if not python.is_file():
        raise UserError(f"the local AWS has not been installed ({python} is missing); `make demo` installs it")
    command = [str(python), "-m", "local.server", "--state-dir", str(settings.state_dir)]
    command += ["--port", str(_choose_port(settings.port_file)), "--job-python", sys.executable]
    command += ["--wait-scale", str(options.wait_scale), "--engine", options.engine]
    command += ["--spot-interruptions", str(options.spot_interruptions)]
    if options.clock is not None:
        command += ["--clock", options.clock.isoformat()]
    with settings.server_log.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=base_env(settings),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
            preexec_fn=dies_with_parent(signal.SIGTERM) if options.tied else None,
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(process.pid).encode(), 0)
    return process


def _choose_port(memory: Path) -> int:
    """The port of the last start if it is free (stored URLs stay right), otherwise one that the system gives."""
    with suppress(OSError, ValueError):
        return _free_port(int(memory.read_text()))
    port = _free_port(0)
    memory.write_text(str(port))
    return port


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return int(probe.getsockname()[1])


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes] | None) -> Server:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        server = running(settings)
        if server is not None:
            return server
        if process is not None and process.poll() is not None:
            raise Failure(f"the local AWS ended with exit code {process.returncode}\n{log_tail(settings.server_log)}")
        if process is None and not _is_locked(settings.lock_file):
            raise Failure(f"the local AWS that was being started has ended\n{log_tail(settings.server_log)}")
        time.sleep(0.1)
    raise Failure(f"the local AWS did not answer within {_START_SECONDS:.0f} s\n{log_tail(settings.server_log)}")


def log_tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log under a heading that names the file."""
    text = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return "\n".join([f"the end of {path}:", *(f"  {line}" for line in text[-lines:])])


@contextmanager
def _lock(path: Path, *, patience: float = 0.0) -> Iterator[int | None]:
    """Try to lock the file; yields its descriptor, or ``None`` if a server holds it.

    Whoever asks whether a server runs holds the lock for an instant; ``patience`` (seconds) outlasts that.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience
    try:
        locked = _try_lock(descriptor)
        while not locked and time.monotonic() < deadline:
            time.sleep(0.05)
            locked = _try_lock(descriptor)
        yield descriptor if locked else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    if not path.is_file():
        return False
    with _lock(path) as lock:
        return lock is None


def _locked_pid(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None
