"""Child processes that stand in for containers: where they live, what they see, and how they end."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from local.server.host import Credentials, Runner
from local.server.sagemaker.platform import log
from local.server.usage import Measure

_ROOT = "/opt/ml"
_ROOTED = re.compile(r"(?<![\w.\-/])/opt/ml(?=/|$|[^\w.\-])")
_ISOLATED_KEEPS = ("PATH", "LANG", "TZ", "AWS_REGION")
_FLUSH_SECONDS = 0.4
_LONGEST_LINE = 200_000
_CHUNK_BYTES = 65_536
_TAIL_LINES = 30

LineHook = Callable[[str], None]


class Ending(Enum):
    """Why a child is no longer running."""

    EXITED = "exited"
    STOPPED = "stopped"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        code: The exit code as a shell shows it: a signal is 128 plus its number.
        tail: The last lines of its log.
    """

    ending: Ending
    code: int
    tail: str


class Sandbox:
    """The folder that a child sees as ``/opt/ml``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "opt" / "ml"
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, inside: str) -> Path:
        """Where a path of the container is on this machine: below ``/opt/ml``, or relative to it."""
        pure = PurePosixPath(inside)
        relative = pure.relative_to(_ROOT) if pure.is_absolute() else pure
        target = Path(os.path.normpath(self.root / relative))
        if not target.is_relative_to(self.root):
            raise ValueError(f"{inside} leads out of {_ROOT}")
        return target

    def make(self, inside: str) -> Path:
        """Make a folder of the container."""
        path = self.path(inside)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def re_root(self, text: str) -> str:
        """Point every ``/opt/ml`` in a text to this folder."""
        return _ROOTED.sub(lambda _match: str(self.root), text)

    def re_root_all(self, texts: Iterable[str]) -> list[str]:
        """Point every ``/opt/ml`` of some texts to this folder."""
        return [self.re_root(text) for text in texts]

    def environment(self, host: Runner, credentials: Credentials, *, isolated: bool) -> dict[str, str]:
        """The environment of a container before anything is asked for.

        Threads sleep while they wait for one another: spinning costs ten times the work where jobs share a processor.

        Args:
            isolated: Whether the network is off: then there are no credentials and no endpoint.
        """
        env = host.child_env(credentials)
        if isolated:
            env = {name: env[name] for name in _ISOLATED_KEEPS}
        own = str(self.folder)
        python = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return env | python | {"HOME": own, "TMPDIR": own, "OMP_WAIT_POLICY": "passive"}


def command(job_python: Path, argv: Sequence[str]) -> list[str]:
    """A container's command on this machine: whatever Python it names becomes the job interpreter."""
    program, *arguments = argv
    is_python = re.fullmatch(r"python(3(\.\d+)?)?", PurePosixPath(program).name) is not None
    return [str(job_python) if is_python else program, *arguments]


class Child:
    """One running container: its log goes to a log stream, and its end can be waited for or brought about."""

    def __init__(
        self,
        host: Runner,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        group: str,
        stream: str,
        on_line: LineHook | None = None,
        measure: Measure | None = None,
    ) -> None:
        self._host = host
        self._group, self._stream = group, stream
        self._on_line = on_line
        self._lock = threading.Lock()
        self._unsent: list[str] = []
        self._tail: list[str] = []
        self._wake = threading.Event()
        self._stop_asked = False
        self.process = host.spawn(argv, env=env, cwd=cwd, stdout=subprocess.PIPE)
        if measure is not None:
            host.usage.watch(self.process.pid, measure)
        self._reader = threading.Thread(target=self._read, name=f"log of {stream}", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name=f"end of {stream}", daemon=True)
        self._reader.start()
        self._watcher.start()

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def wait(self, limit_seconds: float | None, grace_seconds: float) -> Outcome:
        """Wait for the end, and bring it about when ``stop`` was asked for or the limit is over.

        Args:
            grace_seconds: The time between SIGTERM and SIGKILL.
        """
        in_time = self._wake.wait(limit_seconds)
        ending = Ending.TIMED_OUT
        if self._stop_asked:
            ending = Ending.STOPPED
        elif in_time:
            ending = Ending.EXITED
        self.end(0 if ending is Ending.EXITED else grace_seconds)
        code = self.process.returncode
        return Outcome(ending, 128 - code if code < 0 else code, self.tail())

    def stop(self) -> None:
        """Let ``wait`` end the child."""
        self._stop_asked = True
        self._wake.set()

    def end(self, grace_seconds: float) -> None:
        """End the process and everything it started, and send the rest of its log."""
        self._host.kill(self.process, grace_seconds)
        self._watcher.join(grace_seconds + 5)
        self._reader.join(2)
        self._flush()

    def say(self, line: str) -> None:
        """Add a line of the platform's own to the log."""
        with self._lock:
            self._unsent.append(line)

    def tail(self) -> str:
        """The last lines of the log."""
        with self._lock:
            return "\n".join(self._tail)

    def _read(self) -> None:
        """Take lines as they come, and send them on when there is a pause or the last time is a while ago."""
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe, see spawn
        rest = b""
        sent = time.monotonic()
        with self.process.stdout as pipe, selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                pause = not selector.select(_FLUSH_SECONDS if self._unsent else None)
                if pause or time.monotonic() - sent > _FLUSH_SECONDS:
                    self._flush()
                    sent = time.monotonic()
                if pause:
                    continue
                chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                self._take(lines)
        if rest:
            self._take([rest])

    def _take(self, raw_lines: list[bytes]) -> None:
        lines = [raw[:_LONGEST_LINE].decode("utf-8", errors="replace") for raw in raw_lines]
        with self._lock:
            self._unsent += lines
            self._tail = [*self._tail, *lines][-_TAIL_LINES:]
        if self._on_line is not None:
            for line in lines:
                self._on_line(line)

    def _watch(self) -> None:
        self.process.wait()
        self._wake.set()
        self._host.usage.forget(self.process.pid)

    def _flush(self) -> None:
        with self._lock:
            lines, self._unsent = self._unsent, []
        if not lines:
            return
        try:
            self._host.put_logs(self._group, self._stream, lines)
        except Exception:  # noqa: BLE001 - as on AWS, a job does not fail because its log cannot be written
            log.exception("%d lines of %s were lost", len(lines), self._stream)


def stream_name(*parts: str) -> str:
    """The name of a log stream of this moment."""
    return "/".join([*parts[:-1], f"{parts[-1]}-{int(time.time())}"])
