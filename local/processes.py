"""Processes: who descends from whom, how to start a child that never outlives its parent, how to stop a tree."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number.

    ``started`` is the kernel's start time in clock ticks since boot.
    """

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        found = _stat(self.pid)
        return found is not None and found.started == self.started and found.state != "Z"

    def send(self, number: signal.Signals) -> None:
        """Send a signal; no error if the process has gone."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), started=int(fields[19]))


def identify(pid: int) -> Process | None:
    """The process that has this number now, or ``None`` (also where there is no ``/proc``)."""
    found = _stat(pid)
    return Process(pid, found.started) if found and found.state != "Z" else None


def descendants(pid: int) -> list[Process]:
    """Children of a process, their children and so on; empty where there is no ``/proc``."""
    stats = {int(entry.name): _stat(int(entry.name)) for entry in _PROC.glob("[0-9]*")}
    children: dict[int, list[int]] = {}
    for number, found in stats.items():
        if found is not None:
            children.setdefault(found.parent, []).append(number)
    return list(_walk(pid, children, {number: found for number, found in stats.items() if found}))


def _walk(pid: int, children: Mapping[int, list[int]], stats: Mapping[int, _Stat]) -> Iterator[Process]:
    for child in children.get(pid, []):
        yield Process(child, stats[child].started)
        yield from _walk(child, children, stats)


def dies_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """A ``preexec_fn`` that makes the kernel send the signal when the starting process ends, however it ends.

    ``None`` on systems that cannot do it. The process must be started from the main thread, or one that outlives it:
    the kernel looks at the starting thread.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after a fork another thread's locks stay held

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number))

    return ask


def wait_until_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait for processes to end; returns those that still run when the time is over."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if process.alive()]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if process.alive()]
    return left


def kill_all(processes: Iterable[Process]) -> None:
    """Kill processes without asking, and wait until they have gone."""
    left = [process for process in processes if process.alive()]
    for process in left:
        process.send(signal.SIGKILL)
    wait_until_gone(left, 5.0)


@contextmanager
def child(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdout: IO[bytes] | int, stderr: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own; whatever ends the block ends the whole group."""
    process = subprocess.Popen(
        list(command),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=dies_with_parent(signal.SIGKILL),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_all(descendants(process.pid))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
