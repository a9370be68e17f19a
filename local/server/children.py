"""The server's child processes: started in sessions of their own, and never left behind."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_PLAIN_PYTHON = (sys.executable, "-I", "-S")
_TIDY_SECONDS = 1.0


class Children:
    """Starts, tracks and ends process groups.

    One long-lived thread starts every child, because the kernel ties a child to the *thread* that started it. A
    watchdog process knows every group and kills what is left when this process ends in any way at all.
    """

    def __init__(self) -> None:
        self._tracked: dict[int, subprocess.Popen[Any]] = {}
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._watchdog = subprocess.Popen(
            [*_PLAIN_PYTHON, str(_HERE / "watchdog.py")], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        self._starter = threading.Thread(target=self._run, name="children", daemon=True)
        self._starter.start()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdout: Any,
        stderr: Any,
        stdin: Any = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, tied to this process."""
        command = [*_PLAIN_PYTHON, str(_HERE / "tether.py"), str(os.getpid()), *argv]
        started: Future[subprocess.Popen[bytes]] = Future()

        def start() -> None:
            try:
                process = subprocess.Popen(
                    command,
                    env=dict(env),
                    cwd=cwd,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                started.set_exception(error)
                return
            self.track(process)
            started.set_result(process)

        self._jobs.put(start)
        return started.result()

    def track(self, process: subprocess.Popen[Any]) -> None:
        """Take charge of a process that leads its own group."""
        with self._lock:
            self._tracked[process.pid] = process
            self._tell("+", process.pid)

    def kill(self, process: subprocess.Popen[Any], grace_seconds: float) -> None:
        """SIGTERM to the group, then SIGKILL to whatever is left of it after ``grace_seconds``."""
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._forget(process.pid)

    def kill_all(self, grace_seconds: float = 1.0) -> None:
        """End every group, all at the same time."""
        with self._lock:
            processes = list(self._tracked.values())
        for process in processes:
            _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in processes:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            self._forget(process.pid)

    def close(self) -> None:
        """End every group and the watchdog."""
        self.kill_all()
        self._jobs.put(None)
        self._starter.join()
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._watchdog.wait()

    @property
    def _pipe(self) -> Any:
        assert self._watchdog.stdin is not None  # noqa: S101 - it was started with a pipe
        return self._watchdog.stdin

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_TIDY_SECONDS)
            except queue.Empty:
                self._tidy()
                continue
            if job is None:
                return
            job()

    def _tidy(self) -> None:
        """A child that ended takes what it started with it, as a container does."""
        with self._lock:
            ended = [pid for pid, process in self._tracked.items() if process.poll() is not None]
        for pid in ended:
            _signal_group(pid, signal.SIGKILL)
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        with self._lock:
            if self._tracked.pop(pid, None) is not None:
                self._tell("-", pid)

    def _tell(self, sign: str, pid: int) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.write(f"{sign}{pid}\n")
            self._pipe.flush()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
